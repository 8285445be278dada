"""Which services run, how each stands, and what each says in its place."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forge_workers.catalog import SERVICES, Service
from forge_workers.fleet.place import Place, Told
from forge_workers.fleet.services import answers, look, state_of, wanted
from forge_workers.fleet.supervisord import Supervised
from forge_workers.settings import Settings, load

NOW = 1_795_500_000.0
TOY = Service("toy", "Plays.", "nowhere", tells=True)


def settings_of(home: Path, **environ: str) -> Settings:
    """Return settings with these variables."""
    return load({"FORGE_HOME": str(home), "FORGE_TIMEZONE": "UTC", **environ}, cwd=home.parent)


def supervised(state: str, since_at: float = NOW - 100, pid: int = 7) -> Supervised:
    """Return a service as supervisord sees it."""
    return Supervised("toy", 0, state, pid, since_at, "services")


@pytest.mark.parametrize(
    ("seen", "ready", "expected"),
    [
        (None, False, "down"),
        (supervised("STOPPED"), False, "down"),
        (supervised("EXITED"), True, "down"),
        (supervised("BACKOFF"), False, "failing"),
        (supervised("FATAL"), True, "failing"),
        (supervised("STOPPING"), True, "stopping"),
        (supervised("STARTING"), True, "up"),
        (supervised("RUNNING"), True, "up"),
        (supervised("RUNNING", NOW - 59), False, "starting"),
        (supervised("RUNNING", NOW - 60), False, "late"),
    ],
)
def test_a_service_has_one_state(seen: Supervised | None, ready: bool, expected: str) -> None:
    """What supervisord says comes first; then whether it is ready."""
    assert state_of(seen, ready=ready, now=NOW) == expected


@pytest.mark.parametrize(
    ("environ", "runs"),
    [
        ({}, {"redis", "dagster_code_server", "dagster_daemon", "dagster_webserver"}),
        ({"FORGE_DAGSTER_SERVICES": "false"}, {"redis"}),
        ({"FORGE_DAGSTER_SERVICES": "false", "FORGE_REDIS_URL": "redis://127.0.0.1:6379"}, set()),
    ],
)
def test_the_settings_decide_which_services_run(tmp_path: Path, environ: dict[str, str], runs: set[str]) -> None:
    """A Redis of one's own, Dagster elsewhere, and no gateway without Slack's tokens; why is said."""
    settings = settings_of(tmp_path, **environ)

    assert {row.name for row in wanted(SERVICES.values(), settings)} == runs
    off = {s.name: s.why for s in look(tmp_path, SERVICES, settings, (), NOW) if s.state == "off"}
    assert set(off) == set(SERVICES) - runs - {"redis"}
    assert "slack.app_token" in off["slack_gateway"]


@contextmanager
def taken(home: Path, said: str) -> Iterator[None]:
    """Hold the toy's place, as another process would, with these words in it."""
    path = home / "fleet" / "toy-0.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(said)
        file.flush()
        yield


def test_a_place_tells_only_while_its_owner_lives(tmp_path: Path) -> None:
    """What a killed service left behind is not believed, nor are words that none would write."""
    place = Place(tmp_path, "toy")
    assert place.told() is None
    with taken(tmp_path, "7 127.0.0.1:3000\n"):
        assert place.told() == Told(7, "127.0.0.1:3000")
    assert place.told() is None
    for said in ("", "7", "7 127.0.0.1:3000", "x y\n", "7 a b\n", "9" * 40 + " \n"):
        with taken(tmp_path, said):
            assert place.told() is None


def test_a_service_tells_in_its_place(tmp_path: Path) -> None:
    """Its process number and where it listens, in a file for its owner alone."""
    place = Place(tmp_path, "toy")
    place.take()
    assert place.told() is None
    place.tell("127.0.0.1:1")

    assert Place(tmp_path, "toy").told() == Told(os.getpid(), "127.0.0.1:1")
    assert (tmp_path / "fleet" / "toy-0.lock").stat().st_mode & 0o077 == 0


def test_ready_is_who_says_so_and_answers(tmp_path: Path) -> None:
    """Another process's word does not count for this one; one outside the fleet is known by its own word."""
    rows, settings = {"toy": TOY}, settings_of(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with taken(tmp_path, f"7 {address}\n"):
            (mine,) = look(tmp_path, rows, settings, [supervised("RUNNING")], NOW)
            (other,) = look(tmp_path, rows, settings, [supervised("RUNNING", pid=8)], NOW)
            (alone,) = look(tmp_path, rows, settings, [], NOW)
        assert (mine.state, mine.address) == ("up", address)
        assert (other.state, other.address) == ("late", "")
        assert (alone.state, alone.pid, alone.address) == ("up", 7, address)
    with taken(tmp_path, f"7 {address}\n"):
        assert look(tmp_path, rows, settings, [supervised("RUNNING")], NOW)[0].state == "late"


def test_an_address_that_is_none_answers_to_nobody() -> None:
    """Nothing there, no port, no path: no, and no error."""
    assert answers("")
    for address in ("127.0.0.1:9", "127.0.0.1:", "unix:/nowhere", "127.0.0.1:99999999"):
        assert not answers(address)
