"""A queue of a toy row on a private Redis, and a look at every place a job can be in."""

from __future__ import annotations

import json
from typing import Any

from forge_workers.jobs.job import Job, decode
from forge_workers.jobs.queue import Pace, Queue, prefix_of
from forge_workers.wire import Wire
from tests.jobs.toy_daemon import toy_row
from tests.standins.redis import PrivateRedis

CLAIM, OTHER = "a" * 32, "b" * 32


class Clock:
    """A clock that stands until a test moves it; UTC unix seconds."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def wire_to(server: PrivateRedis) -> Wire:
    """Return a wire to ``server``."""
    return Wire(f"unix://{server.socket}")


def toy_queue(server: PrivateRedis, clock: Clock | None = None, **facts: Any) -> Queue:
    """Return the queue of a toy row with one claim registered."""
    queue = Queue(wire_to(server), toy_row(**facts), clock or Clock(), Pace(settle_s=0))
    queue.register(CLAIM, {})
    return queue


def fetched(queue: Queue, claim: str = CLAIM) -> Job:
    """Reserve the next job, which must be there."""
    raw = queue.fetch(claim).raw
    assert raw is not None, "nothing was ready"
    return decode(raw, queue.row)


def places(queue: Queue) -> dict[str, list[bytes]]:
    """Return what is in each place of the queue, empty places left out."""
    prefix = prefix_of(queue.row.name)
    found: dict[str, list[bytes]] = {
        "waiting": queue.wire.call("LRANGE", f"{prefix}:waiting", 0, -1),
        "scheduled": queue.wire.call("ZRANGE", f"{prefix}:scheduled", 0, -1),
        "dead": [json.loads(letter)["job"].encode() for letter in queue.wire.call("LRANGE", f"{prefix}:dead", 0, -1)],
    }
    for key in queue.wire.call("KEYS", f"{prefix}:inflight:*"):
        found[key.decode().removeprefix(f"{prefix}:")] = queue.wire.call("LRANGE", key, 0, -1)
    return {place: jobs for place, jobs in found.items() if jobs}


def counts(queue: Queue) -> dict[str, int]:
    """Return the queue's counters."""
    flat = queue.wire.call("HGETALL", f"{prefix_of(queue.row.name)}:counts")
    return {name.decode(): int(number) for name, number in zip(flat[::2], flat[1::2], strict=True)}


def expire(queue: Queue, claim: str = CLAIM) -> None:
    """Let the heartbeat of ``claim`` expire."""
    queue.wire.call("DEL", f"{prefix_of(queue.row.name)}:alive:{claim}")
