"""The GPU lease: one holder per device, in Redis, with a kernel lock behind it.

Redis alone cannot keep two processes off a device: one that is paused past its expiry goes on when it wakes. So a
holder counts its own time from before each request and stops trusting early; a kernel lock (``mutex.py``) excludes
what pauses; and every grant has a term that only rises, for stores that refuse older ones. Waiters are served first
come first served, and woken by the one who leaves.

Belongs here: taking, keeping and giving back. Does not belong here: what each step does in Redis (``lease.lua``), or
who may take the lease: ``forge_assets/resources/gpu.py`` and the daemon of jobs, nobody else.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis

from forge_workers.errors import LeaseLost, Snooze, Transient
from forge_workers.gpu.mutex import Mutex
from forge_workers.gpu.status import Claim, LeaseStatus
from forge_workers.log import event
from forge_workers.plain import plain

_log = logging.getLogger(__name__)

#: Share of the TTL that a holder does not use: clocks run apart, and a thread may stall between looking and acting.
_MARGIN = 0.1
#: Seconds after which a waiter that has not asked again counts as dead.
_ALIVE_S = 6.0
#: Seconds a woken waiter has to ask again, before the next one gets its turn.
_HAND_OVER_S = 2.0
#: Longest time in seconds that a waiter sleeps on the server: a third of its sign of life.
_SLEEP_S = 2.0
#: Seconds between two looks at the kernel lock, which cannot wake anybody; it is free at once unless a holder overran.
_LOOK_S = 0.01
_SCRIPT = Path(__file__).with_name("lease.lua")


def awake_clock() -> float:
    """Return seconds that also pass while the machine sleeps, as ``time.monotonic`` does not.

    Source: clock_gettime(2) of Linux for CLOCK_BOOTTIME, of macOS for CLOCK_MONOTONIC.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leases:
    """The lease of one device.

    Args:
        client: A client that decodes replies and has a socket timeout, as ``redis_server.connect`` gives.
        device: The device, ``<host>:<number>``.
        ttl_s: Seconds after which a silent holder has lost the lease.
        mutex: The kernel lock's file (``mutex.mutex_file``); None only where processes share no machine, where the term
            alone keeps a late holder out.
        clock: Seconds that only rise; another only in tests.
    """

    def __init__(
        self,
        client: redis.Redis,
        device: str = "local:0",
        ttl_s: float = 30.0,
        *,
        mutex: Path | None,
        clock: Callable[[], float] = awake_clock,
    ) -> None:
        self.device = device
        self.ttl_s = ttl_s
        self.clock = clock
        self._client = client
        self._mutex = mutex
        self._script = client.register_script(_SCRIPT.read_text(encoding="utf-8"))
        base = f"{{forge:gpu:{device}}}"
        self._keys = [f"{base}:{name}" for name in ("lease", "holder", "term", "queue")]
        self._held: set[Lease] = set()
        self._renewing = threading.Lock()
        self._renewer: threading.Thread | None = None
        timeout_s = client.connection_pool.connection_kwargs.get("socket_timeout")
        self._sleep_s = _SLEEP_S if timeout_s is None else min(_SLEEP_S, timeout_s / 2)

    def acquire(self, purpose: str, wait_s: float) -> Lease:
        """Wait for the device in line, first come first served, and take it.

        Args:
            purpose: What for, shown to those who wait.
            wait_s: Longest wait in seconds; 0 asks once.

        Raises:
            Snooze: Somebody else held it all the time; the message says who.
            Transient: Redis does not answer. The lease may have been granted; it was given back or expires by itself.
        """
        token = secrets.token_hex(16)
        until = self.clock() + wait_s
        try:
            granted = self._wait_turn(token, purpose, until)
            if granted is not None:
                lease = self._entered(Lease(self, token, *granted), until)
                event(_log, "lease.granted", device=self.device, term=lease.term, purpose=plain(purpose))
                return lease
        except BaseException as error:
            self.give_back(token)  # a lost reply may have been a grant
            if isinstance(error, redis.RedisError | LeaseLost):
                raise Transient(f"GPU {self.device} cannot be had: {plain(str(error))}") from error
            raise
        self.give_back(token)
        raise Snooze(self.ttl_s, f"{self.status(time.time()).sentence}: no turn within {wait_s:.0f} s")

    def status(self, now: float) -> LeaseStatus:
        """Return who holds the device and who waits.

        Args:
            now: UTC unix seconds.

        Raises:
            Transient: Redis does not answer.
        """
        try:
            left_ms, term, holder, waiters = self.call("status", "")
        except redis.RedisError as error:
            raise Transient(f"GPU {self.device} cannot be looked at: Redis says {plain(str(error))}") from error
        return LeaseStatus(
            device=self.device,
            observed_at=now,
            holder=Claim.from_hash(holder) if left_ms > 0 and holder else None,
            expires_in_s=left_ms / 1000 if left_ms > 0 else None,
            term=term,
            waiters=tuple(Claim.from_hash(facts) for facts in waiters),
        )

    def call(self, operation: str, token: str, *args: str | float) -> Any:
        """Run one operation of ``lease.lua``; what it takes and returns stands there."""
        return self._script(keys=self._keys, args=[operation, token, *args])

    def give_back(self, token: str) -> None:
        """Leave the line, or end the lease of ``token`` and wake the next. Without Redis it expires by itself."""
        try:
            self.call("release", token, _ms(min(_HAND_OVER_S, self.ttl_s)))
        except redis.RedisError as error:
            event(_log, "lease.not_given_back", logging.WARNING, device=self.device, error=error)

    def let_go(self, lease: Lease) -> bool:
        """Renew ``lease`` no longer, and say whether it was kept until now."""
        with self._renewing:
            kept = lease in self._held
            self._held.discard(lease)
        return kept

    def _entered(self, lease: Lease, until: float) -> Lease:
        """Keep ``lease`` renewed from now on, and take the kernel lock."""
        with self._renewing:
            self._held.add(lease)
            if self._renewer is None or not self._renewer.is_alive():  # one thread serves all leases of a process
                self._renewer = threading.Thread(target=self._renew_all, name="lease-renewal", daemon=True)
                self._renewer.start()
        try:
            if self._mutex is not None:
                lease.enter(Mutex(self._mutex), until)
        except BaseException:
            lease.release()
            raise
        return lease

    def _renew_all(self) -> None:
        while True:
            time.sleep(self.ttl_s / 3)
            with self._renewing:
                held = tuple(self._held)
                if not held:
                    self._renewer = None
                    return
            for lease in held:
                lease.renew()

    def _wait_turn(self, token: str, purpose: str, until: float) -> tuple[int, float] | None:
        """Return the term and when the request that was granted was sent, or None when the wait ran out."""
        facts = (plain(purpose, 100), os.getpid(), socket.gethostname())
        times = (_ms(self.ttl_s), _ms(_ALIVE_S), _ms(min(_HAND_OVER_S, self.ttl_s)))
        while True:
            sent_at = self.clock()
            term, wait_ms = self.call("ask", token, *times, *facts)
            if term:
                return term, sent_at
            left_s = until - self.clock()
            if left_s <= 0:
                return None
            # Woken by the one who leaves; or by the end of a silent holder's lease; or to give a sign of life.
            sleep_s = min(left_s, self._sleep_s, wait_ms / 1000 if wait_ms > 0 else self._sleep_s)
            self._client.blpop(f"{self._keys[0]}:wake:{token}", max(sleep_s, 0.001))


class Lease:
    """The right to use the device, until released or lost. Made by :meth:`Leases.acquire`; a context manager.

    Attributes:
        term: Which time round this is; above every earlier one. Stores refuse writes of a lower term.
        token: Proof of holding, known to this holder alone.
    """

    def __init__(self, leases: Leases, token: str, term: int, sent_at: float) -> None:
        self.token = token
        self.term = term
        self._leases = leases
        self._mutex: Mutex | None = None
        self._trusted_until = 0.0
        self._lost: str | None = None
        self._trust_from(sent_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def check(self) -> None:
        """Return if the device may still be used; call it before each batch.

        Raises:
            LeaseLost: It may not, and never again under this lease.
        """
        if self._lost is None and self._leases.clock() >= self._trusted_until:
            self._lose("it was not renewed in time")
        if self._lost is not None:
            raise LeaseLost(f"the lease of GPU {self._leases.device} (term {self.term}) is over: {self._lost}")

    def release(self) -> None:
        """Give the device back and wake the next in line; a second or late call harms nobody."""
        if not self._leases.let_go(self):
            return
        self._lost = self._lost or "it was given back"
        if self._mutex is not None:
            self._mutex.close()  # first, so that the next holder finds it free
        self._leases.give_back(self.token)
        event(_log, "lease.released", device=self._leases.device, term=self.term)

    def enter(self, mutex: Mutex, until: float) -> None:
        """Wait for the kernel lock too, and make the term higher than any it has seen.

        Raises:
            Snooze: A process that lost the lease has not let go of the device by ``until``.
            LeaseLost: The lease ended meanwhile.
        """
        self._mutex = mutex
        device, clock = self._leases.device, self._leases.clock
        while not mutex.taken():
            self.check()
            if clock() >= until:
                message = f"GPU {device} is still in use by process {mutex.note()[1]}, whose lease is over"
                raise Snooze(self._leases.ttl_s, message)
            time.sleep(_LOOK_S)
        newest, _ = mutex.note()
        if self.term <= newest:  # Redis has lost its counter, this file has not
            self.term = int(self._leases.call("lift", self.token, newest))
            if self.term == 0:
                self._lose("it expired or was taken away")
        self.check()
        mutex.write(self.term)

    def renew(self) -> None:
        """Extend the lease if it is still ours; anything but a clear yes ends the trust for good."""
        sent_at = self._leases.clock()
        if self._lost is not None or sent_at >= self._trusted_until:
            self._lose("it was not renewed in time")
            return
        try:
            extended = self._leases.call("renew", self.token, _ms(self._leases.ttl_s))
        except redis.RedisError as error:
            self._lose(f"its renewal is unknown, Redis says {plain(str(error))}")
            return
        if extended == 1:
            self._trust_from(sent_at)
        else:
            self._lose("it expired or was taken away")

    def _trust_from(self, sent_at: float) -> None:
        """Trust the lease for its TTL less a margin, counted from before the request: the server counts from later."""
        self._trusted_until = sent_at + self._leases.ttl_s * (1 - _MARGIN)

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            event(_log, "lease.lost", logging.WARNING, device=self._leases.device, term=self.term, why=why)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
