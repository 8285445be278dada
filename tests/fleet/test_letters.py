"""Finding a job by its id, and what a person may do to dead letters."""

from __future__ import annotations

import json

import pytest

from forge_workers.catalog import Arg, Worker
from forge_workers.errors import BadArgs
from forge_workers.fleet.letters import Letters, as_json
from forge_workers.jobs import outcome
from forge_workers.jobs.job import new_job
from forge_workers.jobs.queue import Queue, prefix_of
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis

NOW = 1_795_500_000.0
ROWS = {
    name: Worker(name, "Plays.", "nowhere:nothing", args={"n": Arg("a number", kind=int)}) for name in ("one", "two")
}


@pytest.fixture
def wire(redis_server: PrivateRedis) -> Wire:
    """The way to a Redis of the test's own."""
    return Wire(f"unix://{redis_server.socket}")


def buried(wire: Wire, worker: str, job_id: str, *, key: str = "", attempt: int = 4) -> None:
    """Leave a dead letter as a daemon does."""
    job = new_job(ROWS[worker], {"n": 1}, now=NOW, job_id=job_id, key=key)
    raw = job.raw.replace(b'"attempt":1', b'"attempt":%d' % attempt)
    letter = outcome.letter(raw, job_id, now=NOW, reason="it broke", traceback="")
    wire.call("LPUSH", f"{prefix_of(worker)}:dead", letter)


def test_a_job_is_found_whichever_worker_has_it(wire: Wire) -> None:
    """An id names one job among all workers."""
    buried(wire, "two", "ab" * 16)
    waiting = Queue(wire, ROWS["one"]).enqueue({"n": 2}).id
    letters = Letters(wire, ROWS)

    found, ended = letters.one("abab")
    assert found is not None
    assert ended is not None
    assert (found.worker, found.where, ended.headline) == ("two", "dead", "it broke")
    found, ended = letters.one(waiting)
    assert found is not None
    assert (found.worker, found.where, ended) == ("one", "waiting", None)


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("zz", "no job's id begins with 'zz': `forge jobs` lists them"),
        ("", r"2 jobs' ids begin with '': write more of it \(abababababab, acacacacacac \.\.\.\)"),
        ("a", "2 jobs' ids begin with 'a'"),
    ],
)
def test_an_id_that_names_none_or_several_is_refused(wire: Wire, prefix: str, said: str) -> None:
    """Nothing is guessed: the ids that it may be are named."""
    buried(wire, "one", "ab" * 16)
    buried(wire, "two", "ac" * 16)

    with pytest.raises(BadArgs, match=said):
        Letters(wire, ROWS).one(prefix)


def test_only_a_dead_letter_can_be_requeued_or_dropped(wire: Wire) -> None:
    """A job that waits is left alone, and the message says where it is."""
    waiting = Queue(wire, ROWS["one"]).enqueue({"n": 2}).id

    with pytest.raises(BadArgs, match=f"job {waiting[:8]} is waiting: only a dead letter"):
        Letters(wire, ROWS).dead(waiting)


def test_a_requeued_job_begins_anew(wire: Wire) -> None:
    """It stands in line once, with all its attempts before it; a second time it is gone."""
    buried(wire, "one", "ab" * 16)
    letters = Letters(wire, ROWS)
    letter = letters.dead("ab")

    assert [letters.requeue(letter) for _ in range(2)] == ["queued", "gone"]

    (found,) = letters.every(dead_only=False)
    assert (found.id, found.where, found.attempt) == ("ab" * 16, "waiting", 1)


def test_a_requeued_job_does_not_double_one_with_its_key(wire: Wire) -> None:
    """While another job with its key waits, the letter stays."""
    buried(wire, "one", "ab" * 16, key="k")
    Queue(wire, ROWS["one"]).enqueue({"n": 2}, key="k")
    letters = Letters(wire, ROWS)

    assert letters.requeue(letters.dead("abab")) == "duplicate"
    assert letters.dead("abab").where == "dead"


def test_what_no_worker_can_do_is_not_requeued_and_can_be_dropped(wire: Wire) -> None:
    """Bytes that are no job would only be buried again; forgetting them works, once."""
    wire.call("LPUSH", f"{prefix_of('one')}:dead", b'{"job":"{}"}')
    letters = Letters(wire, ROWS)
    (letter,) = letters.every(dead_only=True)

    with pytest.raises(BadArgs, match="cannot be requeued: its layout is version None"):
        letters.requeue(letter)
    assert [letters.drop(letter) for _ in range(2)] == [True, False]
    assert list(letters.every(dead_only=False)) == []


def test_jobs_are_listed_for_a_program(wire: Wire) -> None:
    """Every place and what is wrong with a job, as JSON."""
    buried(wire, "one", "ab" * 16)
    Queue(wire, ROWS["two"]).enqueue({"n": 2}, at=NOW)
    wire.call("RPUSH", f"{prefix_of('two')}:waiting", b"\xff")

    told = json.loads(as_json(Letters(wire, ROWS).every(dead_only=False)))

    assert [(job["worker"], job["where"], job["args"]) for job in told] == [
        ("one", "dead", {"n": 1}),
        ("two", "waiting", None),
        ("two", "scheduled", {"n": 2}),
    ]
    assert told[1]["problem"] == "it is not JSON"
