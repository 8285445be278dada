"""The sign of life of one daemon, given from a thread of its own, with what it is doing and how far it is.

Belongs here: the beat, what only a thread beside the work can see (a claim that was taken back, a parent that is gone,
an interpreter that is stuck), and taking back what dead peers had. Does not belong here: the work (``daemon.py``).
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from forge_workers.errors import ForgeError
from forge_workers.jobs.queue import Queue
from forge_workers.log import event

_log = logging.getLogger(__name__)

#: TTLs after which a process whose threads cannot run any more is ended, from C and without the interpreter: its job
#: was taken back long before, and a supervisor starts it anew.
_STUCK_TTLS = 8


class Heartbeat:
    """Beats for one claim until stopped.

    Args:
        queue: The worker's queue.
        facts: What each beat says beside the time: pid, host, slot, started_at.
        clock: UTC unix seconds.

    Attributes:
        claim: The claim it beats for.
        lost: Set when the claim was taken back.
    """

    def __init__(self, queue: Queue, facts: dict[str, Any], clock: Callable[[], float]) -> None:
        self.claim = ""
        self.lost = threading.Event()
        self._queue = queue
        self._facts = facts
        self._clock = clock
        self._job: tuple[str, float] = "", 0.0
        self._progress: tuple[str, float] = "", 0.0
        self._parent = os.getppid()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def begin(self, claim: str) -> None:
        """Register ``claim`` and beat for it from now on.

        Raises:
            wire.Unanswered, wire.Refused: Redis did not take it; call again.
        """
        self._queue.register(claim, self._said())
        self.claim = claim
        self.lost.clear()
        if not self._thread.is_alive():
            self._thread.start()

    def working_on(self, job_id: str) -> None:
        """Say which job is under way, "" for none; the next beat carries it."""
        self._job = job_id, self._clock()
        self._progress = "", self._job[1]

    def progress(self, text: str) -> None:
        """Say how far the job is."""
        self._progress = text[:200], self._clock()

    def end(self) -> None:
        """Beat no more."""
        self._ended.set()
        faulthandler.cancel_dump_traceback_later()

    def _said(self) -> dict[str, Any]:
        (job, since), (progress, progress_at) = self._job, self._progress
        doing = {"job": job, "job_since": since, "progress": progress, "progress_at": progress_at}
        return {**self._facts, **doing, "beat_at": self._clock()}

    def _beat_on(self) -> None:
        # Signals are for the main thread: one that lands here would not end what that one waits for.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
        while not self._ended.wait(self._queue.pace.beat_s):
            faulthandler.dump_traceback_later(_STUCK_TTLS * self._queue.pace.ttl_s, exit=True, file=2)
            if os.getppid() != self._parent:
                event(_log, "worker.orphaned", logging.WARNING, parent=self._parent)
                os.kill(os.getpid(), signal.SIGTERM)
                self._parent = os.getppid()
            try:
                self._beat()
            except ForgeError:
                continue  # the daemon says that Redis is away or refuses; beats go on when it is back

    def _beat(self) -> None:
        claim = self.claim
        if not self._queue.beat(claim, self._said()) and claim == self.claim:
            self.lost.set()
        self._queue.reclaim()
