"""Where jobs wait while Redis is away: one bounded file that survives a power cut, replayed in order.

A line is one job with where it goes. While the file has lines every new job goes behind them, so that a producer's jobs
keep their order. A job whose reply was lost is spooled too: replaying looks for it first, so that it is not put in line
twice. Belongs here: that file. Does not belong here: the queue (``queue.py``).
"""

from __future__ import annotations

import fcntl
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
from forge_workers.jobs.queue import Queue, Ticket
from forge_workers.log import event
from forge_workers.wire import Refused, Unanswered, Wire

_log = logging.getLogger(__name__)

#: Largest spool in bytes: 60,000 jobs of the usual 250 bytes.
MOST_BYTES = 16 * 1024 * 1024
#: How a server that has just started and reads its data refuses: it is as good as away.
_LOADING = "LOADING"


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

        Raises:
            BadArgs: There is no such worker, or the arguments do not fit; nothing was kept.
            SpoolFull: Redis is away and the spool is full; nothing was kept.
            wire.Refused: Redis answers and refuses, for example because it is full; nothing was kept.
        """
        queue = self._queue(worker)
        now = self._clock()
        job = new_job(queue.row, args, now=now, key=key, by=by)
        due = at if delay_s is None else now + delay_s
        unsure = False
        if self.replay():
            try:
                return queue.place(job, urgent=urgent, due=due)
            except Unanswered:
                unsure = True
            except Refused as refused:
                if refused.code != _LOADING:
                    raise
        self._append(job, urgent=urgent, due=due)
        event(_log, "job.spooled", logging.WARNING, worker=worker, job=job.id, unsure=unsure)
        return Ticket(job.id, "spooled")

    def replay(self) -> bool:
        """Send what is spooled, oldest first; return whether nothing is left in the spool."""
        try:
            if self._path.stat().st_size == 0:
                return True
        except FileNotFoundError:
            return True
        with self._locked():
            lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
            sent = 0
            try:
                for line in lines:
                    self._send(line)
                    sent += 1
            except (Unanswered, Refused):
                pass
            if sent:
                files.replace(self._path, b"".join(lines[sent:]).decode("utf-8", "replace"))
                event(_log, "job.replayed", jobs=sent, left=len(lines) - sent)
            return sent == len(lines)

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
            fcntl.flock(lock, fcntl.LOCK_EX)
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
