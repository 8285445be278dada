"""What the tests of the lease share: a clock that a test moves, and two questions."""

from __future__ import annotations

import time
from collections.abc import Callable

from forge_workers.errors import LeaseLost
from forge_workers.gpu.lease import Lease

#: Name of the key that holds the token.
LEASE = "{forge:gpu:local:0}:lease"


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


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
