"""Who holds the GPU and who waits for it, for people.

Belongs here: the values and their words; they inform and decide nothing. Does not belong here: asking Redis, which
``lease.py`` does. Plain data classes, because every daemon that takes the lease loads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from forge_workers.plain import plain


class Priority(IntEnum):
    """How urgent a use of the GPU is; the lower goes first, and every waiter becomes more urgent with time."""

    #: A person waits for it.
    INTERACTIVE = 0
    #: A step of the night.
    NIGHT = 1
    #: A step of a night that is done late: backfilled, or missed and caught up.
    BACKFILL = 2
    #: Hours of training, which wants the whole device to itself.
    TRAINING = 3


@dataclass(frozen=True)
class Claim:
    """Who holds the device or waits for it.

    Attributes:
        purpose: What for.
        pid: Process number on ``host``.
        host: Name of the machine.
        since_at: When it was granted, or first asked for; UTC unix seconds by the server's clock.
        priority: How urgent it is.
        model: The model it works with, None when it did not say.
        overtaken: How often one who came later went first, because its model was loaded.
    """

    purpose: str
    pid: int
    host: str
    since_at: float
    priority: Priority = Priority.INTERACTIVE
    model: str | None = None
    overtaken: int = 0

    @classmethod
    def from_hash(cls, flat: Sequence[bytes]) -> Self:
        """Read what ``lease.lua`` keeps: names and values in turn."""
        texts = [word.decode("utf-8", "replace") for word in flat]
        facts = dict(zip(texts[::2], texts[1::2], strict=True))
        return cls(
            purpose=facts["purpose"],
            pid=int(facts["pid"]),
            host=facts["host"],
            since_at=float(facts["since"]),
            priority=Priority(int(facts["class"])),
            model=facts["model"] or None,
            overtaken=int(facts["overtaken"]),
        )


@dataclass(frozen=True)
class LeaseStatus:
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
