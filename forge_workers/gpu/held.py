"""A lease that was granted: how long to trust it, renewing it, and giving it back.

Belongs here: one holder's own view. Does not belong here: standing in line, which is ``lease.py``'s.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from forge_workers.errors import ForgeError, LeaseLost, Snooze
from forge_workers.gpu.mutex import Mutex
from forge_workers.log import event
from forge_workers.plain import plain

if TYPE_CHECKING:
    from forge_workers.gpu.lease import Leases

_log = logging.getLogger(__name__)

#: Share of the TTL that a holder does not use: clocks run apart, and a thread may stall between looking and acting.
_MARGIN = 0.1
#: Seconds between two looks at the kernel lock, which cannot wake anybody; it is free at once unless a holder overran.
_LOOK_S = 0.01
#: Longest wait in seconds for processes that were killed with their group, or had left it, to let go of the lock.
_SURVIVORS_S = 10.0


class Lease:
    """The right to use the device, until released or lost. Made by ``Leases.acquire``; a context manager.

    Attributes:
        term: Which time round this is; above every earlier one. Stores refuse writes of a lower term.
        token: Proof of holding, known to this holder, and to its machine as long as nobody took the lock after it.
    """

    def __init__(
        self, leases: Leases, token: str, term: int, mutex: Mutex | None, *, sent_at: float, for_s: float
    ) -> None:
        self.token = token
        self.term = term
        self._leases = leases
        self._mutex = mutex
        self._trusted_until = 0.0
        self._moved_at = leases.clock()
        self._lost: str | None = None
        self._handed_over: Path | None = None
        self.trust_from(sent_at, for_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def check(self) -> None:
        """Return if the device may still be used; call it before each batch. Counts as :meth:`progress`.

        Raises:
            LeaseLost: It may not, and never again under this lease.
        """
        why = self.over()
        if why is not None:
            raise LeaseLost(f"the lease of GPU {self._leases.device} (term {self.term}) is over: {why}")
        self.progress()

    def progress(self) -> None:
        """Say that the work goes on: without a word for ``stall_s`` the lease is not renewed any more."""
        self._moved_at = self._leases.clock()

    def over(self) -> str | None:
        """Return why the lease is over, None while it lasts; for those who watch the work and do not do it."""
        if self._lost is None and self._leases.clock() >= self._trusted_until:
            self._lose("it was not renewed in time")
        return self._lost

    def release(self) -> None:
        """Give the device back and wake the next in line; a second or late call harms nobody.

        When the kernel lock was handed to a child, first wait, ten seconds at most, until nobody has it any more.
        """
        if self._handed_over is not None and self.over() is None:
            self._wait_for_survivors(self._handed_over)
        if not self._leases.renewals.drop(self):
            return
        self._lost = self._lost or "it was given back"
        if self._mutex is not None:
            self._mutex.close()  # first, so that the next holder finds it free
            self._mutex = None
        self._leases.give_back(self.token)
        event(_log, "lease.released", device=self._leases.device, term=self.term)

    @contextmanager
    def lock_handed_over(self) -> Iterator[tuple[int, ...]]:
        """Hand the kernel lock to a child: yield the descriptors it must inherit, then close this process's own.

        The kernel frees the lock when the last process that inherited it is gone, whatever becomes of this one. When
        the block raises, the lock stays here.
        """
        if self._mutex is None:
            yield ()
            return
        yield (self._mutex.fileno(),)
        self._handed_over = self._mutex.path
        self._mutex.close()
        self._mutex = None

    def enter(self, until: float) -> None:
        """Wait for the kernel lock too, and make the term higher than any it has seen.

        Raises:
            Snooze: A process that lost the lease has not let go of the device by ``until``.
            LeaseLost: The lease ended meanwhile.
            Transient: Redis does not answer.
        """
        if self._mutex is None:
            return
        while not self._mutex.taken():
            self.check()
            if self._leases.clock() >= until:
                who = f"process {self._mutex.note().pid}, whose lease is over"
                raise Snooze(self._leases.ttl_s, f"GPU {self._leases.device} is still in use by {who}")
            time.sleep(_LOOK_S)
        newest = self._mutex.note().term
        if self.term <= newest:  # Redis has lost its counter, this file has not
            self.term = int(self._leases.script.call("lift", self.token, newest))
            if self.term == 0:
                self._lose("it expired or was taken away")
        self.check()
        self._mutex.write(self.term, self.token)

    def renew(self) -> None:
        """Extend the lease if it is still ours and moves; anything but a clear yes ends the trust for good."""
        sent_at, stalled_s = self._leases.clock(), self._leases.clock() - self._moved_at
        if self.over() is not None:
            return
        if stalled_s > self._leases.stall_s:
            self._lose(f"its work has shown no progress for {stalled_s:.0f} s")
            return
        try:
            extended = self._leases.script.call("renew", self.token)
        except ForgeError as error:
            self._lose(f"its renewal is unknown, {plain(str(error))}")
            return
        if extended == 1:
            self.trust_from(sent_at, self._leases.ttl_s)
        else:
            self._lose("it expired or was taken away")

    def trust_from(self, sent_at: float, for_s: float) -> None:
        """Trust for ``for_s`` less a margin, counted from before the request: the server counts from later."""
        self._trusted_until = sent_at + for_s * (1 - _MARGIN)

    def _wait_for_survivors(self, path: Path) -> None:
        """Wait for processes that inherited the kernel lock; past the patience the next holder waits for them."""
        until = self._leases.clock() + _SURVIVORS_S
        with contextlib.closing(Mutex(path)) as mutex:
            while mutex.note_if_free() is None and mutex.note().token == self.token and self.over() is None:
                self.progress()
                if self._leases.clock() >= until:
                    event(_log, "lease.lock_still_held", logging.WARNING, device=self._leases.device, term=self.term)
                    return
                time.sleep(_LOOK_S)

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            event(_log, "lease.lost", logging.WARNING, device=self._leases.device, term=self.term, why=why)
