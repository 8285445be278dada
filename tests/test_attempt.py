"""Attempts: one process per night, and a stopped one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forge_workers import attempt
from forge_workers.settings import Settings, load
from forge_workers.store import NightStore
from tests.test_store import report

NIGHT = "2026-11-23"
#: The moment that day ends in UTC.
MORNING = 1_795_478_400.0


def settings(tmp_path: Path, **environ: str) -> Settings:
    """Return settings for a home of the test's own."""
    return load({"FORGE_HOME": str(tmp_path), "FORGE_TIMEZONE": "UTC", **environ}, cwd=tmp_path)


def test_a_second_process_is_refused_while_the_first_works(tmp_path: Path) -> None:
    """The message names the process that is at it; afterwards the night is free again."""
    with attempt.only_one(tmp_path, NIGHT):
        attempt.begin(tmp_path, NIGHT, settings(tmp_path), 1.0)
        with pytest.raises(attempt.Busy, match=f"already being run by process {os.getpid()}"):
            attempt.only_one(tmp_path, NIGHT).__enter__()
    with attempt.only_one(tmp_path, NIGHT):
        pass


HOLD = """
import sys, time
from pathlib import Path
from forge_workers.attempt import only_one
with only_one(Path(sys.argv[1]), "2026-11-23"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_process_lets_the_night_go(tmp_path: Path) -> None:
    """The kernel frees the lock of a dead holder; nothing has to be cleaned by hand."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(attempt.Busy):
        attempt.only_one(tmp_path, NIGHT).__enter__()

    holder.send_signal(signal.SIGKILL)
    holder.wait()

    with attempt.only_one(tmp_path, NIGHT):
        pass


def test_a_stopped_attempt_goes_on_and_a_finished_one_begins_anew(tmp_path: Path) -> None:
    """The same name until it is finished, then another."""
    chosen = settings(tmp_path)
    with attempt.only_one(tmp_path, NIGHT):
        first = attempt.begin(tmp_path, NIGHT, chosen, MORNING)
        again = attempt.begin(tmp_path, NIGHT, chosen, MORNING + 1)
        attempt.write(tmp_path, NIGHT, again.model_copy(update={"finished": True}))
        anew = attempt.begin(tmp_path, NIGHT, chosen, MORNING + 2)

    assert first.name == again.name != anew.name


def test_an_attempt_from_before_the_end_of_the_day_is_begun_anew(tmp_path: Path) -> None:
    """What it read at noon lacks the afternoon, so the next morning takes none of it over."""
    chosen = settings(tmp_path)
    with attempt.only_one(tmp_path, NIGHT):
        noon = attempt.begin(tmp_path, NIGHT, chosen, MORNING - 12 * 3600)
        midnight = attempt.begin(tmp_path, NIGHT, chosen, MORNING)
        later = attempt.begin(tmp_path, NIGHT, chosen, MORNING + 3600)

    assert noon.name != midnight.name == later.name


def test_other_settings_begin_another_attempt(tmp_path: Path) -> None:
    """Reports made for one repository are not taken over for another."""
    with attempt.only_one(tmp_path, NIGHT):
        one = attempt.begin(tmp_path, NIGHT, settings(tmp_path, FORGE_REPOSITORIES="/a"), MORNING)
        other = attempt.begin(tmp_path, NIGHT, settings(tmp_path, FORGE_REPOSITORIES="/b"), MORNING + 1)

    assert one.name != other.name


def test_only_unharmed_reports_of_the_same_attempt_are_taken_over(tmp_path: Path) -> None:
    """A damaged report, and one of an earlier attempt, are made again."""
    NightStore(tmp_path, "old").save(report("health_snapshot"))
    store = NightStore(tmp_path, "now")
    store.save(report("commit_log"))
    (store.save(report("security_review")) / "report.json").write_text("{}")

    assert attempt.done_before(store, NIGHT) == ("commit_log",)


def test_a_dead_process_is_not_running(tmp_path: Path) -> None:
    """A note left by a process that is gone, or whose number now belongs to another, says nothing runs."""
    with attempt.only_one(tmp_path, NIGHT):
        mine = attempt.begin(tmp_path, NIGHT, settings(tmp_path), 9e9)

    assert attempt.running(mine)
    assert not attempt.running(mine.model_copy(update={"finished": True}))
    assert not attempt.running(mine.model_copy(update={"pid": 2**22 + 1}))
    assert not attempt.running(mine.model_copy(update={"started_at": 1.0}))
