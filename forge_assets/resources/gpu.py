"""The GPU lease as the night takes it.

One of exactly two places that take the lease; everybody below is handed it and calls ``check()``. Does not belong here:
how a lease works, which is ``forge_workers/gpu/lease.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from forge_workers import redis_server
from forge_workers.gpu.lease import Lease, Leases, Priority
from forge_workers.gpu.mutex import mutex_file
from forge_workers.settings import Settings
from forge_workers.wire import Wire

#: Longest wait for the GPU, seconds. A night has hours; a step that waits longer is better told in the briefing.
WAIT_S = 1800.0
#: The same for a night that is done late: nobody waits for it, and it lets everybody else go first.
LATE_WAIT_S = 4 * WAIT_S


def lease_for(
    settings: Settings, purpose: str, priority: Priority = Priority.NIGHT
) -> Callable[[], AbstractContextManager[Lease]]:
    """Return what takes the machine's GPU lease for ``purpose`` when it is entered, and gives it back.

    Raises (when entered):
        Snooze: Another holder kept the GPU for the whole wait.
        Transient: Redis does not answer.
    """
    wait_s = LATE_WAIT_S if priority is Priority.BACKFILL else WAIT_S

    @contextmanager
    def held() -> Iterator[Lease]:
        redis_server.connect(settings).close()  # starts it when nobody has
        wire = Wire(redis_server.url_of(settings))
        leases = Leases(wire, mutex=mutex_file(settings.home))
        try:
            with leases.acquire(purpose, wait_s, priority=priority, model=_model(settings)) as lease:
                yield lease
        finally:
            wire.close()

    return held


def _model(settings: Settings) -> str | None:
    return settings.models.generate if settings.models.engine == "ollama" else None
