"""Looking at a queue: every job is seen where it is, whatever it is, and nothing is changed by looking."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from forge_workers.catalog import Arg, Worker
from forge_workers.jobs import outcome
from forge_workers.jobs.inspection import Inspection, QueueState
from forge_workers.jobs.job import again, decode
from forge_workers.jobs.queue import Queue, prefix_of
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis

NOW = 1_795_500_000.0
ROW = Worker("toy", "Plays.", "nowhere:nothing", args={"n": Arg("a number", kind=int)})
CLAIM = "c" * 32
FACTS = {"pid": 7, "host": "here", "slot": 0, "started_at": NOW - 60, "beat_at": NOW - 1, "job": "", "job_since": 0}


@pytest.fixture
def wire(redis_server: PrivateRedis) -> Wire:
    """The way to a Redis of the test's own."""
    return Wire(f"unix://{redis_server.socket}")


@pytest.fixture
def queue(wire: Wire) -> Queue:
    """An empty queue whose clock stands."""
    return Queue(wire, ROW, lambda: NOW)


@pytest.fixture
def inspection(wire: Wire) -> Inspection:
    """A look at that queue."""
    return Inspection(wire, ROW)


def buried(queue: Queue, n: int) -> bytes:
    """Put a job in line, reserve it, bury it, and return its dead letter."""
    queue.enqueue({"n": n})
    raw = queue.fetch(CLAIM).raw
    assert raw is not None
    job = decode(raw, ROW)
    letter = outcome.letter(raw, job.id, now=NOW + n, reason="it broke", traceback="Traceback\n  line")
    queue.bury(CLAIM, job, letter, more=False)
    return letter.encode()


def filled(queue: Queue) -> dict[str, str]:
    """Put one job in each place a job can be, and return their ids."""
    queue.register(CLAIM, FACTS)
    buried(queue, 1)
    queue.enqueue({"n": 2})
    raw = queue.fetch(CLAIM).raw
    assert raw is not None
    job = decode(raw, ROW)
    queue.done(CLAIM, job, outcome.record(job, now=NOW, seconds=1.5, summary={"headline": "Done."}), more=False)
    at_work = queue.enqueue({"n": 3}).id
    assert queue.fetch(CLAIM).raw is not None
    return {
        "running": at_work,
        "waiting": queue.enqueue({"n": 4}, key="k").id,
        "scheduled": queue.enqueue({"n": 5}, at=NOW + 60).id,
        "done": job.id,
    }


def test_an_empty_queue_has_nothing(inspection: Inspection) -> None:
    """A worker that never had a job is no error."""
    assert inspection.state() == QueueState(0, 0, 0, (), (), None, None, None, {})


def test_each_job_is_seen_where_it_is(queue: Queue, inspection: Inspection) -> None:
    """Counts, the running job, the next due time, the last outcome and the daemon's own words."""
    ids = filled(queue)

    state = inspection.state()

    assert (state.waiting, state.scheduled, state.dead) == (1, 1, 1)
    assert [seen.id for seen in state.running] == [ids["running"]]
    assert state.due_at == NOW + 60
    assert state.oldest_at == NOW
    assert state.last is not None
    assert (state.last.buried, state.last.headline, state.last.outcome) == (True, "it broke", "buried")
    assert state.counts == {"buried": 1, "done": 1}
    (process,) = state.processes
    assert (process.claim, process.alive, process.pid, process.started_at) == (CLAIM, True, 7, NOW - 60)
    for where in ("running", "waiting", "scheduled"):
        (seen,) = inspection.jobs(where)
        assert (seen.id, seen.where, seen.problem, seen.attempt) == (ids[where], where, "", 1)
    (dead,) = inspection.jobs("dead")
    assert (dead.reason, dead.traceback, dead.args, dead.died_at) == (
        "it broke",
        "Traceback\n  line",
        {"n": 1},
        NOW + 1,
    )


def test_the_oldest_is_found_behind_urgent_ones(wire: Wire, inspection: Inspection) -> None:
    """Urgent jobs stand before older ones and do not hide them."""
    Queue(wire, ROW, lambda: NOW - 500).enqueue({"n": 1})
    for n in range(5):
        Queue(wire, ROW, lambda: NOW).enqueue({"n": n}, urgent=True)

    assert inspection.state().oldest_at == NOW - 500


def test_what_is_no_job_is_seen_with_what_is_wrong(wire: Wire, inspection: Inspection) -> None:
    """Bytes that nobody can do stand in the list like any other, named by their digest."""
    prefix = prefix_of(ROW.name)
    wire.call("RPUSH", f"{prefix}:waiting", b"\xff\xfe", b'{"v":9}', b"[" * 5_000, b'{"v":1,"id":5}')
    wire.call("LPUSH", f"{prefix}:dead", b"no letter", b'{"job_base64":"!"}', b'{"job":"{}","at":"x"}')
    wire.call("LPUSH", f"{prefix}:done", b"\xff")
    wire.call("HSET", f"{prefix}:claims", "x", "{}", "y", '{"pid":"z","slot":true}', "z", b"\xff")

    waiting, dead = list(inspection.jobs("waiting")), list(inspection.jobs("dead"))
    state = inspection.state()

    assert [seen.problem.split(":")[0] for seen in waiting] == [
        "it is not JSON",
        "its layout is version 9, this worker knows 1",
        "it is not JSON",
        "its fields are not those of a job",
    ]
    assert all(len(seen.id) == 40 for seen in waiting)
    assert [seen.letter for seen in dead] == [b'{"job":"{}","at":"x"}', b'{"job_base64":"!"}', b"no letter"]
    assert (state.waiting, state.oldest_at, len(state.processes)) == (4, None, 3)
    assert not any(process.alive or process.pid for process in state.processes)


def test_a_job_is_found_by_the_first_characters_of_its_id(queue: Queue, inspection: Inspection) -> None:
    """Wherever it is, behind however many others; what is done is found among the outcomes."""
    ids = filled(queue)
    for n in range(1_200):
        queue.enqueue({"n": n})
    last = queue.enqueue({"n": -1}).id

    for job_id in (ids["running"], ids["waiting"], ids["scheduled"], last):
        assert [seen.id for seen in inspection.find(job_id[:12])] == [job_id]
    assert not list(inspection.find(ids["done"]))
    (ended,) = inspection.ended(ids["done"][:12])
    assert (ended.headline, ended.outcome, ended.seconds, ended.buried) == ("Done.", "done", 1.5, False)


def test_an_expired_heartbeat_is_told_from_a_living_one(queue: Queue, wire: Wire, inspection: Inspection) -> None:
    """A process stays registered after its death and is not called alive."""
    queue.register(CLAIM, FACTS)
    wire.call("DEL", f"{prefix_of(ROW.name)}:alive:{CLAIM}")

    assert [process.alive for process in inspection.processes()] == [False]


def test_looking_changes_nothing(redis_server: PrivateRedis, queue: Queue, inspection: Inspection) -> None:
    """Every key holds the same bytes before and after; the control, ending a claim, is caught."""
    ids = filled(queue)

    def look() -> None:
        inspection.state()
        for where in ("running", "waiting", "scheduled", "dead"):
            list(inspection.jobs(where))
        list(inspection.find(ids["waiting"]))
        list(inspection.ended(""))

    assert unchanged(redis_server, look)
    assert not unchanged(redis_server, lambda: queue.hand_back(CLAIM))


def unchanged(server: PrivateRedis, act: Callable[[], object]) -> bool:
    """Whether every key holds the same after ``act``."""
    client = server.client()
    client.connection_pool.connection_kwargs["decode_responses"] = False

    def kept() -> dict[bytes, object]:
        return {key: client.dump(key) for key in client.keys("*")}

    before = kept()
    act()
    return before == kept()


def test_a_requeued_letter_keeps_its_id(queue: Queue, inspection: Inspection) -> None:
    """What was dead is in line again, as its first attempt, and among the dead no more."""
    queue.register(CLAIM, FACTS)
    letter = buried(queue, 1)
    job = decode(json.loads(letter)["job"].encode(), ROW)

    assert queue.requeue(letter, again(job, attempt=1)) == "queued"

    assert [seen.id for seen in inspection.jobs("waiting")] == [job.id]
    assert not list(inspection.jobs("dead"))
