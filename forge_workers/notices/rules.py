"""Which message goes out next: pure decisions over what waits and what was sent.

Belongs here: order, collapsing, merging, rate and quiet. Does not belong here: any clock, disk or wire (``send.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from forge_workers.notices.letter import Letter, Sent
from forge_workers.notices.notice import Notice
from forge_workers.report import Frozen

#: Seconds between two messages. Source: docs.slack.dev, "Rate limits": about one message per second and channel.
PACE_S = 1.0
#: Seconds in which a repeat updates the message that is there. A trouble that lasts shows up again every hour.
COLLAPSE_S = 3_600.0
#: Messages posted in a window of so many seconds; a person reads no more than that.
MOST_POSTS, WINDOW_S = 20, 600.0
#: Of those, how many are kept for urgent notices, so that a flood of others holds no alarm back.
RESERVED = 5
#: Key of a message that merges different notices: of ordinary ones, and of urgent ones.
SUMMARIES = ("summary", "urgent summary")


class Post(Frozen):
    """Post a message with these notices, in this order."""

    notices: tuple[Notice, ...]
    key: str


class Update(Frozen):
    """Add these notices to a message that is there."""

    notices: tuple[Notice, ...]
    sent: Sent


class Wait(Frozen):
    """Nothing may go out before ``until``, UTC unix seconds."""

    until: float


Decision = Post | Update | Wait | None


def decide(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Decide what goes out next.

    1. Nothing waits: None.
    2. A message went out less than a second ago: wait.
    3. The first that may go is chosen: of all, or in quiet hours of the urgent ones.
    4. When that one has to wait for the rate: the first urgent one.
    5. None may go: wait for the end of the quiet or of the rate's window, whichever comes first.

    Args:
        pending: What waits, in the order it came.
        sent: Messages of the last hour. What a clock set back made of the future does not count.
        now: UTC unix seconds.
        quiet_until: When the quiet hours end, None outside them.
    """
    if not pending:
        return None  # 1
    paced = [one.touched_at + PACE_S for one in sent if one.touched_at <= now < one.touched_at + PACE_S]
    if paced:
        return Wait(until=max(paced))  # 2
    urgent = [notice for notice in pending if notice.urgent]
    first = _next(urgent if quiet_until is not None else list(pending), sent, now)  # 3
    if isinstance(first, (Post, Update)):
        return first
    second = _next(urgent, sent, now)  # 4
    if isinstance(second, (Post, Update)):
        return second
    ends = [one.until for one in (first, second) if one is not None]
    ends += [quiet_until] if quiet_until is not None else []
    return Wait(until=min(ends))  # 5


def _next(lane: Sequence[Notice], sent: Sequence[Sent], now: float) -> Decision:
    """Decide for the first of ``lane``, taking along what tells the same.

    1. The message of its key is less than an hour old: update it.
    2. Posts are left, and not the last one for several: post it.
    3. A summary is less than an hour old: add all that would need a post to it.
    4. One post is left: merge them into a summary.
    5. None is left: wait until the window lets one out.
    """
    if not lane:
        return None
    head = lane[0]
    live = {one.key: one for one in sent if 0 <= now - one.posted_at < COLLAPSE_S and not one.closed}
    same = tuple(notice for notice in lane if notice.key == head.key)
    if head.key in live:
        return Update(notices=same, sent=live[head.key])  # 1
    new = tuple(notice for notice in lane if notice.urgent == head.urgent and notice.key not in live)
    posts = sorted(one.posted_at for one in sent if 0 <= now - one.posted_at < WINDOW_S)
    limit = MOST_POSTS if head.urgent else MOST_POSTS - RESERVED
    room = limit - len(posts)
    if room > 1 or (room == 1 and len({notice.key for notice in new}) == 1):
        return Post(notices=same, key=head.key)  # 2
    summary = live.get(SUMMARIES[head.urgent])
    if summary is not None:
        return Update(notices=new, sent=summary)  # 3
    if room == 1:
        return Post(notices=new, key=SUMMARIES[head.urgent])  # 4
    return Wait(until=posts[-limit] + WINDOW_S)  # 5


def letter_of(decision: Post | Update) -> Letter:
    """Return what the message says once the decision is carried out."""
    before = decision.sent.letter if isinstance(decision, Update) else Letter()
    return before.adding(decision.notices)
