"""Where jobs wait while Redis is away: one bounded file that survives a power cut, replayed in order.

A line is one job with where it goes. While the file has lines every new job goes behind them, so that a producer's jobs
keep their order. A job whose reply was lost is spooled too: replaying looks for it first, so that it is not put in line
twice. Belongs here: that file. Does not belong here: the queue (``queue.py``).
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from forge_workers import files
from forge_workers.catalog import Worker
from forge_workers.errors import BadArgs, Transient
from forge_workers.jobs.job import Job, NoJob, decode, new_job
from forge_workers.jobs.queue import MOST_DONE, Queue, Ticket
from forge_workers.log import event
from forge_workers.private import locked
from forge_workers.wire import Refused, Unanswered, Wire

_log = logging.getLogger(__name__)

#: Largest spool in bytes: 60,000 jobs of the usual 250 bytes.
MOST_BYTES = 16 * 1024 * 1024
#: How a server that has just started and reads its data refuses: it is as good as away.
_LOADING = "LOADING"
#: Jobs sent before it is noted how far it came; below the outcomes that a queue remembers.
_BATCH = MOST_DONE // 2
#: Longest wait for another process that appends or replays, seconds.
_PATIENCE_S = 10.0


class SpoolFull(Transient):
    """Redis is away and the spool is full; the job was not taken."""


class Producer:
    """Puts jobs in line for any worker, or into the spool while Redis does not answer.

    Args:
        wire: The way to Redis.
        home: ``FORGE_HOME``.
        rows: The workers there are, by name.
        clock: UTC unix seconds.
        most_bytes: Largest spool.
    """

    def __init__(
        self,
        wire: Wire,
        home: Path,
        rows: Mapping[str, Worker],
        clock: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._wire = wire
        self._rows = rows
        self._clock = clock
        self._path = home / "spool" / "jobs.jsonl"
        self._most_bytes = most_bytes
        self._queues: dict[str, Queue] = {}

    def enqueue(
        self,
        worker: str,
        args: Mapping[str, Any],
        *,
        key: str = "",
        urgent: bool = False,
        at: float | None = None,
        delay_s: float | None = None,
        by: str = "person",
        job_id: str | None = None,
    ) -> Ticket:
        """Put a job in line, or safely into the spool while Redis is away.

        Args:
            worker: Whose job it is.
            args: What to do.
            key: While a job with this key waits or runs, a second one is not taken.
            urgent: Put it first in line.
            at: Not before this time, UTC unix seconds.
            delay_s: Not before so many seconds from now.
            by: Who asks.
            job_id: Its name, for a caller that may ask for the very same job again: at the same time of its clock, it
                is found where it is and not put in line twice.

        Raises:
            BadArgs: There is no such worker, or the arguments do not fit; nothing was kept.
            SpoolFull: Redis is away and the spool is full; nothing was kept.
            wire.Refused: Redis answers and refuses, for example because it is full; nothing was kept.
        """
        queue = self._queue(worker)
        now = self._clock()
        job = new_job(queue.row, args, now=now, key=key, by=by, job_id=job_id)
        due = at if delay_s is None else now + delay_s
        unsure = False
        if self.replay():
            try:
                return queue.place(job, urgent=urgent, due=due, sure=job_id is not None)
            except Unanswered:
                unsure = True
            except Refused as refused:
                if refused.code != _LOADING:
                    raise
        self._append(job, urgent=urgent, due=due)
        event(_log, "job.spooled", logging.WARNING, worker=worker, job=job.id, unsure=unsure)
        return Ticket(job.id, "spooled")

    def replay(self) -> bool:
        """Send what is spooled, oldest first; return whether nothing is left in the spool.

        Raises:
            wire.Refused: Redis refuses a job, for example because it is full; it and those after it stay.
            Transient: Another process has had the spool to itself for ten seconds.
        """
        while self._path.exists() and self._path.stat().st_size > 0:
            try:
                self._replay_some()
            except Unanswered:
                return False
            except Refused as refused:
                if refused.code != _LOADING:
                    raise
                return False
        return True

    def _replay_some(self) -> None:
        """Send some jobs and note how far it came: fewer than the outcomes that a queue remembers."""
        with self._locked(), self._path.open("rb") as spool:
            start, size = self._sent(), spool.seek(0, os.SEEK_END)
            spool.seek(start)
            sent = 0
            try:
                for line in itertools.islice(spool, _BATCH):
                    self._send(line)
                    sent += len(line)
            finally:
                if start + sent >= size:
                    os.truncate(self._path, 0)
                elif sent:
                    files.replace(self._path.with_suffix(".sent"), str(start + sent))
                if sent:
                    event(_log, "job.replayed", bytes=sent, left_bytes=size - start - sent)

    def _sent(self) -> int:
        """Return where the first job stands that was not sent yet."""
        try:
            return int(self._path.with_suffix(".sent").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _queue(self, worker: str) -> Queue:
        if worker not in self._queues:
            if worker not in self._rows:
                raise BadArgs(f"there is no worker {worker!r:.60}: choose one of {', '.join(sorted(self._rows))}")
            self._queues[worker] = Queue(self._wire, self._rows[worker], self._clock)
        return self._queues[worker]

    def _send(self, line: bytes) -> None:
        """Put one spooled job in line, unless it is there; what is no job of a worker we know is put aside."""
        try:
            kept = json.loads(line)
            raw = kept["job"].encode()
            queue = self._queue(json.loads(raw)["worker"])
            job = decode(raw, queue.row)
            queue.place(job, urgent=bool(kept["urgent"]), due=kept["due"], sure=True)
        except (ValueError, KeyError, TypeError, AttributeError, BadArgs, NoJob) as error:
            aside = self._path.with_suffix(".rejected")
            with aside.open("ab") as file:
                file.write(line)
            event(_log, "job.spool_rejected", logging.ERROR, file=aside, error=type(error).__name__)

    def _append(self, job: Job, *, urgent: bool, due: float | None) -> None:
        line = json.dumps({"job": job.raw.decode(), "urgent": urgent, "due": due}).encode() + b"\n"
        with self._locked(), self._path.open("a+b") as spool:
            size = _end_of_whole_lines(spool)
            if size + len(line) > self._most_bytes:
                raise SpoolFull(
                    f"Redis does not answer and the spool {self._path} is full ({size} bytes): "
                    f"start Redis (`forge up`); the job for {job.worker} was not taken"
                )
            if size == 0:
                self._path.with_suffix(".sent").unlink(missing_ok=True)  # first: it is of lines that are gone
            try:
                spool.truncate(size)
                spool.write(line)
                spool.flush()
                os.fsync(spool.fileno())
            except OSError:
                spool.truncate(size)
                raise
        files.sync(self._path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            until = time.monotonic() + _PATIENCE_S
            while not locked(lock):
                if time.monotonic() > until:
                    raise Transient(f"another process has kept {lock.name} for {_PATIENCE_S:.0f} s: end it")
                time.sleep(0.01)
            yield


def _end_of_whole_lines(spool: IO[bytes]) -> int:
    """Return where the last whole line ends: what a crash cut was never acknowledged."""
    size = spool.seek(0, os.SEEK_END)
    while size:
        start = max(0, size - 4096)
        spool.seek(start)
        found = spool.read(size - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0
