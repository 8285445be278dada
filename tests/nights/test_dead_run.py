"""A run whose process dies in the middle of a night: seen within seconds, gone on with, and no ghost of it works on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from forge_assets.instance import prepare
from forge_workers.nights import grid
from forge_workers.nights.grid import State
from forge_workers.store import NightStore
from tests.standins.dagster import code_server, daemon, wait_until
from tests.standins.forge import ROOT, Forge, forge_in

pytestmark = pytest.mark.slow

NIGHT = "2026-03-01"
#: Seconds within which a death is seen: run monitoring looks every 5 s.
SEEN_S = 20.0


def launch(workspace: Path, environ: dict[str, str]) -> None:
    """Put the night in line."""
    tags = f'{{"dagster/partition": "{NIGHT}"}}'
    command = [sys.executable, "-m", "dagster", "job", "launch", "-w", str(workspace), "-l", "forge", "-j", "night"]
    subprocess.run([*command, "--tags", tags], cwd=ROOT, env=environ, check=True, capture_output=True, timeout=120)


def worker_of(instance: dg.DagsterInstance, run_id: str) -> int:
    """Return the process that Dagster says it started for a run."""
    said = (entry.message for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT))
    found = (re.search(r"Started process for run \(pid: (\d+)\)", text) for text in said)
    return next(int(match[1]) for match in found if match)


def marks(forge: Forge) -> list[str]:
    """Return what the steps wrote down."""
    path = forge.home / "marks"
    return path.read_text().splitlines() if path.exists() else []


def seen_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the run is marked as failed."""
    return instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


@pytest.mark.parametrize("all_of_it", [False, True], ids=["the run's process", "the whole machine"])
def test_a_killed_run_is_gone_on_with_and_its_steps_end_with_it(tmp_path: Path, all_of_it: bool) -> None:
    """SIGKILL in the middle: marked as failed, its step gone, and the second try does only what was not done.

    With ``all_of_it`` the daemon and the code server die too, as when power fails, and are started again.
    """
    with forge_in(tmp_path, ROOT) as forge:
        environ = {**forge.environ, "DAGSTER_HOME": str(prepare(forge.settings))}
        store = NightStore(forge.home / "nights")
        with dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance:
            with (
                code_server(tmp_path, environ, "tests.nights.dying_nights") as workspace,
                daemon(tmp_path, environ, workspace) as first_daemon,
            ):
                launch(workspace, environ)
                wait_until(lambda: "pr_digest began" in marks(forge), 90)
                (run,) = instance.get_runs()
                running = grid.states(store, (NIGHT,))[NIGHT]["pr_digest"]
                worker = psutil.Process(worker_of(instance, run.run_id))
                family = worker.children(recursive=True)
                if all_of_it:
                    first_daemon.kill()
                    worker.parent().kill()  # type: ignore[union-attr]
                os.kill(worker.pid, signal.SIGKILL)
                _, alive = psutil.wait_procs(family, timeout=10)
                if not all_of_it:
                    finish(forge, instance, run.run_id)
            if all_of_it:
                unseen = not seen_dead(instance, run.run_id)
                with (
                    code_server(tmp_path, environ, "tests.nights.dying_nights") as workspace,
                    daemon(tmp_path, environ, workspace),
                ):
                    finish(forge, instance, run.run_id)
            second = next(one for one in instance.get_runs() if one.run_id != run.run_id)
            slots = instance.event_log_storage.get_concurrency_info("gpu").active_run_ids

    assert alive == [], "a step outlived its run"
    assert running is State.RUNNING
    assert not all_of_it or unseen
    assert second.status is dg.DagsterRunStatus.SUCCESS
    assert second.tags["dagster/retry_number"] == "1"
    assert marks(forge) == ["commit_log began", "pr_digest began", "pr_digest began", "pr_digest worked on"]
    assert slots == set()


def finish(forge: Forge, instance: dg.DagsterInstance, dead: str) -> None:
    """Wait until the death is seen, then let the second try end."""
    wait_until(lambda: seen_dead(instance, dead), SEEN_S)
    (forge.home / "go").touch()
    wait_until(lambda: [run for run in instance.get_runs() if run.run_id != dead and run.is_success], 90)


def test_a_step_that_failed_is_not_tried_again_by_run(tmp_path: Path) -> None:
    """Only a death is gone on with: what failed for good fails again, and the alarm about it must not wait."""
    with forge_in(tmp_path, ROOT) as forge:
        environ = {**forge.environ, "DAGSTER_HOME": str(prepare(forge.settings))}
        (forge.home / "marks").mkdir()  # so that the first step cannot write its mark
        with (
            dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance,
            code_server(tmp_path, environ, "tests.nights.dying_nights") as workspace,
            daemon(tmp_path, environ, workspace),
        ):
            launch(workspace, environ)
            wait_until(lambda: all(run.is_finished for run in instance.get_runs()), 90)
            time.sleep(8)  # longer than the daemon's look for runs to try again, which is every 5 s
            runs = instance.get_runs()

    assert [(run.status, run.tags["dagster/will_retry"]) for run in runs] == [(dg.DagsterRunStatus.FAILURE, "false")]
