"""A stand-in for the GPU lease, which counts how it is used and can be lost at a chosen check.

Belongs here: what a holder of the lease sees. Does not belong here: the real lease's own rules, tested with Redis.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from forge_workers.errors import ForgeError, LeaseLost


class LeaseStandIn:
    """A lease to be taken by calling it.

    Args:
        lost_at: The check, counted from 1, at which and after which the lease is lost; never when None.
        refusal: What is raised instead of giving the lease.

    Attributes:
        taken: How often it was taken.
        released: How often it was given back.
        checks: How often it was checked.
        term: Of the lease, one more each time it is taken.
    """

    def __init__(self, lost_at: int | None = None, refusal: ForgeError | None = None) -> None:
        self.lost_at = lost_at
        self._refusal = refusal
        self.taken = self.released = self.checks = self.term = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[LeaseStandIn]:
        """Take the lease."""
        self.taken += 1
        if self._refusal is not None:
            raise self._refusal
        self.term += 1
        try:
            yield self
        finally:
            self.released += 1

    def check(self) -> None:
        """Raise ``LeaseLost`` from the chosen check on."""
        self.checks += 1
        if self.lost_at is not None and self.checks >= self.lost_at:
            raise LeaseLost
