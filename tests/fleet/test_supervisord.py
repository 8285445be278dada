"""supervisord as one home's own process: started, asked, mended, stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from forge_workers.catalog import WORKERS, Worker
from forge_workers.errors import ConfigError, ForgeError, Transient
from forge_workers.fleet.configuration import written
from forge_workers.fleet.supervisord import Supervised, Supervisord
from forge_workers.fleet.upkeep import Upkeep
from forge_workers.settings import load
from tests.fleet.processes import until

pytestmark = pytest.mark.slow


@pytest.fixture
def supervisord(tmp_path: Path) -> Iterator[Supervisord]:
    """One that does not run yet, gone afterwards."""
    (tmp_path / "logs").mkdir()
    found = Supervisord(tmp_path)
    try:
        yield found
    finally:
        found.stop()


def toy(home: Path, code: str) -> str:
    """Return a configuration whose one worker runs ``code``."""
    text = written(home, Supervisord(home).socket, [Worker("toy", "Plays.", "x:y")], stamp="")
    script = home / "toy.py"
    script.write_text(code)
    return text.replace("-m forge_workers.jobs.daemon toy %(process_num)d", str(script))


def sleeper(home: Path) -> str:
    """Return a configuration whose worker says that it runs, and waits."""
    return toy(home, f"import pathlib, time\npathlib.Path({str(home / 'runs')!r}).touch()\ntime.sleep(600)\n")


def only(supervisord: Supervisord) -> Supervised:
    """Return the one process it looks after."""
    found = supervisord.processes()
    assert found is not None
    return found[0]


def test_what_waits_for_its_next_start_is_started_at_once(supervisord: Supervisord, tmp_path: Path) -> None:
    """A worker that could not start is tried for ever, and by ``forge up`` without waiting its turn."""
    mended = tmp_path / "mended"
    code = (
        f"import pathlib, time\nif not pathlib.Path({str(mended)!r}).exists(): raise SystemExit(3)\ntime.sleep(600)\n"
    )
    supervisord.start(toy(tmp_path, code), dict(os.environ))
    until("it has failed", 10, lambda: only(supervisord).state == "BACKOFF")
    assert only(supervisord).off
    mended.touch()

    assert supervisord.start_what_is_off() == 1

    until("it runs", 10, lambda: only(supervisord).pid is not None)
    assert supervisord.start_what_is_off() == 0
    assert only(supervisord).since_at is not None


def test_it_is_known_by_its_lock_and_gone_after_stop(supervisord: Supervisord, tmp_path: Path) -> None:
    """Its process number, its environment, one per home; stopping it ends what it runs, and twice is no error."""
    assert (supervisord.pid, supervisord.processes(), supervisord.runs()) == (None, None, False)
    environ = {**os.environ, "FORGE_HOME": str(tmp_path)}
    supervisord.start(sleeper(tmp_path), environ)
    until("it runs", 10, (tmp_path / "runs").exists)
    pid, child = supervisord.pid, only(supervisord).pid

    assert supervisord.is_given(environ)
    assert not supervisord.is_given({**environ, "FORGE_TIMEZONE": "UTC"})
    with pytest.raises(Transient, match=f"process {pid}"):
        Supervisord(tmp_path).start("", environ)
    for _ in range(2):
        supervisord.stop()
    assert not supervisord.runs()
    assert child is not None
    assert not psutil.pid_exists(child)


def test_one_that_does_not_answer_is_named_and_never_doubled(supervisord: Supervisord, tmp_path: Path) -> None:
    """Asking it takes a bounded time; a second one is refused with the process to kill."""
    supervisord.start(sleeper(tmp_path), dict(os.environ))
    pid = supervisord.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert supervisord.processes() is None
        assert supervisord.runs()
        with pytest.raises(Transient, match=rf"\(process {pid}\) does not answer: run kill -9 {pid}"):
            supervisord.start("", dict(os.environ))
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_home_with_a_long_name_gets_a_short_private_socket(tmp_path: Path) -> None:
    """Also the name under which supervisord makes its socket, eight bytes longer, fits what the system takes."""
    home = tmp_path / ("long" * 30) / "forge"
    (home / "logs").mkdir(parents=True)
    supervisord = Supervisord(home)
    assert len(os.fsencode(supervisord.socket)) <= 103 - len(".4194304")
    try:
        supervisord.start(sleeper(home), dict(os.environ))
        until("it runs", 10, (home / "runs").exists)
        assert supervisord.processes() is not None
    finally:
        supervisord.stop()
    assert not supervisord.socket.parent.exists()


def test_one_that_cannot_start_says_why_in_one_line(supervisord: Supervisord, tmp_path: Path) -> None:
    """Its own words, not a wait until the time is over."""
    with pytest.raises(ForgeError, match="the fleet's supervisor does not start: The directory named") as caught:
        supervisord.start("[supervisord]\nnodaemon=true\nlogfile=/nowhere/at/all\n", dict(os.environ))

    assert "\n" not in str(caught.value)
    assert not supervisord.runs()


def test_a_row_whose_function_is_missing_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """One wrong row among good ones: nothing is made, nothing runs."""
    home = tmp_path / "forge"
    settings = load({"FORGE_HOME": str(home), "FORGE_TIMEZONE": "UTC"}, cwd=tmp_path)
    rows = {"queue_janitor": WORKERS["queue_janitor"], "wrong": Worker("wrong", "Nothing.", "json:nothing")}

    with pytest.raises(ConfigError, match="worker wrong: json has no nothing: correct its row"):
        Upkeep(settings, rows, {}, os.environ, lambda _: None).up()

    assert not home.exists()
