"""Who is alive: a run's lock ends with its process, and a step ends with the process of its run."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psutil
import pytest

from forge_assets import life
from forge_assets.launcher import NIGHT_TAG, Launcher
from forge_workers import attempt
from tests.standins.forge import ROOT

pytestmark = pytest.mark.slow

NIGHT = "2026-03-01"


def as_a_step_does(folder: str) -> None:
    """Begin a step, start another program, and never end."""
    life.begin_step(Path(folder))
    hang(folder)


def hang(folder: str) -> None:
    """Do as a step without the watch would: start another program, and never end."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as program:
        (Path(folder) / "program").write_text(str(program.pid))
        time.sleep(600)


def as_a_run_does(step: Callable[[str], None], folder: str) -> None:
    """Start a step as Dagster's executor does, from a fork server, and never end."""
    process = multiprocessing.get_context("forkserver").Process(target=step, args=(folder,))
    process.start()
    (Path(folder) / "step").write_text(str(process.pid))
    time.sleep(600)


def family(folder: Path, step: str) -> tuple[psutil.Process, list[psutil.Process]]:
    """Start a run with one step and return its process, and those of the step and of what that started."""
    code = f"from tests.assets import test_life as t; t.as_a_run_does(t.{step}, {str(folder)!r})"
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until = time.monotonic() + 30
    while not ((folder / "program").exists() and (folder / "step").exists()):
        assert time.monotonic() < until, "the step never began"
        time.sleep(0.02)
    pids = [int((folder / name).read_text() or 0) for name in ("step", "program")]
    return psutil.Process(run.pid), [psutil.Process(pid) for pid in pids]


@pytest.mark.parametrize(("step", "left"), [("as_a_step_does", 0), ("hang", 2)], ids=["watched", "the control"])
def test_a_step_and_what_it_started_end_with_the_run(tmp_path: Path, step: str, left: int) -> None:
    """After SIGKILL of the run's process nothing of it works on; without the watch both would."""
    run, others = family(tmp_path, step)
    try:
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=10)
        _, alive = psutil.wait_procs(others, timeout=3)
    finally:
        for each in others:
            if each.is_running():
                each.kill()

    assert len(alive) == left


def test_a_lock_is_held_as_long_as_its_process_lives(tmp_path: Path) -> None:
    """Dead is only who held the lock and is gone: not who holds it, and not who never had one."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        never = life.is_dead(instance, "a")
        code = (
            "import sys, dagster as dg; from forge_assets import life\n"
            f"life.hold(dg.DagsterInstance.from_config({str(tmp_path)!r}), 'a')\n"
            "print('held', flush=True); sys.stdin.read()"
        )
        (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        holder = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            alive = life.is_dead(instance, "a")
        finally:
            holder.kill()
            holder.wait(timeout=10)
        dead = life.is_dead(instance, "a")

    assert (never, alive, dead) == (False, False, True)


@pytest.mark.parametrize(
    ("note", "healthy"),
    [
        ({}, False),
        ({"finished": True}, True),
        ({"pid": None}, True),
    ],
    ids=["killed", "finished", "at work"],
)
def test_a_night_of_the_command_line_is_judged_by_its_attempt(tmp_path: Path, note: dict, healthy: bool) -> None:
    """Its run holds no lock: the process that the attempt names must live."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    facts = {"name": "a", "settings": "", "started_at": time.time(), "pid": int(gone.stdout), **note}
    facts["pid"] = facts["pid"] or psutil.Process().pid
    attempt.write(tmp_path / "nights", NIGHT, attempt.Attempt.model_validate(facts))
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("run_launcher: {module: forge_assets.launcher, class: Launcher}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, Launcher)
        run = dg.DagsterRun(job_name="night", run_id="x", tags={NIGHT_TAG: NIGHT})
        strange = dg.DagsterRun(job_name="night", run_id="y", tags={NIGHT_TAG: "../../x"})
        said = launcher.check_run_worker_health(run).status.value
        of_strange = launcher.check_run_worker_health(strange).status.value

    assert (said, of_strange) == ("RUNNING" if healthy else "FAILED", "RUNNING")
