"""Nights that are killed, stopped, started twice, or lose what they stand on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from forge_workers.night import BRIEFING, STEPS
from forge_workers.report import Outcome
from tests.standins.forge import ROOT, Forge, forge_in, told
from tests.standins.nights import SUNDAY, git_log_count, with_model
from tests.standins.ollama import Fault
from tests.standins.repositories import HOUR, MONDAY, synthetic

pytestmark = pytest.mark.slow


def killed_at_second_step(forge: Forge, later_s: float) -> tuple[list[str], list[str]]:
    """Start the night and kill it without warning ``later_s`` after its second step began.

    Returns:
        The steps that started and those that ended.
    """
    night = forge.start_night(SUNDAY)
    started, ended = [], []
    for progress in told(night):
        if progress.kind == "ended":
            ended.append(progress.asset)
        if progress.kind == "started":
            started.append(progress.asset)
            if len(started) == 2 or progress.asset == BRIEFING:
                time.sleep(later_s)  # the moment of a kill is the example here, not a wait for anything
                os.kill(night.pid, signal.SIGKILL)
    night.wait()
    return started, ended


def test_a_night_killed_at_every_step_goes_on_and_its_briefing_is_right(tmp_path: Path) -> None:
    """SIGKILL at each step in turn: no step that ended is begun again, and the end is as if nothing had happened."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    done: list[str] = []
    with forge_in(tmp_path, repo.path) as forge:
        for turn in range(2 * len(STEPS)):
            started, ended = killed_at_second_step(forge, later_s=0.03 * (turn % 4))
            assert not set(started) & set(done), "a step that had ended was begun again"
            done += ended
            if started[0] == BRIEFING:
                break
        last = forge.run("night", "--date", SUNDAY)
        with dg.DagsterInstance.from_config(str(forge.home / "dagster")) as instance:
            alive = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))

    assert last.returncode == 0, last.stderr
    assert set(STEPS) <= set(done)
    assert forge.report("commit_log", SUNDAY).numbers["commits"] == git_log_count(repo.path, SUNDAY)
    assert "did not finish" not in forge.briefing(SUNDAY)
    assert alive == []


def test_ctrl_c_stops_cleanly_and_a_repeat_goes_on(tmp_path: Path) -> None:
    """The command says how to go on, leaves nothing half done, and the repeat does only what is left."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo) as (forge, ollama):
        ollama.load_fault = Fault.HANG
        night = forge.start("night", "--date", SUNDAY)
        wait_for(lambda: any(r.path == "/api/generate" for r in ollama.requests))
        night.send_signal(signal.SIGINT)
        _, errors = night.communicate(timeout=60)
        ollama.load_fault = None
        again = forge.run("night", "--date", SUNDAY)
        gpu = forge.run("gpu").stdout

    assert night.returncode == 130
    assert "Run the same command to go on" in errors
    assert again.returncode == 0, again.stderr
    assert gpu == "GPU local:0 is free\n"


@pytest.mark.parametrize("later_s", [0.3, 1.0, 1.8])
def test_a_stop_before_the_first_step_is_a_stop_too(tmp_path: Path, later_s: float) -> None:
    """While Dagster is still being loaded, SIGTERM ends the night as Ctrl-C does, and a repeat goes on."""
    repo = synthetic(tmp_path / "app", commits=30, until=MONDAY - HOUR, days=3)
    with forge_in(tmp_path, repo.path) as forge:
        night = forge.start("night", "--date", SUNDAY)
        time.sleep(later_s)  # the moment of the signal is the example here, not a wait for anything
        night.send_signal(signal.SIGTERM)
        _, errors = night.communicate(timeout=60)
        again = forge.run("night", "--date", SUNDAY)

    assert night.returncode in {130, -signal.SIGTERM, 0}, errors
    assert "Some steps failed" not in errors
    assert again.returncode == 0, again.stderr


def test_a_finished_night_hears_no_late_ctrl_c(tmp_path: Path) -> None:
    """Between the last word and the end of the process a signal changes nothing."""
    repo = synthetic(tmp_path / "app", commits=30, until=MONDAY - HOUR, days=3)
    with forge_in(tmp_path, repo.path) as forge:
        night = forge.start_night(SUNDAY)
        for progress in told(night):
            if progress.kind == "done":
                time.sleep(0.01)
                night.send_signal(signal.SIGINT)

    assert night.wait() == 0


def test_a_report_that_cannot_be_stored_fails_its_step_alone(tmp_path: Path) -> None:
    """The reason is in the briefing, which is printed, and the exit code is that of a failed step."""
    repo = synthetic(tmp_path / "app", commits=30, until=MONDAY - HOUR, days=3)
    with forge_in(tmp_path, repo.path) as forge:
        (forge.home / "nights" / SUNDAY).mkdir(parents=True)
        (forge.home / "nights" / SUNDAY / "pr_digest").write_text("a file where a folder should be")
        done = forge.run("night", "--date", SUNDAY)

    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "the report could not be stored" in " ".join(done.stdout.split())


def wait_for(true_at_last, seconds: float = 60.0) -> None:
    """Wait until something outside this process has happened."""
    until = time.monotonic() + seconds
    while not true_at_last():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def test_a_second_night_at_the_same_time_is_refused_with_one_line(tmp_path: Path) -> None:
    """The second is told who works on it and does nothing; the first ends as if it had been alone."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with forge_in(tmp_path, repo.path) as forge:
        first = forge.start_night(SUNDAY)
        lines = told(first)
        assert next(lines).kind == "plan"
        second = forge.run("night", "--date", SUNDAY)
        rest = list(lines)

    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith(
        f"forge: the night {SUNDAY} is already being run by process {first.pid}"
    )
    assert (first.wait(), rest[-1].kind) == (0, "done")


def test_a_failed_step_is_named_the_rest_is_done_and_a_repeat_does_only_what_failed(tmp_path: Path) -> None:
    """Exit code 1, the reason in the briefing, and afterwards only the failed step and the briefing run again."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with forge_in(tmp_path, repo.path) as forge:
        forge.home.mkdir()
        (forge.home / "dismissals.json").write_text("{ this is no JSON")
        first = forge.run("night", "--date", SUNDAY)
        briefing = " ".join(forge.briefing(SUNDAY).split())
        (forge.home / "dismissals.json").unlink()
        again = forge.start_night(SUNDAY)
        started = [progress.asset for progress in told(again) if progress.kind == "started"]

    assert first.returncode == 1
    assert "Security review failed" in briefing
    assert "dismissals" in briefing
    assert forge.report("evolution_report", SUNDAY).outcome is Outcome.RAN
    assert again.wait() == 0
    assert set(started) == {"security_review", "code_review", BRIEFING}


def kill_redis(forge: Forge) -> None:
    """Kill the server of Forge's own as a crash would."""
    os.kill(int((forge.home / "redis" / "server.lock").read_text()), signal.SIGKILL)


def test_redis_killed_between_two_steps_costs_nothing(tmp_path: Path) -> None:
    """The next step that needs the lease starts the server again."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo) as (forge, _):
        night = forge.start_night(SUNDAY)
        for progress in told(night):
            if progress.kind == "started" and progress.asset == "code_review":
                kill_redis(forge)
        code = night.wait()

    assert code == 0
    assert forge.report("code_review", SUNDAY).outcome is Outcome.RAN


def test_redis_killed_while_the_gpu_is_used_keeps_nothing_of_it_and_says_why(tmp_path: Path) -> None:
    """A lease that cannot be renewed is not trusted: what the model then says is not kept, and the rest goes on."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo) as (forge, ollama):
        ollama.fault, ollama.delay_s = Fault.SLOW, 14.0  # longer than the third of its time after which it is renewed
        night = forge.start_night(SUNDAY)
        wait_for(lambda: len(ollama.asked) > 0)
        kill_redis(forge)
        ollama.fault = None
        for _ in told(night):
            pass
        code, briefing = night.wait(), " ".join(forge.briefing(SUNDAY).split())

    assert code == 0
    assert forge.report("gpu_readiness", SUNDAY).outcome is Outcome.DEGRADED
    assert "lease" in briefing
    assert forge.report("code_review", SUNDAY).outcome is Outcome.RAN


def test_a_redis_that_is_not_there_costs_the_model_and_no_step(tmp_path: Path) -> None:
    """Without the lease nobody asks the model; the rules still give a level, and the briefing says what is missing."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo, FORGE_REDIS_URL="redis://127.0.0.1:9/0") as (forge, ollama):
        done = forge.run("night", "--date", SUNDAY)

    assert done.returncode == 0, done.stderr
    assert "the GPU lease cannot be had: redis_url: no Redis answers" in " ".join(done.stdout.split())
    assert forge.report("threat_assessment", SUNDAY).data["level"] == "RED"
    assert forge.report("code_review", SUNDAY).outcome is Outcome.DEGRADED
    assert not ollama.asked


@pytest.mark.parametrize("fault", [Fault.MISSING, Fault.BUSY, Fault.GARBAGE, Fault.HALF, Fault.HANG])
def test_a_model_server_that_misbehaves_degrades_the_night_and_says_so(tmp_path: Path, fault: Fault) -> None:
    """404, 503, garbage, half a stream, silence: every other step is done, and the briefing names the model."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo, FORGE_MODELS_TIMEOUT_S="2") as (forge, ollama):
        ollama.fault = fault
        done = forge.run("night", "--date", SUNDAY)

    assert done.returncode == 0, done.stderr
    assert forge.report("code_review", SUNDAY).outcome is Outcome.DEGRADED
    assert "not reviewed" in done.stdout
    assert forge.report("security_review", SUNDAY).outcome is Outcome.RAN


FULL_DISK = """
set -e
mount -t tmpfs -o size=40m tmpfs "$1"
head -c "$3" /dev/zero > "$1/ballast"
exec "$2" -m forge_workers night --date {night}
"""


def night_on_a_disk(tmp_path: Path, free_kib: int) -> subprocess.CompletedProcess[str]:
    """Run a night whose home is on a file system with ``free_kib`` of room."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    disk = tmp_path / "disk"
    disk.mkdir()
    script, ballast = FULL_DISK.format(night=SUNDAY), 40 * 2**20 - free_kib * 2**10
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*command, str(disk), sys.executable, str(ballast)],
        env=Forge(disk / "forge", repo.path).environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    for process in psutil.process_iter(["cmdline"]):  # its Redis outlives it, on a disk only it can see
        if str(disk) in " ".join(process.info["cmdline"] or ()):
            process.kill()
    if "unshare: " in done.stderr or "mount: " in done.stderr:
        pytest.skip("this machine lets nobody mount a file system of his own")
    return done


linux = pytest.mark.skipif(shutil.which("unshare") is None, reason="a file system of one's own needs Linux's unshare")


@linux
@pytest.mark.parametrize("free_kib", [300, 700, 1000])
def test_a_disk_that_fills_during_the_night_still_gets_its_briefing(tmp_path: Path, free_kib: int) -> None:
    """With no room for reports or for Dagster itself, what was found is printed, and what stopped it is named."""
    done = night_on_a_disk(tmp_path, free_kib)

    assert done.returncode == 1, done.stderr
    assert "Morning briefing" in done.stdout
    assert re.search("No space left on device|disk is full|disk I/O error", " ".join(done.stdout.split()))
    assert "Traceback" not in done.stdout + done.stderr


@linux
def test_a_disk_that_is_full_before_the_night_is_one_line(tmp_path: Path) -> None:
    """Nothing can be kept, so nothing is begun."""
    done = night_on_a_disk(tmp_path, 60)

    assert done.returncode == 2
    assert re.search(r"^forge: .*No space left on device$", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr
