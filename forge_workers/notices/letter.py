"""What one Slack message says: one notice and how often it came, or several that were merged.

Belongs here: the values and how counts add up. Does not belong here: blocks (``blocks.py``) or when it is sent
(``rules.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

from forge_workers.notices.notice import Notice
from forge_workers.report import Frozen

#: Different notices that one message shows; the others are counted. Eight of them fit one message, whatever they hold.
SHOWN = 8


class Told(Frozen):
    """One notice with its repeats.

    Attributes:
        notice: The newest of them.
        count: How many notices it stands for.
        first_at: When the first happened, UTC unix seconds.
        last_at: When the last happened, UTC unix seconds.
    """

    notice: Notice
    count: int
    first_at: float
    last_at: float


class Letter(Frozen):
    """One message's content.

    Attributes:
        told: What it shows, in the order of arrival.
        others: How many notices it counts and does not show.
    """

    told: tuple[Told, ...] = ()
    others: int = 0

    @property
    def count(self) -> int:
        """How many notices the message stands for."""
        return sum(told.count for told in self.told) + self.others

    def adding(self, notices: Iterable[Notice]) -> Letter:
        """Return the letter with more notices in it."""
        told, others = {one.notice.key: one for one in self.told}, self.others
        for notice in notices:
            old = told.get(notice.key)
            if old is None and len(told) == SHOWN:
                others += notice.count
                continue
            told[notice.key] = Told(
                notice=notice,
                count=notice.count + (old.count if old else 0),
                first_at=min(notice.at, old.first_at if old else notice.at),
                last_at=max(notice.at, old.last_at if old else notice.at),
            )
        return Letter(told=tuple(told.values()), others=others)


class Sent(Frozen):
    """One message that Slack holds.

    Attributes:
        ts: Its timestamp, which is its name in its channel.
        id: The id it carries: of the first notice in it.
        key: Key of what it tells, or that of a summary.
        letter: What it says.
        posted_at: When it was posted, by our clock, UTC unix seconds.
        touched_at: When it was last posted or updated, by our clock, UTC unix seconds.
        closed: Slack lets nobody edit it any more.
    """

    ts: str
    id: str
    key: str
    letter: Letter
    posted_at: float
    touched_at: float
    closed: bool = False
