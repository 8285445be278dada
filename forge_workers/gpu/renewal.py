"""One thread that renews every lease of a device that this process holds.

It looks at short steps and is never woken: a waiter that has just been given the device would otherwise share its
first moments with this thread, which costs a third of a hand-over (measured in ``tests/benchmarks``). Belongs here:
when a renewal is due. Does not belong here: what a renewal is, or what a lost one means (``held.py``).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forge_workers.gpu.held import Lease

#: Seconds that the thread stays without a lease, so that one is there when a waiter's turn comes.
_IDLE_S = 5.0


class Renewals:
    """Renews while there is something to renew.

    Args:
        every_s: Seconds between two renewals of a lease.
        step_s: Seconds between two looks at what is due, and so the longest delay of a first renewal.
    """

    def __init__(self, every_s: float, step_s: float) -> None:
        self._every_s = every_s
        self._step_s = min(step_s, every_s)
        self._lock = threading.Lock()
        self._due: dict[Lease, float] = {}
        self._wanted_at = 0.0
        self._thread: threading.Thread | None = None

    def ready(self) -> None:
        """Have the thread there before it is needed: starting one takes as long as a trip to Redis."""
        with self._lock:
            self._wanted_at = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew_all, name="lease-renewal", daemon=True)
                self._thread.start()

    def keep(self, lease: Lease, *, at_once: bool) -> None:
        """Renew ``lease`` from now on, the first time ``at_once`` or when a renewed one would be."""
        with self._lock:
            self._due[lease] = time.monotonic() + (0.0 if at_once else self._every_s)
        self.ready()

    def drop(self, lease: Lease) -> bool:
        """Renew ``lease`` no longer, and say whether it was kept until now."""
        with self._lock:
            return self._due.pop(lease, None) is not None

    def _renew_all(self) -> None:
        while True:
            time.sleep(self._step_s)
            with self._lock:
                now = time.monotonic()
                if not self._due and now - self._wanted_at > _IDLE_S:
                    self._thread = None
                    return
                due = [lease for lease, at in self._due.items() if at <= now]
                self._due.update(dict.fromkeys(due, now + self._every_s))
            for lease in due:
                lease.renew()
