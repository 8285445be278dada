"""How everything stands: one state per process, from what supervisord, the kernel and Redis say."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from pathlib import Path

import pytest

from forge_workers.catalog import Worker
from forge_workers.fleet.status import FleetStatus, gather, state_of
from forge_workers.fleet.supervisord import Supervised
from forge_workers.jobs.inspection import Process
from forge_workers.jobs.queue import Queue
from forge_workers.jobs.spool import Producer
from forge_workers.settings import load
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis

NOW = 1_795_500_000.0
ROWS = {
    name: Worker(name, "Plays.", "nowhere:nothing", concurrency=n)
    for name, n in (("single", 1), ("twin", 2), ("absent", 1))
}


def supervised(state: str, since_at: float = NOW - 100) -> Supervised:
    """Return a process as supervisord sees it."""
    return Supervised("single", 0, state, 7, since_at)


@pytest.mark.parametrize(
    ("seen", "job", "redis_is_up", "expected"),
    [
        (supervised("RUNNING"), "", True, "up"),
        (supervised("RUNNING"), "abc", True, "busy"),
        (None, "", True, "up"),
        (supervised("STARTING"), None, True, "late"),
        (supervised("STARTING", NOW - 1), None, True, "starting"),
        (supervised("RUNNING", NOW - 14), None, True, "starting"),
        (supervised("RUNNING", NOW - 15), None, True, "late"),
        (supervised("RUNNING"), None, False, "cut off"),
        (supervised("BACKOFF"), None, True, "failing"),
        (supervised("FATAL"), None, False, "failing"),
        (supervised("STOPPING"), None, True, "stopping"),
        (supervised("STOPPED"), None, True, "down"),
        (supervised("EXITED"), None, True, "down"),
        (None, None, True, "down"),
        (None, None, False, "down"),
    ],
)
def test_a_process_has_one_state(seen: Supervised | None, job: str | None, redis_is_up: bool, expected: str) -> None:
    """A heartbeat says most; without one, supervisord's word and the time since the start decide."""
    beats = None if job is None else Process("c", alive=True, job=job)

    assert state_of(seen, beats, redis_is_up=redis_is_up, now=NOW) == expected


def look(home: Path, wire: Wire) -> FleetStatus:
    """Return how the toys stand."""
    settings = load({"FORGE_HOME": str(home), "FORGE_TIMEZONE": "UTC"}, cwd=home.parent)
    return gather(settings, ROWS, {}, wire, "there", now=NOW)


def test_a_machine_on_which_nothing_runs_is_no_error(tmp_path: Path) -> None:
    """No home, no supervisor, no Redis: everything is down or unknown, and nothing is made by looking."""
    found = look(tmp_path / "forge", Wire(f"unix://{tmp_path}/none"))

    assert (found.fleet, found.supervisor_pid, found.gpu, found.redis.state) == ("down", None, None, "away")
    assert [(w.state, w.waiting, w.last) for w in found.workers] == [("down", None, None)] * 3
    assert not (tmp_path / "forge").exists()


def test_heartbeats_are_matched_to_places(redis_server: PrivateRedis) -> None:
    """A worker stands as its worst process; one that is dead or elsewhere is not taken for the one that is missing."""
    wire = Wire(f"unix://{redis_server.socket}")
    facts = {"host": socket.gethostname(), "started_at": NOW - 60, "beat_at": NOW - 2, "job": ""}
    single = Queue(wire, ROWS["single"])
    at_work = {"job": single.enqueue({}).id, "job_since": NOW - 9}
    single.register("a", {**facts, "slot": 0, "pid": os.getpid(), **at_work})
    single.fetch("a")
    Queue(wire, ROWS["twin"]).register("b", {**facts, "slot": 1, "pid": os.getpid()})
    Queue(wire, ROWS["twin"]).register("c", {**facts, "slot": 0, "pid": 2**22 + 1})
    Queue(wire, ROWS["absent"]).register("d", {**facts, "slot": 0, "pid": 1, "host": "another\x1b[31m"})

    alone, twin, absent = look(redis_server.home, wire).workers

    assert (alone.state, alone.processes[0].job_since_at, alone.processes[0].beat_age_s) == ("busy", NOW - 9, 2.0)
    assert (twin.state, [process.state for process in twin.processes]) == ("down", ["down", "up"])
    assert [(p.host, p.state) for p in absent.processes] == [
        (socket.gethostname(), "down"),
        ("another[31m", "up"),
    ]


def test_what_is_in_flight_counts_and_not_what_the_last_beat_said(redis_server: PrivateRedis) -> None:
    """A heartbeat is up to five seconds old: a job that has begun since is shown, one that has ended is not."""
    wire = Wire(f"unix://{redis_server.socket}")
    queue = Queue(wire, ROWS["single"])
    job_id = queue.enqueue({}).id
    facts = {"host": socket.gethostname(), "slot": 0, "pid": os.getpid(), "job": "ended", "job_since": NOW - 9}
    queue.register("a", {**facts, "progress": "half"})
    assert look(redis_server.home, wire).workers[0].state == "up"

    queue.fetch("a")

    (process,) = look(redis_server.home, wire).workers[0].processes
    assert (process.state, process.job, process.job_since_at, process.progress) == ("busy", job_id, None, "")


def test_the_spool_is_counted(tmp_path: Path) -> None:
    """Jobs that wait on disk and lines that were put aside are told."""
    producer = Producer(Wire(f"unix://{tmp_path}/none"), tmp_path, ROWS)
    for _ in range(3):
        assert producer.enqueue("single", {}).placed == "spooled"
    (tmp_path / "spool" / "jobs.rejected").write_text("x\n")

    found = look(tmp_path, Wire(f"unix://{tmp_path}/none"))

    assert (found.spooled, found.rejected) == (3, 1)


def test_a_program_finds_the_same_keys(redis_server: PrivateRedis) -> None:
    """The keys of ``--json`` are a promise: a monitor that reads them does not break."""
    told = json.loads(json.dumps(dataclasses.asdict(look(redis_server.home, Wire(f"unix://{redis_server.socket}")))))

    worker = told["workers"][0]
    queue = {"waiting", "scheduled", "running", "dead", "oldest_age_s", "due_at", "last", "counts"}
    assert set(told) == {"at", "home", "fleet", "supervisor_pid", "workers", "gpu", "redis", "spooled", "rejected"} | {
        "services"
    }
    assert set(worker) == {"name", "state", "processes"} | queue
    process = {"slot", "host", "state", "pid", "since_at", "beat_age_s", "job", "job_since_at", "progress"}
    assert set(worker["processes"][0]) == process
    memory = {"used_bytes", "most_bytes"}
    assert set(told["redis"]) == {"state", "address", "server", "version", "up_s", "problem"} | memory
    assert set(told["gpu"]) == {"device", "observed_at", "holder", "expires_in_s", "term", "waiters"}
