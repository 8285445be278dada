"""The schedule of the night on Dagster's own daemon, twice: what happens when two of them tick at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from forge_assets import run_tags
from forge_assets.instance import prepare
from forge_workers.nights import asked
from tests.standins.dagster import code_server, daemon, wait_until
from tests.standins.forge import forge_in
from tests.standins.repositories import MONDAY, synthetic

pytestmark = pytest.mark.slow

_OVER = {TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE}


def ticks_of(instance: dg.DagsterInstance) -> list[InstigatorTick]:
    """Return every tick of every schedule."""
    states = instance.all_instigator_state()
    return [tick for state in states for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)]


def test_two_daemons_that_tick_at_once_make_one_run(tmp_path: Path) -> None:
    """One asks; the other sees that somebody did, whether it looks in the same second or some seconds later."""
    repo = synthetic(tmp_path / "app", commits=12, until=MONDAY, days=5)
    soon = datetime.now(UTC) + timedelta(seconds=75)
    night = (soon - timedelta(days=1)).date().isoformat()
    hours = {"FORGE_MODELS_ENGINE": "extractive", "FORGE_NIGHT_STARTS_AT": f"{soon:%H:%M}"}
    with forge_in(tmp_path, repo.path, **hours) as forge:
        home = prepare(forge.settings)
        environ = {**forge.environ, "DAGSTER_HOME": str(home)}
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            code_server(tmp_path / "a", environ, "tests.nights.clock_nights") as first,
            code_server(tmp_path / "b", environ, "tests.nights.clock_nights") as second,
            daemon(tmp_path / "a", environ, first),
            daemon(tmp_path / "b", environ, second),
        ):
            wait_until(lambda: any(tick.status in _OVER for tick in ticks_of(instance)), 150, look_s=0.25)
            time.sleep(8)  # the other daemon's look, every five seconds, and a second run that must not come
            runs = instance.get_runs()
            ticks = ticks_of(instance)
        record = asked.read(forge.home / "nights", night)

    assert [tick.status for tick in ticks].count(TickStatus.SUCCESS) == 1
    assert {tick.status for tick in ticks} <= {TickStatus.SUCCESS, TickStatus.SKIPPED}, [tick.error for tick in ticks]
    assert [run.tags[run_tags.PARTITION] for run in runs] == [night]
    assert record is not None
    assert runs[0].tags[run_tags.CLAIM] == record.claim
