"""One always-on worker: ``python -m forge_workers.jobs.daemon <worker> <slot>``.

Takes a job, takes the GPU lease if the row asks, has the job done, says what became of it, and fetches the next in the
same step. While idle it waits in Redis, woken by the job's arrival. SIGTERM: no further job; the one at work finishes
within the row's grace or is handed back; exit 0. A second SIGTERM hands back at once.

Belongs here: that loop, and Redis going away under it. Does not belong here: how a job's process is run
(``runner.py``), what it is worth another attempt (``retry.py``), or what any worker does. It imports no worker's
module: the job's own process does, and only its own worker's.
"""

from __future__ import annotations

import logging
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from forge_workers.address import home_of, redis_url_of
from forge_workers.catalog import WORKERS, Worker, worker
from forge_workers.errors import ForgeError
from forge_workers.jobs import server
from forge_workers.jobs.doing import Doer
from forge_workers.jobs.heartbeat import Heartbeat
from forge_workers.jobs.job import NoJob, decode, identity_of
from forge_workers.jobs.queue import Fetched, Pace, Queue
from forge_workers.jobs.rounds import Rounds
from forge_workers.jobs.slot import Slot
from forge_workers.jobs.spool import Producer
from forge_workers.log import event
from forge_workers.wire import Refused, Unanswered, Wire

_log = logging.getLogger(__name__)

#: Longest wait on the server, seconds: below the wire's time-out, and short enough for what is scheduled meanwhile.
BLOCK_S = 4.0
#: First and longest pause while Redis is away, seconds.
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0


class Stopping(BaseException):
    """SIGTERM came while nothing was at work."""


class Daemon:
    """One process of one worker.

    Args:
        row: The worker.
        home: ``FORGE_HOME``.
        wire: The way to Redis.
        slot: Which of the worker's processes, from 0.
        clock: UTC unix seconds.
        pace: How fast dead processes are noticed.
    """

    def __init__(
        self,
        row: Worker,
        home: Path,
        wire: Wire,
        slot: int = 0,
        *,
        clock: Callable[[], float] = time.time,
        pace: Pace | None = None,
    ) -> None:
        self.row = row
        self.queue = Queue(wire, row, clock, pace)
        self._slot = Slot(home, row.name, slot)
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "slot": slot, "started_at": clock()}
        self.heartbeat = Heartbeat(self.queue, facts, clock)
        self.producer = Producer(wire, home, WORKERS, clock)
        self._stop_by: float | None = None
        self._idle = False
        self._away_since: float | None = None
        self._pause_s = _PAUSE_S
        self._wake, self._noted = os.pipe()
        self._doer = Doer(row, home, wire, self, clock)
        self._rounds = Rounds(row, home, self.producer, lambda: self._doer.context({}))

    def run(self) -> int:
        """Work until told to stop; return the exit code."""
        self._hear_signals()
        try:
            with self.interruptible():
                last = self._slot.take()
            self._begin(last)
            self._work()
        except Stopping:
            pass
        return self._leave()

    @property
    def wake(self) -> int:
        """A file that becomes readable when a signal has come."""
        return self._wake

    @property
    def slot_file(self) -> int:
        """The locked file that a job's process must inherit."""
        return self._slot.jobs

    def must_end(self) -> bool:
        """Whether the job at work must end now: the grace is over, or another process may have the job."""
        return self.heartbeat.lost.is_set() or (self._stop_by is not None and time.monotonic() >= self._stop_by)

    @property
    def stopping(self) -> bool:
        """Whether no further job is to be taken."""
        return self._stop_by is not None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise :class:`Stopping` in here: nothing is at work that could be half done."""
        self._idle = True  # first: a signal between the two must not be missed
        try:
            if self.stopping:
                raise Stopping
            yield
        finally:
            self._idle = False

    def insist(self, act: Callable[[], Fetched]) -> tuple[Fetched, bool]:
        """Do ``act`` until Redis answers; return its answer and whether an earlier try may have counted.

        Raises:
            Stopping: Told to stop and Redis still does not answer; what was in flight is taken back later.
        """
        tried = False
        while True:
            try:
                found = act()
            except (Unanswered, Refused) as error:
                tried = True
                self._away(error)
            else:
                self._back()
                return found, tried

    def _begin(self, last: str | None) -> None:
        """Get a claim, and take back at once what the last process of this slot had in flight."""

        def register() -> Fetched:
            server.check(self.queue.wire)
            if self.heartbeat.claim:  # a wait under way may have been given a job after the claim was taken back
                self.queue.hand_back(self.heartbeat.claim)
            if last is not None:
                self.queue.retire(last)
            self._slot.write(claim)
            self.heartbeat.begin(claim)
            return Fetched(None, None)

        claim = os.urandom(16).hex()
        self.insist(register)
        event(_log, "worker.started", worker=self.row.name, pid=os.getpid())

    def _work(self) -> None:
        fetched = Fetched(None, None)
        looked_at = 0.0
        while not self.stopping:
            if self.heartbeat.lost.is_set():
                event(_log, "claim.lost", logging.WARNING, worker=self.row.name)
                self._begin(None)
                fetched, looked_at = Fetched(None, None), 0.0  # it was taken back with the claim
            self._rounds.go()
            if fetched.raw is not None:
                fetched = self._do(fetched.raw)
                looked_at = time.monotonic() if fetched.kept else 0.0  # a lost reply may have reserved the next
                continue
            try:
                if time.monotonic() >= looked_at + BLOCK_S or fetched.due_at is not None:
                    fetched, looked_at = self.queue.fetch(self.heartbeat.claim), time.monotonic()
                if fetched.raw is None:
                    fetched = Fetched(self._waited(fetched.due_at), fetched.due_at)
                self._back()
            except (Unanswered, Refused) as error:
                self._away(error)
                fetched, looked_at = Fetched(None, None), 0.0  # a lost reply may have reserved a job: look first

    def _waited(self, due_at: float | None) -> bytes | None:
        """Wait for a job until the next one is due, the next round, or the next look."""
        wait_s = min(BLOCK_S, self._rounds.next_in_s())
        if due_at is not None:
            wait_s = min(wait_s, due_at - self._doer.clock())
        if wait_s <= 0:
            return None
        with self.interruptible():
            return self.queue.wait(self.heartbeat.claim, max(wait_s, 0.001))

    def _do(self, raw: bytes) -> Fetched:
        """Do one job, say what became of it, and return what was fetched with that."""
        try:
            job = decode(raw, self.row)
        except NoJob as error:
            event(_log, "job.malformed", logging.ERROR, worker=self.row.name, job=identity_of(raw), bytes=len(raw))
            return self._doer.bury_unread(raw, str(error))
        self.heartbeat.working_on(job.id)
        following = self._doer.do(job)
        if following.raw is None:
            self.heartbeat.working_on("")
        return following

    def _leave(self) -> int:
        """Hand back what is in flight, and end the claim."""
        self.heartbeat.end()
        try:
            back = self.queue.hand_back(self.heartbeat.claim) if self.heartbeat.claim else 0
        except (Unanswered, Refused):
            back = -1  # it is taken back when the heartbeat expires
        self._slot.close()
        event(_log, "worker.stopped", worker=self.row.name, handed_back=back)
        return 0

    def _away(self, error: ForgeError) -> None:
        """Wait a moment for Redis; say once that it is away."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            what = "redis.refuses" if isinstance(error, Refused) else "redis.away"
            event(_log, what, logging.WARNING, worker=self.row.name, why=error)
        if self.stopping and (self.must_end() or not self.heartbeat.claim):
            raise Stopping
        pause_s = self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311  27 daemons must not come at once
        if select.select([self._wake], [], [], pause_s)[0]:
            os.read(self._wake, 1024)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)

    def _back(self) -> None:
        if self._away_since is not None:
            event(_log, "redis.back", worker=self.row.name, away_s=time.monotonic() - self._away_since)
            self._away_since, self._pause_s = None, _PAUSE_S

    def _hear_signals(self) -> None:
        os.set_blocking(self._noted, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._noted, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: object) -> None:
        grace_s = self.row.grace_s if self._stop_by is None else 0.0
        self._stop_by = time.monotonic() + grace_s
        event(_log, "worker.stopping", worker=self.row.name, signal=signal.Signals(number).name, grace_s=grace_s)
        if self._idle:
            raise Stopping


def start(row: Worker, slot: int, pace: Pace | None = None) -> int:
    """Run a daemon for ``row`` with the environment's home and Redis; return its exit code."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        home = home_of(os.environ)
        return Daemon(row, home, Wire(redis_url_of(os.environ, home)), slot, pace=pace).run()
    except ForgeError as error:
        event(_log, "worker.refused", logging.ERROR, worker=row.name, why=error)
        return 2
    except Exception:  # noqa: BLE001  the supervisor starts it anew; the reason must be in its log
        event(_log, "worker.broken", logging.ERROR, worker=row.name, traceback=traceback.format_exc())
        return 1


if __name__ == "__main__":
    sys.exit(start(worker(sys.argv[1]), int(sys.argv[2])))
