"""What the outbox remembers beside the notices themselves.

Belongs here: the value. Does not belong here: keeping it (``outbox.py``).
"""

from __future__ import annotations

from forge_workers.notices.letter import Letter, Sent
from forge_workers.report import Frozen


class UnderWay(Frozen):
    """A message that is being sent, noted before the first request; Slack may hold it or not.

    Attributes:
        id: The id it carries, by which it is found in the channel.
        key: Key of what it tells.
        letter: What it says, with what it said before.
        ts: The message that is updated; None for a new one.
        ids: Digests of the ids of the notices in it that are not in Slack yet.
        fresh: How many notices those are.
        dropped: How many of these had to be dropped.
        began_at: UTC unix seconds.
    """

    id: str
    key: str
    letter: Letter = Letter()
    ts: str | None = None
    ids: tuple[str, ...]
    fresh: int = 0
    dropped: int = 0
    began_at: float


class Dropped(Frozen):
    """Notices for which there was no room.

    Attributes:
        id: Names the notice that tells of them.
        count: How many.
        urgent: Whether an urgent one was among them.
        at: When the oldest happened, UTC unix seconds.
    """

    id: str
    count: int
    urgent: bool
    at: float


class State(Frozen):
    """Everything at one moment.

    Attributes:
        sent: Messages of the last hour.
        under_way: What is being sent.
        dropped: What there was no room for and nobody was told of yet.
        done: Digests of the ids that are done with, newest last.
        rests_until: Nothing but an urgent notice can go out earlier, UTC unix seconds.
        asked_until: Slack asked to be left alone until then, UTC unix seconds.
    """

    sent: tuple[Sent, ...] = ()
    under_way: UnderWay | None = None
    dropped: Dropped | None = None
    done: tuple[str, ...] = ()
    rests_until: float = 0.0
    asked_until: float = 0.0
