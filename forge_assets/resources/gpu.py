"""The GPU lease as the night takes it.

One of exactly two places that take the lease; everybody below is handed it and calls ``check()``. Does not belong here:
how a lease works, which is ``forge_workers/gpu/lease.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from forge_workers import redis_server
from forge_workers.gpu.lease import Lease, Leases
from forge_workers.gpu.mutex import mutex_file
from forge_workers.settings import Settings

#: Longest wait for the GPU, seconds. A night has hours; a step that waits longer is better told in the briefing.
WAIT_S = 1800.0


def lease_for(settings: Settings, purpose: str) -> Callable[[], AbstractContextManager[Lease]]:
    """Return what takes the machine's GPU lease for ``purpose`` when it is entered, and gives it back.

    Raises (when entered):
        Snooze: Another holder kept the GPU for the whole wait.
        Transient: Redis does not answer.
    """

    @contextmanager
    def held() -> Iterator[Lease]:
        client = redis_server.connect(settings)
        try:
            with Leases(client, mutex=mutex_file(settings.home)).acquire(purpose, wait_s=WAIT_S) as lease:
                yield lease
        finally:
            client.close()

    return held
