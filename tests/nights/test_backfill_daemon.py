"""A backfill through Dagster's own daemon, with its storage in SQLite: what runs, in which order, and only once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import dagster as dg
import pytest

from forge_assets.backfill import PRIORITY, TAG, daemon_lives
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import grid
from forge_workers.nights.grid import State
from forge_workers.report import Outcome, Receipt, Report
from forge_workers.store import NightStore
from tests.standins.dagster import asked, code_server, daemon, wait_until, web_server
from tests.standins.forge import Forge, forge_in
from tests.standins.repositories import HOUR, MONDAY, synthetic

pytestmark = pytest.mark.slow

#: Oldest first: nothing was done, all is whole, one step failed, nothing was done.
NIGHTS = ("2026-02-25", "2026-02-26", "2026-02-27", "2026-02-28")
RANGE = ("--from", NIGHTS[0], "--to", NIGHTS[-1])
LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) { __typename ... on LaunchBackfillSuccess { backfillId } }
}
"""


def keep_whole(store: NightStore, night: str) -> None:
    """Leave a report of every step of ``night``."""
    for asset in grid.ASSETS:
        store.save(Report(asset=asset, night=night, headline="done"))


def fail(store: NightStore, night: str, asset: str) -> None:
    """Leave the receipt of a step that failed."""
    receipt = Receipt(asset=asset, night=night, outcome=Outcome.FAILED, reasons=("no",), started_at=1.0, seconds=1.0)
    store.save_failure(receipt)


def runs_of(instance: dg.DagsterInstance) -> list[tuple[str, set[str]]]:
    """Return the nights and steps that were run, in the order in which they were started."""
    records = sorted(instance.get_run_records(), key=lambda record: record.start_time or 0.0)
    runs = [record.dagster_run for record in records]
    return [(run.tags["dagster/partition"], {key.path[-1] for key in run.asset_selection or ()}) for run in runs]


def test_exactly_what_is_missing_or_failed_runs_once_and_oldest_first(tmp_path: Path) -> None:
    """One run per night, one at a time, behind all other work; asked twice and interrupted, nothing runs twice."""
    repo = synthetic(tmp_path / "app", commits=12, until=MONDAY - HOUR, days=5)
    with forge_in(tmp_path, repo.path, FORGE_MODELS_ENGINE="extractive") as forge:
        store = NightStore(forge.home / "nights")
        for night in NIGHTS[1:3]:
            keep_whole(store, night)
        fail(store, NIGHTS[2], "health_snapshot")
        alone = forge.run("backfill", *RANGE)
        environ = {**forge.environ, "DAGSTER_HOME": str(forge.home / "dagster")}
        with (
            dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance,
            code_server(tmp_path, environ, "tests.nights.quick_nights") as workspace,
            daemon(tmp_path, environ, workspace),
            web_server(tmp_path, environ, workspace) as port,
        ):
            none_yet = (instance.get_backfills(), instance.get_runs())
            wait_until(lambda: daemon_lives(instance, time.time()))
            planned = forge.run("backfill", *RANGE, "--dry-run")
            interrupted = interrupt(forge, instance)
            fail(store, NIGHTS[1], "health_snapshot")
            launch_from_the_pages(port, NIGHTS[1], "health_snapshot", "threat_assessment")
            followed = forge.run("backfill", *RANGE)
            wait_until(lambda: len(instance.get_runs()) == 4, 90)
            wait_until(lambda: all(run.is_finished for run in instance.get_runs()), 60)
            started = runs_of(instance)
            states = grid.states(store, NIGHTS)
            after = forge.run("backfill", *RANGE, "--dry-run")
            tags = [run.tags for run in instance.get_runs()]

    assert (alone.returncode, none_yet) == (2, ([], []))
    assert alone.stderr.splitlines() == [
        "forge: no Dagster daemon is alive to run a backfill: start it with `forge up` and try again"
    ]
    assert planned.stdout.splitlines()[-1] == "17 parts missing or failed and 1 below them, in 3 nights, oldest first."
    assert interrupted.startswith("It goes on without this terminal: `forge nights` shows it")
    assert f"Left out, because asked for or at work already: 4 nights from {NIGHTS[0]}" in followed.stdout
    assert followed.stdout.splitlines()[-1] == "3 nights repaired.", followed.stdout + followed.stderr
    assert [run for run in started if run[0] != NIGHTS[1]] == [
        (NIGHTS[0], set(STEPS)),
        (NIGHTS[2], {"health_snapshot", "threat_assessment"}),
        (NIGHTS[3], set(STEPS)),
    ]
    assert [run for run in started if run[0] == NIGHTS[1]] == [(NIGHTS[1], {"health_snapshot", "threat_assessment"})]
    assert all(states[night][step] not in {State.MISSING, State.FAILED} for night in NIGHTS for step in STEPS)
    assert all(states[night][BRIEFING] is State.MISSING for night in (NIGHTS[0], NIGHTS[3]))
    assert (after.returncode, after.stdout) == (0, "Nothing is missing or failed in these nights.\n")
    assert [tag["dagster/priority"] for tag in tags if TAG in tag] == [PRIORITY] * 3


def interrupt(forge: Forge, instance: dg.DagsterInstance) -> str:
    """Ask for the backfill, press Ctrl-C when Dagster has it, and return what is then said."""
    first = forge.start("backfill", *RANGE)
    try:
        wait_until(lambda: len(instance.get_backfills()) == 3)
        time.sleep(0.5)  # the moment of the signal is the example here, not a wait for anything
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130
    return errors


def launch_from_the_pages(port: int, night: str, *steps: str) -> None:
    """Select failed partitions and materialise them, as the pages do."""
    params = {"assetSelection": [{"path": [step]} for step in steps], "partitionNames": [night]}
    reply = asked(port, LAUNCH, params=params)["launchPartitionBackfill"]
    assert reply["__typename"] == "LaunchBackfillSuccess"
