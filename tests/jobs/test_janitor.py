"""The janitor: whoever dies, however their data was lost, their jobs come back."""

from __future__ import annotations

from pathlib import Path

from forge_workers.catalog import WORKERS
from forge_workers.jobs.doing import Context
from forge_workers.jobs.janitor import tidy
from forge_workers.jobs.queue import Pace, Queue, prefix_of
from forge_workers.jobs.spool import Producer
from tests.jobs.queues import CLAIM, expire, places, wire_to
from tests.standins.redis import PrivateRedis


def context_of(server: PrivateRedis, home: Path) -> Context:
    """Return what the janitor is given, on a server that counts as long started."""
    wire = wire_to(server)
    return Context({}, home, wire, Producer(wire, home, WORKERS), 0.0, Pace(settle_s=0))


def queue_of(server: PrivateRedis, worker: str = "pr_digest") -> Queue:
    """Return the queue of a real worker with a job in flight."""
    queue = Queue(wire_to(server), WORKERS[worker])
    queue.register(CLAIM, {})
    queue.enqueue({"night": "2026-11-23"})
    queue.fetch(CLAIM)
    return queue


def test_jobs_of_a_worker_with_no_process_left_come_back(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Nobody else of that worker is there to see its heartbeat expire."""
    queue = queue_of(redis_server)
    assert tidy(context_of(redis_server, tmp_path)) is None
    expire(queue)

    assert tidy(context_of(redis_server, tmp_path)) == "1 jobs taken back"
    assert set(places(queue)) == {"waiting"}


def test_a_list_in_flight_that_belongs_to_nobody_is_found(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """As when the server moved a job to a client that had just gone, or lost part of its data."""
    queue = queue_of(redis_server)
    expire(queue)
    queue.wire.call("DEL", f"{prefix_of('pr_digest')}:claims")
    assert queue.reclaim() == ()

    tidy(context_of(redis_server, tmp_path))
    assert set(places(queue)) == {"waiting"}


def test_a_living_worker_s_job_is_left_alone(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """However often the janitor comes by."""
    queue = queue_of(redis_server)
    for _ in range(3):
        assert tidy(context_of(redis_server, tmp_path)) is None

    assert set(places(queue)) == {f"inflight:{CLAIM}"}


def test_what_was_spooled_is_put_in_line_by_the_janitor(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Even when no producer comes by again."""
    context = context_of(redis_server, tmp_path)
    redis_server.kill()
    assert context.producer.enqueue("pr_digest", {}).placed == "spooled"
    redis_server.restart()

    tidy(context)
    assert len(places(Queue(context.wire, WORKERS["pr_digest"]))["waiting"]) == 1
