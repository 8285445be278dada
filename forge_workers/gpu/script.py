"""The lease's operations in Redis, as Python calls them.

Belongs here: keys, times and the one trip each operation takes. Does not belong here: what an operation does, which
``lease.lua`` says, or who may call it and when, which ``lease.py`` says.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

from forge_workers.errors import Transient
from forge_workers.gpu.status import Claim, LeaseStatus, Priority
from forge_workers.plain import plain
from forge_workers.wire import Script, Unanswered, Wire

#: Seconds after which a waiter that has not asked again counts as dead.
_ALIVE_S = 6.0
#: Seconds a woken waiter has to renew, before the next one gets its turn.
_HAND_OVER_S = 2.0
#: How often one waiter may be overtaken by others whose model is loaded. Loading takes minutes where answering takes
#: seconds, so eight turns are the price of about one load.
OVERTAKINGS = 8
_SCRIPT = Path(__file__).with_name("lease.lua")


class Asked(NamedTuple):
    """What came of asking: the term when granted, else how long to wait, and whether a start of Redis is the cause."""

    term: int
    wait_ms: int
    held_back: bool


class LeaseScript:
    """The lease of one device at one Redis.

    Args:
        wire: The way to Redis.
        device: The device, ``<host>:<number>``.
        ttl_s: Seconds after which a silent holder has lost the lease; the same for every process that uses the device.
        ageing_s: Seconds of waiting after which a waiter counts as one class more urgent.
    """

    def __init__(self, wire: Wire, device: str, ttl_s: float, ageing_s: float) -> None:
        self.hand_s = min(_HAND_OVER_S, ttl_s)
        self.script = Script(_SCRIPT.read_text(encoding="utf-8"))
        self.wire = wire
        self._device = device
        base = f"{{forge:gpu:{device}}}"
        self.keys = [f"{base}:{name}" for name in ("lease", "holder", "term", "queue", "model")]
        # Redis grants nothing after its start for one TTL: by then everybody it may have forgotten has stopped.
        seconds = (ttl_s, _ALIVE_S, self.hand_s, ttl_s, ageing_s)
        self._policy = (*(max(1, round(each * 1000)) for each in seconds), OVERTAKINGS)

    def ask(self, token: str, claim: tuple[str | int, ...], *, proof: bool) -> Asked:
        """Stand in line and say what came of it; a reply that was lost is asked for once more.

        Args:
            token: Names the asker.
            claim: What :func:`claim_of` returns.
            proof: The asker holds the kernel lock, so nobody uses the device.

        Raises:
            Transient: Redis does not answer, or refuses.
        """
        words = (int(proof), *claim)
        try:
            reply = self.call("ask", token, *words)
        except Unanswered:
            reply = self.call("ask", token, *words)
        return Asked(reply[0], reply[1], bool(reply[2]))

    def woken(self, token: str, within_s: float) -> int:
        """Wait on the server to be woken; return the term that was granted, 0 to ask again, also without an answer."""
        seconds = max(0.001, round(within_s, 3))
        try:
            reply = self.wire.call("BLPOP", f"{self.keys[0]}:wake:{token}", seconds, wait_s=seconds)
        except Unanswered:
            return 0
        return int(reply[1]) if reply else 0

    def status(self, now: float) -> LeaseStatus:
        """Return who holds the device and who waits.

        Args:
            now: UTC unix seconds.

        Raises:
            Transient: Redis does not answer.
        """
        try:
            left_ms, term, holder, waiters = self.call("status", "")
        except Transient as error:
            raise Transient(f"GPU {self._device} cannot be looked at: {plain(str(error))}") from error
        return LeaseStatus(
            device=self._device,
            observed_at=now,
            holder=Claim.from_hash(holder) if left_ms > 0 and holder else None,
            expires_in_s=left_ms / 1000 if left_ms > 0 else None,
            term=term,
            waiters=tuple(Claim.from_hash(facts) for facts in waiters),
        )

    def call(self, operation: str, token: str, *args: str | float) -> Any:
        """Run one operation of ``lease.lua``; what it takes and returns stands there."""
        return self.wire.run(self.script, self.keys, operation, token, *self._policy, *args)


def claim_of(priority: Priority, purpose: str, model: str | None) -> tuple[str | int, ...]:
    """Return what Redis keeps of this process while it waits and holds."""
    return int(priority), plain(purpose, 100), os.getpid(), socket.gethostname(), plain(model or "", 100)
