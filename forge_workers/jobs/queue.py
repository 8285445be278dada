"""One worker's queue: what producers put in, what a process with a claim takes out and gives back.

Every operation is one step of ``queue.lua``, whose header lists the keys; plain enqueueing is one RPUSH. A process that
reserves has a *claim*, 128 random bits in the name of its in-flight list, which is the token every later operation is
held against. Belongs here: those operations. Does not belong here: what becomes of a failed job (``retry.py``), doing
jobs (``daemon.py``), showing queues (``inspection.py``), or what happens while Redis is away (``spool.py``).
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from forge_workers.catalog import Worker
from forge_workers.errors import BadArgs
from forge_workers.jobs.job import Job, identity_of, new_job
from forge_workers.log import event
from forge_workers.wire import Script, Wire

_log = logging.getLogger(__name__)

#: Dead letters kept per worker, and outcomes kept per worker.
MOST_DEAD, MOST_DONE = 1_000, 200
#: The stream of what workers tell Dagster.
EVENTS = "forge:events"
_NOTICES = "forge:{slack_notifier}:waiting"
_SCRIPT = Script(Path(__file__).with_name("queue.lua").read_text(encoding="utf-8"))

Placed = Literal["queued", "scheduled", "duplicate", "spooled"]


@dataclass(frozen=True)
class Pace:
    """How fast a process that died is noticed; the same in every process of a worker.

    Attributes:
        ttl_s: Seconds after which a process that says nothing counts as dead.
        beat_s: Seconds between two beats: two may be lost.
        settle_s: Seconds in which no heartbeat counts as expired after Redis has started, or after a time as long in
            which nobody looked, as when the machine slept; whole ones. 0 only in tests.
    """

    ttl_s: float = 15.0
    beat_s: float = 5.0
    settle_s: float = 15.0


def prefix_of(worker: str) -> str:
    """Return what the names of this worker's keys begin with."""
    return f"forge:{{{worker}}}"


class Ticket(NamedTuple):
    """Where an enqueued job went.

    Attributes:
        id: Its id; of a duplicate, the id of the job that is there.
        placed: ``queued``, ``scheduled``, ``duplicate``, or ``spooled``: on disk until Redis is back.
    """

    id: str
    placed: Placed


class Fetched(NamedTuple):
    """What the queue had.

    Attributes:
        raw: The next job's bytes, now in flight; None when nothing is ready.
        due_at: When the next scheduled one is due, UTC unix seconds, None when there is none.
        kept: Whether the claim still held the job that was finished; its outcome counts only then.
    """

    raw: bytes | None
    due_at: float | None
    kept: bool = True


@dataclass(frozen=True)
class TakenBack:
    """A job that a dead process had in flight: back in line, or buried after too many deaths."""

    id: str
    buried: bool


class Queue:
    """The queue of one worker.

    Every method raises ``wire.Unanswered`` when Redis gives no answer and ``wire.Refused`` when it refuses.

    Args:
        wire: The way to Redis.
        row: The worker.
        clock: UTC unix seconds.
        pace: How fast dead processes are noticed.
    """

    def __init__(
        self, wire: Wire, row: Worker, clock: Callable[[], float] = time.time, pace: Pace | None = None
    ) -> None:
        self.row = row
        self.pace = pace or Pace()
        self.wire = wire
        self._clock = clock
        self._prefix = prefix_of(row.name)
        self._waiting = f"{self._prefix}:waiting"
        self._keys = (self._prefix, EVENTS, _NOTICES)

    def enqueue(
        self,
        args: Mapping[str, Any],
        *,
        key: str = "",
        urgent: bool = False,
        at: float | None = None,
        delay_s: float | None = None,
        by: str = "person",
    ) -> Ticket:
        """Put a job in line; when this returns, Redis has it.

        Args:
            args: What to do.
            key: While a job with this key waits or runs, a second one is not taken.
            urgent: Put it first in line.
            at: Not before this time, UTC unix seconds.
            delay_s: Not before so many seconds from now.
            by: Who asks.

        Raises:
            BadArgs: The arguments do not fit; nothing was sent.
            wire.Unanswered: Redis may or may not have it; repeat with :meth:`place` and ``sure=True``.
        """
        now = self._clock()
        job = new_job(self.row, args, now=now, key=key, by=by)
        return self.place(job, urgent=urgent, due=at if delay_s is None else now + delay_s)

    def place(self, job: Job, *, urgent: bool = False, due: float | None = None, sure: bool = False) -> Ticket:
        """Put ``job`` in line.

        Args:
            job: Made by ``new_job``.
            urgent: Put it first.
            due: Not before this time, UTC unix seconds.
            sure: It may have been put there before: look for it everywhere first. Slower.
        """
        if due is not None and (urgent or not math.isfinite(due)):
            raise BadArgs(f"{self.row.name}: a job is either urgent or for a certain time, and that is a number")
        if not (job.key or urgent or sure or due is not None):
            self.wire.call("RPUSH", self._waiting, job.raw)
            return Ticket(job.id, "queued")
        when = "" if due is None else repr(due)
        placed, where = self._run("enqueue", job.raw, job.id, job.key, when, int(urgent), int(sure))
        return Ticket(where.decode(), placed.decode())

    def register(self, claim: str, facts: Mapping[str, Any]) -> None:
        """Let the process with ``claim`` reserve; ``facts`` say who it is, for people."""
        self._run("register", claim, _ms(self.pace.ttl_s), json.dumps(facts))

    def beat(self, claim: str, facts: Mapping[str, Any]) -> bool:
        """Give a sign of life, and say whether the claim still stands."""
        return bool(self._run("beat", claim, _ms(self.pace.ttl_s), json.dumps(facts)) == 1)

    def fetch(self, claim: str) -> Fetched:
        """Reserve the next job if one is ready; what a lost reply had reserved comes first."""
        raw, due = self._run("fetch", claim, repr(self._clock()))
        return Fetched(raw, _number(due))

    def wait(self, claim: str, wait_s: float) -> bytes | None:
        """Reserve the next job, woken by its arrival; None when none came within ``wait_s`` seconds."""
        reply: bytes | None = self.wire.call(
            "BLMOVE", self._waiting, f"{self._prefix}:inflight:{claim}", "LEFT", "RIGHT", f"{wait_s:.3f}", wait_s=wait_s
        )
        return reply

    def done(self, claim: str, job: Job, record: str, *, event: str = "", notice: bytes = b"", more: bool) -> Fetched:
        """Acknowledge ``job`` and fetch the next in one step.

        Args:
            claim: Of the process that reserved it.
            job: As reserved.
            record: What became of it, JSON, kept among the newest.
            event: For Dagster, JSON; "" for none.
            notice: A job for ``slack_notifier``; empty for none.
            more: Whether to fetch the next.
        """
        return self._finish(claim, job, "done", value=record, most=MOST_DONE, event=event, notice=notice, more=more)

    def put_back(self, claim: str, job: Job, again: Job, at: float, *, snoozed: bool, more: bool) -> Fetched:
        """Schedule ``job`` as ``again`` for ``at`` and fetch the next in one step."""
        how = "snoozed" if snoozed else "retried"
        value = repr(at).encode() + b" " + again.raw
        return self._finish(claim, job, how, value=value, most=0, event="", notice=b"", more=more)

    def bury(self, claim: str, job: Job, letter: str, *, event: str = "", notice: bytes = b"", more: bool) -> Fetched:
        """Put ``job`` among the dead letters and fetch the next in one step."""
        return self._finish(claim, job, "bury", value=letter, most=MOST_DEAD, event=event, notice=notice, more=more)

    def hand_back(self, claim: str) -> int:
        """Put what ``claim`` has in flight first in line again and end the claim; return how many jobs."""
        return int(self._run("return", claim))

    def reclaim(self) -> tuple[TakenBack, ...]:
        """Take back what processes with an expired heartbeat had in flight, and log each."""
        return self._moved(
            self._run("reclaim", repr(self._clock()), self.row.max_deaths, MOST_DEAD, self.pace.settle_s)
        )

    def retire(self, claim: str) -> tuple[TakenBack, ...]:
        """Take back what ``claim`` had in flight, heartbeat or not.

        Only for who knows from the kernel that the claim's process and its children are gone.
        """
        return self._moved(self._run("retire", repr(self._clock()), self.row.max_deaths, MOST_DEAD, claim))

    def requeue(self, letter: bytes, job: Job) -> Literal["queued", "gone", "duplicate"]:
        """Move a dead letter back in line as ``job``; ``duplicate`` when another job has its key by now."""
        answers: dict[int, Literal["queued", "gone", "duplicate"]] = {1: "queued", 0: "gone", -1: "duplicate"}
        return answers[self._run("requeue", letter, job.raw, job.id, job.key)]

    def drop(self, letter: bytes) -> bool:
        """Remove a dead letter, and say whether it was there."""
        return bool(self._run("drop", letter))

    def _finish(
        self, claim: str, job: Job, how: str, *, value: str | bytes, most: int, event: str, notice: bytes, more: bool
    ) -> Fetched:
        now = repr(self._clock())
        kept, raw, due = self._run(
            "finish", claim, now, job.raw, job.id, job.key, how, value, most, event, notice, int(more)
        )
        return Fetched(raw, _number(due), kept == 1)

    def _moved(self, reply: list[bytes]) -> tuple[TakenBack, ...]:
        pairs = zip(reply[::2], reply[1::2], strict=True)
        moved = tuple(TakenBack(identity_of(raw), how == b"buried") for raw, how in pairs)
        for taken in moved:
            what = "job.buried" if taken.buried else "job.reclaimed"
            event(_log, what, logging.WARNING, worker=self.row.name, job=taken.id, why="its process died")
        return moved

    def _run(self, operation: str, *args: str | bytes | float) -> Any:
        return self.wire.run(_SCRIPT, self._keys, operation, *args)


def _number(reply: bytes | None) -> float | None:
    return None if reply is None else float(reply)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
