"""What the tests of the lease share: a lease at a server, a clock that a test moves, and two questions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forge_workers.errors import LeaseLost
from forge_workers.gpu.lease import Lease, Leases, Priority
from forge_workers.gpu.script import Asked, claim_of
from forge_workers.wire import Wire
from tests.gpu import broken

#: Name of the key that holds the token.
LEASE = "{forge:gpu:local:0}:lease"


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def wire_to(socket: Path) -> Wire:
    """Return a way to the server at ``socket``."""
    return Wire(f"unix://{socket}")


def leases_at(
    socket: Path, device: str = "local:0", ttl_s: float = 30.0, *, mutex: Path | None = None, **more: Any
) -> Leases:
    """Return the lease of ``device``; without a kernel lock at a server that counts as started long ago."""
    leases = Leases(wire_to(socket), device, ttl_s, mutex=mutex, **more)
    return leases if mutex is not None else broken.break_script(leases, broken.GRANT_AT_ONCE)


def ask(
    leases: Leases, token: str, priority: Priority = Priority.INTERACTIVE, model: str = "", *, proof: bool = True
) -> Asked:
    """Ask as a process would that never does anything else."""
    return leases.script.ask(token, claim_of(priority, token, model), proof=proof)


def holds(lease: Lease) -> bool:
    """Whether ``lease`` still lets its holder work."""
    try:
        lease.check()
    except LeaseLost:
        return False
    return True


def until(true: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for something that happens by itself."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)
