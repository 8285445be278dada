"""Doing one job: with the lease if the row asks, in a process of its own, and telling what became of it.

One of exactly two places that take the GPU lease; the other is ``forge_assets/resources/gpu.py``. Belongs here: from a
reserved job to its outcome in Redis. Does not belong here: reserving (``daemon.py``), the process (``runner.py``), or
deciding about another attempt (``retry.py``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from forge_workers.address import model_of
from forge_workers.catalog import WORKERS, Worker, resolve
from forge_workers.errors import ForgeError, Permanent, Snooze, Transient
from forge_workers.jobs import outcome
from forge_workers.jobs.heartbeat import Heartbeat
from forge_workers.jobs.job import Job, again, identity_of
from forge_workers.jobs.queue import Fetched, Pace, Queue
from forge_workers.jobs.retry import Bury, Later, after_failure, reason_of
from forge_workers.jobs.runner import Child, Done, Interrupted, Raised, Watch
from forge_workers.jobs.spool import Producer
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.wire import Wire

if TYPE_CHECKING:
    from forge_workers.gpu.held import Lease

_log = logging.getLogger(__name__)

#: The one GPU of this machine.
_DEVICE = "local:0"
#: Seconds until a job asks for the lease again when Redis could not be asked.
_RETRY_LEASE_S = 5.0


class Owner(Protocol):
    """What a doer needs of its daemon."""

    queue: Queue
    heartbeat: Heartbeat
    producer: Producer

    @property
    def wake(self) -> int:
        """A file that becomes readable when a signal has come."""

    @property
    def slot_file(self) -> int:
        """The locked file that a job's process must inherit."""

    @property
    def stopping(self) -> bool:
        """Whether no further job is to be taken."""

    def must_end(self) -> bool:
        """Whether the job at work must end now."""

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        """Let a signal to stop break off what is done in here."""

    def insist(self, act: Callable[[], Fetched]) -> tuple[Fetched, bool]:
        """Do ``act`` until Redis answers."""


@dataclass(frozen=True)
class Context:
    """What the function of an inline row is given.

    Attributes:
        args: The job's arguments; empty on the row's own rounds.
        home: ``FORGE_HOME``.
        wire: The way to Redis.
        producer: Puts jobs in line.
        now: UTC unix seconds.
        pace: How fast dead processes are noticed.
    """

    args: Mapping[str, Any]
    home: Path
    wire: Wire
    producer: Producer
    now: float
    pace: Pace


class _TimeLimit(BaseException):
    """The inline function ran too long."""


def _too_long(*_: object) -> None:
    raise _TimeLimit


class Doer:
    """Does the jobs of one daemon.

    Args:
        row: The worker.
        home: ``FORGE_HOME``.
        wire: The way to Redis.
        owner: The daemon.
        clock: UTC unix seconds.
    """

    def __init__(self, row: Worker, home: Path, wire: Wire, owner: Owner, clock: Callable[[], float]) -> None:
        self._row = row
        self._home = home
        self._wire = wire
        self._owner = owner
        self.clock = clock
        self._function: Callable[[Context], str | None] | None = None
        if row.inline:
            signal.signal(signal.SIGALRM, _too_long)

    def do(self, job: Job) -> Fetched:
        """Do ``job``, say what became of it, and return what was fetched with that; nothing after an interruption."""
        began = time.monotonic()
        try:
            ended = self._inline(job) if self._row.inline else self._leased(job)
        except ForgeError as error:  # no lease, or no process could be started
            ended = Raised(error)
        seconds = time.monotonic() - began
        if isinstance(ended, Interrupted):
            event(_log, "job.interrupted", logging.WARNING, worker=job.worker, job=job.id, seconds=seconds)
            return Fetched(None, None)
        if isinstance(ended, Done):
            return self._done(job, ended, seconds)
        return self._failed(job, ended, seconds)

    def bury_unread(self, raw: bytes, reason: str) -> Fetched:
        """Put aside what is no job, with its bytes."""
        job = Job(id=identity_of(raw), worker=self._row.name, args={}, queued_at=self.clock(), raw=raw)
        return self._bury(job, reason, "")

    def context(self, args: Mapping[str, Any]) -> Context:
        """Return what an inline function is given."""
        return Context(args, self._home, self._wire, self._owner.producer, self.clock(), self._queue.pace)

    def _inline(self, job: Job) -> Done | Raised:
        """Call the function here, under the time limit."""
        context = self.context(job.args)
        try:
            if self._function is None:
                self._function = resolve(self._row.function)  # importing takes its time only once
            # Again and again: Python drops what is raised inside a garbage collection.
            signal.setitimer(signal.ITIMER_REAL, self._row.timeout_s, 1.0)
            try:
                said = self._function(context)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _TimeLimit:
            return Raised(Transient(f"it ran longer than its time limit of {self._row.timeout_s:g} s"))
        except Exception as error:  # noqa: BLE001  whatever a handler raises becomes an outcome
            kept = error if isinstance(error, ForgeError) else Transient(reason_of(error))
            return Raised(kept, traceback.format_exc())
        if not isinstance(said, str | None):
            return Raised(Permanent(f"{self._row.function} returned {type(said).__name__}, not a text"))
        return Done({"headline": said} if said else {})

    def _leased(self, job: Job) -> Done | Raised | Interrupted:
        with self._lease(job) as lease:
            order = {
                "function": self._row.function,
                "upstream": dict(self._row.upstream),
                "worker": job.worker,
                "job": {
                    "id": job.id,
                    "args": dict(job.args),
                    "attempt": job.attempt,
                    "queued_at": job.queued_at,
                    "by": job.by,
                },
                "gpu": self._row.gpu,
                "term": lease.term if lease else None,
                "device": _DEVICE if lease else None,
                "home": str(self._home),
            }
            child = self._started(order, lease)
            return child.run(self._row.timeout_s, self._watch(lease))

    def _started(self, order: Mapping[str, Any], lease: Lease | None) -> Child:
        environ = {**os.environ, "FORGE_HOME": str(self._home)}
        try:
            return Child.start(order, environ, lease, (self._owner.slot_file,))
        except OSError as error:
            raise Transient(f"its process could not be started: {error.strerror}") from error

    @contextlib.contextmanager
    def _lease(self, job: Job) -> Iterator[Lease | None]:
        """Hold the GPU lease if the row asks for it.

        Raises:
            Snooze: It did not come, or Redis does not answer.
        """
        if not self._row.gpu:
            yield None
            return
        from forge_workers.gpu.lease import Leases, Priority  # noqa: PLC0415  only GPU rows pay for it
        from forge_workers.gpu.mutex import mutex_file  # noqa: PLC0415

        leases = Leases(self._wire, _DEVICE, mutex=mutex_file(self._home, _DEVICE))
        try:
            with self._owner.interruptible():
                lease = leases.acquire(
                    f"{job.worker} {job.id[:8]}",
                    wait_s=self._row.gpu_wait_s,
                    priority=Priority.INTERACTIVE if job.by == "person" else Priority.NIGHT,
                    model=model_of(os.environ, self._home),
                )
        except Snooze as error:
            args = {"kind": "contention", "title": plain(str(error), 300), "worker": job.worker, "reason": "gpu"}
            self._notify(args, key=f"contention:{job.worker}")
            raise
        except Transient as error:  # it was never had, so this was no attempt
            raise Snooze(_RETRY_LEASE_S, str(error)) from error
        with lease:
            yield lease

    def _notify(self, args: Mapping[str, Any], key: str) -> None:
        """Have something told in Slack; what cannot be told must not cost the job an attempt."""
        with contextlib.suppress(ForgeError, OSError):
            self._owner.producer.enqueue("slack_notifier", args, key=key, by=self._row.name)

    def _watch(self, lease: Lease | None) -> Watch:
        beat = self._owner.heartbeat

        def progress(text: str) -> None:
            beat.progress(text)
            if lease is not None:
                lease.progress()

        return Watch(
            wake=self._owner.wake,
            must_end=self._owner.must_end,
            lease_over=lease.over if lease is not None else lambda: None,
            progress=progress,
        )

    def _done(self, job: Job, ended: Done, seconds: float) -> Fetched:
        now, summary = self.clock(), ended.summary
        kept = outcome.record(job, now=now, seconds=seconds, summary=summary)
        told, notice = "", b""
        if not self._row.inline:
            event(_log, "job.done", worker=job.worker, job=job.id, attempt=job.attempt, seconds=seconds)
            told = outcome.told(job, kind="done", now=now, summary=summary)
            notice = outcome.notice_of_done(WORKERS["slack_notifier"], job, summary, now=now)
        return self._settled(
            job, lambda more: self._queue.done(self._claim, job, kept, event=told, notice=notice, more=more)
        )

    def _failed(self, job: Job, ended: Raised, seconds: float) -> Fetched:
        decision = after_failure(job, ended.error, self._row, now=self.clock(), jitter=random.random)
        error = type(ended.error).__name__
        if isinstance(decision, Bury):
            return self._bury(job, decision.reason, ended.traceback)
        snoozed = isinstance(decision, Later)
        what = "job.snooze" if snoozed else "job.retry"
        wait_s = decision.at - self.clock()
        facts = {"attempt": job.attempt, "seconds": seconds, "wait_s": wait_s, "error": error, "why": ended.error}
        event(_log, what, logging.WARNING, worker=job.worker, job=job.id, **facts)
        if job.by == "person" and not snoozed and job.attempt == 1:
            title = plain(f"{job.worker} is tried again: {ended.error}", 300)
            self._notify({"kind": "failed", "title": title, "worker": job.worker}, key=f"failed:{job.id}")
        next_try = again(job, attempt=job.attempt + (0 if snoozed else 1))
        return self._settled(
            job,
            lambda more: self._queue.put_back(self._claim, job, next_try, decision.at, snoozed=snoozed, more=more),
        )

    def _bury(self, job: Job, reason: str, trace: str) -> Fetched:
        now = self.clock()
        event(_log, "job.buried", logging.ERROR, worker=job.worker, job=job.id, attempt=job.attempt, why=reason)
        letter = outcome.letter(job.raw, job.id, now=now, reason=reason, traceback=trace)
        told = outcome.told(job, kind="buried", now=now, summary={"reason": reason})
        notice = outcome.notice_of_buried(WORKERS["slack_notifier"], job, reason, now=now)
        return self._settled(
            job, lambda more: self._queue.bury(self._claim, job, letter, event=told, notice=notice, more=more)
        )

    def _settled(self, job: Job, act: Callable[[bool], Fetched]) -> Fetched:
        """Say the outcome until Redis has it; an outcome of a claim that was taken back does not count."""
        fetched, tried = self._owner.insist(lambda: act(not self._owner.stopping))
        if not fetched.kept and not tried:
            event(_log, "job.refused", logging.WARNING, worker=job.worker, job=job.id, why="its claim was taken back")
        return fetched

    @property
    def _queue(self) -> Queue:
        return self._owner.queue

    @property
    def _claim(self) -> str:
        return self._owner.heartbeat.claim
