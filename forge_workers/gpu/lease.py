"""The GPU lease: one holder per device, in Redis, with a kernel lock behind it.

Redis alone cannot keep two processes off a device: one that is paused past its expiry goes on when it wakes. So a
holder counts its own time from before each request and stops trusting early (``held.py``); a kernel lock
(``mutex.py``) excludes what pauses; and every grant has a term that only rises, for stores that refuse older ones.
Waiters are served by urgency, then by the model that is loaded, then first come first served (``lease.lua``); the one
who leaves wakes the next, and one who died is noticed by those who wait (``watch.py``).

Belongs here: standing in line for the device and taking it. Does not belong here: who may take the lease:
``forge_assets/resources/gpu.py`` and the daemon of jobs, nobody else.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from forge_workers.errors import LeaseLost, Snooze, Transient
from forge_workers.gpu.held import Lease
from forge_workers.gpu.mutex import Mutex
from forge_workers.gpu.renewal import Renewals
from forge_workers.gpu.script import Asked, LeaseScript, claim_of
from forge_workers.gpu.status import LeaseStatus, Priority
from forge_workers.gpu.watch import PEEK_S, Watch
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.wire import Refused, Unanswered, Wire

__all__ = ["Lease", "Leases", "Priority", "awake_clock"]

_log = logging.getLogger(__name__)

#: Longest time in seconds that a waiter sleeps on the server. Half a hand-over, so that whoever is woken late can still
#: trust its grant from when it last asked; and far below its sign of life.
_SLEEP_S = 1.0
#: Share of the hand-over after which a woken waiter asks again instead of trusting what is left of it.
_FRESH = 0.6
#: Longest time in seconds that a waiter bears without Redis: it is started again in one or two.
_AWAY_S = 5.0
#: Seconds of waiting after which a waiter counts as one class more urgent: training waits three quarters of an hour at
#: most behind work that keeps coming, and a step of the night a quarter, which is also what one long answer may take.
_AGEING_S = 900.0
#: Seconds without progress after which a lease is renewed no more; above the 600 s that a model may take to load.
_STALL_S = 900.0


def awake_clock() -> float:
    """Return seconds that also pass while the machine sleeps, as ``time.monotonic`` does not.

    Source: clock_gettime(2) of Linux for CLOCK_BOOTTIME, of macOS for CLOCK_MONOTONIC.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leases:
    """The lease of one device.

    Args:
        wire: The way to Redis.
        device: The device, ``<host>:<number>``.
        ttl_s: Seconds after which a silent holder has lost the lease; the same in every process.
        mutex: The kernel lock's file (``mutex.mutex_file``); None only where processes share no machine, where the term
            alone keeps a late holder out.
        clock: Seconds that only rise; another only in tests.
        stall_s: Seconds without progress after which a lease is renewed no more.
        ageing_s: Seconds of waiting after which a waiter counts as one class more urgent.
    """

    def __init__(
        self,
        wire: Wire,
        device: str = "local:0",
        ttl_s: float = 30.0,
        *,
        mutex: Path | None,
        clock: Callable[[], float] = awake_clock,
        stall_s: float = _STALL_S,
        ageing_s: float = _AGEING_S,
    ) -> None:
        self.device = device
        self.ttl_s = ttl_s
        self.stall_s = stall_s
        self.clock = clock
        self.script = LeaseScript(wire, device, ttl_s, ageing_s)
        self.renewals = Renewals(ttl_s / 3, self.script.hand_s / 8)
        self._mutex = mutex

    def acquire(
        self, purpose: str, wait_s: float, *, priority: Priority = Priority.INTERACTIVE, model: str | None = None
    ) -> Lease:
        """Wait for the device in line and take it.

        Args:
            purpose: What for, shown to those who wait.
            wait_s: Longest wait in seconds; 0 asks once.
            priority: How urgent it is.
            model: The model it will use; among equals, who uses the one that is loaded goes first.

        Raises:
            Snooze: Somebody else held it all the time; the message says who, or why nobody may have it yet.
            Transient: Redis does not answer. The lease may have been granted; it was given back or expires by itself.
        """
        token, until = secrets.token_hex(16), self.clock() + wait_s
        mutex = Mutex(self._mutex) if self._mutex is not None else None
        line = _Line(self, token, claim_of(priority, purpose, model), mutex, until)
        lease = None
        try:
            lease = line.turn(self._mutex)
            if lease is not None:
                lease.enter(until)
                event(_log, "lease.granted", device=self.device, term=lease.term, purpose=plain(purpose))
                return lease
        except BaseException as error:
            self._leave(token, mutex, lease)  # a lost reply may have been a grant
            if isinstance(error, Transient | LeaseLost):
                raise Transient(f"GPU {self.device} cannot be had: {plain(str(error))}") from error
            raise
        user = mutex.note().pid if mutex is not None else None
        self._leave(token, mutex, None)
        raise Snooze(self.ttl_s, f"{self._why(line.last, user)}: no turn within {wait_s:.0f} s")

    def status(self, now: float) -> LeaseStatus:
        """Return who holds the device and who waits.

        Args:
            now: UTC unix seconds.

        Raises:
            Transient: Redis does not answer.
        """
        return self.script.status(now)

    def give_back(self, token: str) -> None:
        """Leave the line, or end the lease of ``token`` and wake the next. Without Redis it expires by itself."""
        try:
            self.script.call("release", token)
        except Transient as error:
            event(_log, "lease.not_given_back", logging.WARNING, device=self.device, error=error)

    def end_dead(self, token: str) -> None:
        """End the lease of a holder on this machine that has let go of the kernel lock, if Redis still knows it.

        Raises:
            Transient: Redis does not answer.
        """
        if self.script.call("release", token):
            event(_log, "lease.holder_gone", logging.WARNING, device=self.device)

    def _leave(self, token: str, mutex: Mutex | None, lease: Lease | None) -> None:
        if lease is not None:
            lease.release()
            return
        if mutex is not None:
            mutex.close()
        self.give_back(token)

    def _why(self, last: Asked, user: int | None) -> str:
        if not last.held_back:
            return self.status(time.time()).sentence
        if user is not None:
            return f"GPU {self.device} is still in use by process {user}, which Redis, just started, does not know"
        wait = f"for another {last.wait_ms / 1000:.0f} s"
        return f"GPU {self.device} is given to nobody {wait}, because Redis has just started and may forget a holder"


class _Line:
    """One waiter's place in line.

    Attributes:
        last: What came of asking the last time.
    """

    def __init__(
        self, leases: Leases, token: str, claim: tuple[str | int, ...], mutex: Mutex | None, until: float
    ) -> None:
        self.last = Asked(0, 0, held_back=False)
        self._leases = leases
        self._token = token
        self._claim = claim
        self._mutex = mutex
        self._until = until

    def turn(self, path: Path | None) -> Lease | None:
        """Wait for the turn; return the lease, renewed from now on, or None when the wait ran out.

        Args:
            path: The kernel lock's file, watched while somebody else holds it.

        Raises:
            Transient: Redis does not answer, or refuses.
        """
        clock, hand_s = self._leases.clock, self._leases.script.hand_s
        watch, answered_at = None, clock()
        try:
            while True:
                sent_at = clock()
                try:
                    self._ask()
                except (Unanswered, Refused) as error:
                    self._bear(error, answered_at)
                    continue
                answered_at = sent_at
                if self.last.term:
                    return self._lease(self.last.term, sent_at, self._leases.ttl_s, at_once=False)
                left_s = self._until - clock()
                if left_s <= 0:
                    return None
                self._leases.renewals.ready()
                if watch is None and path is not None:
                    watch = Watch(path, self._leases.end_dead)
                # Woken by the one who leaves; or by the end of a silent holder's lease; or to give a sign of life.
                term = self._leases.script.woken(self._token, min(left_s, self._sleep_s()))
                if term and clock() < sent_at + hand_s * _FRESH:
                    return self._lease(term, sent_at, hand_s, at_once=True)
        finally:
            if watch is not None:
                watch.stop()

    def _ask(self) -> None:
        """Ask; when nothing is granted after a start of Redis, ask with the kernel lock as proof that nobody works."""
        self.last = self._leases.script.ask(self._token, self._claim, proof=False)
        if self.last.held_back and self._mutex is not None and self._mutex.taken():
            granted = False
            try:
                self.last = self._leases.script.ask(self._token, self._claim, proof=True)
                granted = bool(self.last.term)
            finally:
                if not granted:  # another was first in line, or nobody knows: who was granted it must find it free
                    self._mutex.let_go()

    def _bear(self, error: Unanswered | Refused, answered_at: float) -> None:
        """Pause while Redis restarts; raise ``error`` when it is away for too long or refuses for another reason."""
        now, starts = self._leases.clock(), isinstance(error, Unanswered) or error.code == "LOADING"
        if not starts or now >= self._until or now - answered_at > _AWAY_S:
            raise error
        time.sleep(PEEK_S)

    def _sleep_s(self) -> float:
        longest = PEEK_S if self.last.held_back else min(_SLEEP_S, self._leases.script.hand_s / 2)
        return min(longest, self.last.wait_ms / 1000) if self.last.wait_ms > 0 else longest

    def _lease(self, term: int, sent_at: float, for_s: float, *, at_once: bool) -> Lease:
        """Return the lease granted after ``sent_at`` for ``for_s`` seconds, and keep it renewed."""
        lease = Lease(self._leases, self._token, term, self._mutex, sent_at=sent_at, for_s=for_s)
        self._leases.renewals.keep(lease, at_once=at_once)
        return lease
