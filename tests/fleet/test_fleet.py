"""The fleet as a person runs it: up, killed in every way, up again, down; and no process is left."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from forge_workers.catalog import WORKERS
from forge_workers.fleet.supervisord import Supervisord
from tests.fleet.processes import daemons, of_home, until
from tests.standins.forge import Forge, forge_in
from tests.standins.repositories import Repo

pytestmark = pytest.mark.slow
SECRET = "xoxb-planted-in-the-environment"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A home whose fleet is down at the end, whatever happened."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"})
    with forge_in(tmp_path, repo.path, FORGE_SLACK_TOKEN=SECRET, FORGE_SLACK_CHANNEL="C0123456789") as forge:
        forge.environ |= {"FORGE_SLACK_API_URL": "http://127.0.0.1:9", "FORGE_DAGSTER_SERVICES": "false"}
        try:
            yield forge
        finally:
            if of_home(forge.home):
                forge.run("down")
            for process in of_home(forge.home):
                process.kill()


def states(forge: Forge) -> dict[str, str]:
    """Return the state of each worker, as a program reads it."""
    return {worker["name"]: worker["state"] for worker in told(forge)["workers"]}


def told(forge: Forge) -> dict[str, object]:
    """Return what ``forge status --json`` prints."""
    done = forge.run("status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def all_up(forge: Forge) -> bool:
    """Whether every worker beats."""
    return set(states(forge).values()) <= {"up", "busy"}


def redis_pid(forge: Forge) -> int:
    """Return the process number of its Redis."""
    return int((forge.home / "redis" / "server.lock").read_text())


def kill(pid: int) -> None:
    """End a process as a crash would."""
    os.kill(pid, signal.SIGKILL)


def test_a_fleet_comes_up_mends_itself_and_goes_down(forge: Forge) -> None:
    """Workers and Redis come back after SIGKILL, a second ``up`` changes nothing, ``down`` leaves no process."""
    first = forge.run("up")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("The fleet is up.\n")
    before = daemons(forge.home)
    assert set(before) == set(WORKERS)
    assert all_up(forge)
    only_for_its_owner(forge)

    kill(before["security_review"])
    until(
        "security_review is back",
        10,
        lambda: daemons(forge.home).get("security_review", 0) not in {0, before["security_review"]},
    )
    old = redis_pid(forge)
    kill(old)
    until("Redis is back", 10, lambda: redis_pid(forge) != old)
    until("all workers beat again", 20, lambda: all_up(forge))
    after = daemons(forge.home)
    assert {name for name in before if before[name] != after[name]} == {"security_review"}

    second = forge.run("up")
    assert second.stdout.startswith("The fleet is up already.\n")
    assert daemons(forge.home) == after
    done = forge.run("enqueue", "evolution_monitor", "night=2026-03-01", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr

    down = forge.run("down")
    assert (down.returncode, down.stdout) == (0, "The fleet is stopped.\nRedis is stopped.\n")
    assert of_home(forge.home) == []
    assert forge.run("down").stdout == "Redis was not running.\n"


def only_for_its_owner(forge: Forge) -> None:
    """Nobody else may reach the supervisor or read what it wrote, and no secret was written."""
    fleet = forge.home / "fleet"
    assert stat.S_IMODE(fleet.stat().st_mode) == 0o700
    assert stat.S_IMODE(Supervisord(forge.home).socket.stat().st_mode) == 0o600
    for folder in (fleet, forge.home / "logs"):
        for path in folder.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
            assert path.is_socket() or SECRET not in path.read_text(errors="replace"), path
    assert not any(SECRET in " ".join(process.cmdline()) for process in of_home(forge.home))


def test_two_ups_at_once_and_a_killed_supervisor_never_make_two_fleets(forge: Forge) -> None:
    """One of two starts it, the other says so; after its supervisor's SIGKILL no worker runs twice and none is left."""
    both = [forge.start("up") for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0].splitlines()[0] for process in both)
    assert said == ["The fleet is up already.", "The fleet is up."]
    assert set(daemons(forge.home)) == set(WORKERS)
    orphans = daemons(forge.home)
    redis = redis_pid(forge)

    kill(told(forge)["supervisor_pid"])  # type: ignore[arg-type]
    again = forge.run("up")

    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("The fleet is up.\n")
    until("the orphans have left", 10, lambda: not any(psutil.pid_exists(pid) for pid in orphans.values()))
    assert set(daemons(forge.home)) == set(WORKERS)
    assert redis_pid(forge) == redis
    waits = next(p for p in of_home(forge.home) if "forge_workers.fleet.redis" in p.cmdline())
    kill(redis)
    until("the one that waits has become Redis", 10, lambda: redis_pid(forge) == waits.pid)

    kill(told(forge)["supervisor_pid"])  # type: ignore[arg-type]
    down = forge.run("down")
    assert (down.returncode, down.stdout.splitlines()[-1]) == (0, "Redis is stopped.")
    assert of_home(forge.home) == []


def test_changed_settings_start_the_fleet_again(forge: Forge) -> None:
    """Every worker works with the settings that are set now."""
    assert forge.run("up").returncode == 0
    before = daemons(forge.home)
    (forge.home / "forge.toml").write_text('[models]\nengine = "extractive"\n')

    changed = forge.run("up")

    assert changed.stdout.startswith("The settings or the catalogue have changed: the fleet was started again.\n")
    after = daemons(forge.home)
    assert set(after) == set(WORKERS)
    assert not set(before.values()) & set(after.values())


def test_damaged_data_of_redis_is_told_with_the_way_out(forge: Forge) -> None:
    """``up`` says which file and what to do instead of waiting; done so, the next ``up`` is fine."""
    data = forge.home / "redis" / "valkey-9"
    (data / "appendonlydir").mkdir(parents=True)
    (data / "appendonlydir" / "appendonly.aof.manifest").write_text("no manifest\n")

    damaged = forge.run("up")

    assert damaged.returncode == 2
    assert f"is damaged and Redis refuses it: move the folder {data} aside" in damaged.stderr
    assert damaged.stderr.count("\n") == 1
    data.rename(data.with_name("aside"))
    assert forge.run("up").returncode == 0
