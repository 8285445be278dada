"""Who holds the GPU and who waits for it, for people.

Belongs here: the values and their words; they inform and decide nothing. Does not belong here: asking Redis, which
``lease.py`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from forge_workers.plain import plain
from forge_workers.report import Frozen


class Claim(Frozen):
    """Who holds the device or waits for it.

    Attributes:
        purpose: What for.
        pid: Process number on ``host``.
        host: Name of the machine.
        since_at: When it was granted, or first asked for; UTC unix seconds by the server's clock.
    """

    purpose: str
    pid: int
    host: str
    since_at: float

    @classmethod
    def from_hash(cls, flat: Sequence[str]) -> Self:
        """Read what ``lease.lua`` keeps: names and values in turn."""
        facts = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(purpose=facts["purpose"], pid=int(facts["pid"]), host=facts["host"], since_at=float(facts["since"]))


class LeaseStatus(Frozen):
    """What ``forge gpu`` shows.

    Attributes:
        device: The device.
        observed_at: When this was seen, UTC unix seconds.
        holder: Who holds it, None when it is free.
        expires_in_s: Seconds until the lease ends unless it is renewed, None when it is free.
        term: Number of the newest grant.
        waiters: Who waits, first come first.
    """

    device: str
    observed_at: float
    holder: Claim | None
    expires_in_s: float | None
    term: int
    waiters: tuple[Claim, ...]

    @property
    def sentence(self) -> str:
        """This status for a person, in one line."""
        if self.holder is None:
            return f"GPU {self.device} is free"
        who, held_s = self.holder, max(0.0, self.observed_at - self.holder.since_at)
        return (
            f"GPU {self.device} is held for {plain(who.purpose)} by process {who.pid} on {plain(who.host)} "
            f"since {held_s:.0f} s (term {self.term}, {len(self.waiters)} waiting)"
        )
