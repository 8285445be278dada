"""Which message goes out next: order, collapsing, rate and quiet, over any arrivals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_workers.notices.letter import Sent
from forge_workers.notices.notice import Notice
from forge_workers.notices.rules import (
    COLLAPSE_S,
    MOST_POSTS,
    PACE_S,
    RESERVED,
    SUMMARIES,
    WINDOW_S,
    Decision,
    Post,
    Update,
    Wait,
    decide,
    letter_of,
)
from tests.notices.scenes import NOON, notice

Rule = Callable[[Sequence[Notice], Sequence[Sent], float, float | None], Decision]


@dataclass
class Channel:
    """A channel in memory, in which decisions are carried out at once, and all that was done there."""

    sent: list[Sent] = field(default_factory=list)
    acts: list[tuple[float, Post | Update, tuple[Notice, ...], bool]] = field(default_factory=list)
    pending: list[Notice] = field(default_factory=list)

    def do(self, decision: Post | Update, now: float, quiet: bool) -> None:
        """Post or update."""
        self.acts.append((now, decision, tuple(self.pending), quiet))
        letter, first = letter_of(decision), decision.notices[0]
        if isinstance(decision, Post):
            self.sent.append(Sent(ts=str(len(self.sent)), id=first.id, key=decision.key, letter=letter,
                                  posted_at=now, touched_at=now))  # fmt: skip
        else:
            place = next(n for n, one in enumerate(self.sent) if one.ts == decision.sent.ts)
            self.sent[place] = decision.sent.model_copy(update={"letter": letter, "touched_at": now})
        self.pending = [one for one in self.pending if one not in decision.notices]


def play(arrivals: Sequence[Notice], quiet: tuple[float, float] | None = None, rule: Rule = decide) -> Channel:
    """Let notices arrive at their times and carry out every decision, until nothing waits."""
    channel, coming, now = Channel(), sorted(arrivals, key=lambda one: one.at), NOON
    for _ in range(20 * len(arrivals) + 200):
        while coming and coming[0].at <= now:
            channel.pending.append(coming.pop(0))
        until = quiet[1] if quiet and quiet[0] <= now < quiet[1] else None
        decision = rule(channel.pending, channel.sent, now, until)
        if isinstance(decision, (Post, Update)):
            channel.do(decision, now, until is not None)
        elif isinstance(decision, Wait):
            assert decision.until > now
            now = min([decision.until, *(one.at for one in coming[:1])])
        elif coming:
            now = coming[0].at
        else:
            return channel
    return channel


def fault(channel: Channel, arrivals: Sequence[Notice]) -> str:
    """The check of these tests: return what is wrong with what was done, "" when nothing is."""
    return next(_faults(channel, arrivals), "")


def _faults(channel: Channel, arrivals: Sequence[Notice]) -> Iterator[str]:
    told = [one.id for _, decision, _, _ in channel.acts for one in decision.notices]
    posts = [(now, decision.key) for now, decision, _, _ in channel.acts if isinstance(decision, Post)]
    times = [now for now, *_ in channel.acts]
    if sorted(told) != sorted(one.id for one in arrivals):
        yield "lost or told twice"
    if sum(one.letter.count for one in channel.sent) != sum(one.count for one in arrivals):
        yield "counts do not add up"
    if any(later - earlier < PACE_S for earlier, later in itertools.pairwise(times)):
        yield "too fast"
    if any(sum(0 <= now - other < WINDOW_S for other, _ in posts) > MOST_POSTS for now, _ in posts):
        yield "too many posts"
    if any(key == other and 0 < now - then < COLLAPSE_S for now, key in posts for then, other in posts):
        yield "not collapsed"
    for _, decision, pending, quiet in channel.acts:
        if decision.notices[0] != next(one for one in pending if one.urgent == decision.notices[0].urgent):
            yield "out of order"
        if list(decision.notices) != [one for one in pending if one in decision.notices]:
            yield "out of order inside a message"
        if quiet and not all(one.urgent for one in decision.notices):
            yield "not quiet"


@st.composite
def arrivals(draw: st.DrawFn) -> list[Notice]:
    """Some notices of a few keys, in bursts and over hours."""
    found, at = [], NOON
    for number in range(draw(st.integers(1, 60))):
        at += draw(st.sampled_from([0.0, 0.0, 0.0, 0.3, 20.0, 700.0, 3_599.0, 3_600.0]))
        key = draw(st.sampled_from(["a", "b", "c", f"n{number}", f"n{number}", f"n{number}"]))
        urgent, count = draw(st.sampled_from([False, False, False, True])), draw(st.sampled_from([1, 1, 1, 7]))
        one = notice(f"n{number}", key, at=at, urgent=urgent)
        found.append(one.model_copy(update={"count": count}))
    return found


quiets = st.none() | st.tuples(st.floats(0, 2_000), st.floats(1, 30_000)).map(
    lambda both: (NOON + both[0], NOON + sum(both))
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(arrivals(), quiets)
def test_every_notice_is_told_once_in_order_within_the_rate(
    notices: list[Notice], quiet: tuple[float, float] | None
) -> None:
    """Whatever arrives: none lost, counts add up, oldest first, repeats collapsed, rate kept, quiet kept."""
    assert fault(play(notices, quiet), notices) == ""


def burst(number: int, **more: object) -> list[Notice]:
    """Return so many different notices at once."""
    return [notice(f"n{n}", **more) for n in range(number)]  # type: ignore[arg-type]


def test_a_burst_is_merged_into_one_message_beyond_the_rate() -> None:
    """Two hundred at once are a few posts and one that counts the others."""
    notices = burst(200)
    channel = play(notices)
    posts = [decision for _, decision, _, _ in channel.acts]

    assert fault(channel, notices) == ""
    assert len(posts) == MOST_POSTS - RESERVED
    assert [one.letter.count for one in channel.sent] == [1] * (len(posts) - 1) + [200 - len(posts) + 1]
    assert channel.sent[-1].key == SUMMARIES[0]


def test_a_flood_holds_no_alarm_back() -> None:
    """When ordinary notices have used the rate up, an urgent one still goes out at once."""
    notices = [*burst(200), notice("fire", at=NOON + 60, urgent=True, kind="alarm")]
    channel = play(notices)

    assert next(now for now, decision, _, _ in channel.acts if decision.notices[0].id == "fire") <= NOON + 61
    assert fault(channel, notices) == ""


def test_in_quiet_hours_only_urgent_ones_go_and_the_others_follow_in_order() -> None:
    """What waited for the end of the quiet comes in the order it arrived."""
    notices = [notice("a"), notice("b", urgent=True), notice("c"), notice("d", "a")]
    channel = play(notices, (NOON, NOON + 3600))
    told = [(decision.notices[0].id, now >= NOON + 3600) for now, decision, _, _ in channel.acts]

    assert told == [("b", False), ("a", True), ("c", True)]
    assert fault(channel, notices) == ""


def test_a_trouble_that_lasts_shows_up_again_after_an_hour() -> None:
    """A repeat updates the message for an hour after it was posted, then there is a new one."""
    notices = [notice(f"n{n}", "same", at=NOON + n * 600) for n in range(10)]
    channel = play(notices)

    assert [(one.id, one.letter.count) for one in channel.sent] == [("n0", 6), ("n6", 4)]


def test_a_clock_set_back_stops_nothing() -> None:
    """Messages from the future neither pace nor collapse nor use the rate up."""
    ahead = [
        Sent(ts=str(n), id=str(n), key="k", letter=letter_of(Post(notices=(notice("x"),), key="k")),
             posted_at=NOON + 86_400, touched_at=NOON + 86_400) for n in range(30)
    ]  # fmt: skip

    assert isinstance(decide([notice("a")], ahead, NOON, None), Post)


def test_a_closed_message_takes_no_more() -> None:
    """A repeat of what Slack lets nobody edit is posted."""
    one = notice("a")
    sent = Sent(ts="1", id="a", key=one.key, letter=letter_of(Post(notices=(one,), key=one.key)), posted_at=NOON,
                touched_at=NOON - 9)  # fmt: skip

    assert isinstance(decide([notice("b", "a")], [sent], NOON + 9, None), Update)
    assert isinstance(decide([notice("b", "a")], [sent.model_copy(update={"closed": True})], NOON + 9, None), Post)


def each_alone(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Post one message for each notice."""
    decision = decide(pending, sent, now, quiet_until)
    if isinstance(decision, (Post, Update)):
        return Post(notices=decision.notices[:1], key=decision.notices[0].key)
    return decision


def newest_first(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Take the newest."""
    return decide(list(reversed(pending)), sent, now, quiet_until)


def at_once(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Know no pace and no rate."""
    return Post(notices=(pending[0],), key=pending[0].id) if pending else None


def unlimited(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Know the pace and no rate."""
    late = any(now - one.touched_at < PACE_S for one in sent)
    return Wait(until=now + PACE_S) if late else at_once(pending, sent, now, quiet_until)


def loud(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Know no quiet."""
    return decide(pending, sent, now, None)


def miscounting(pending: Sequence[Notice], sent: Sequence[Sent], now: float, quiet_until: float | None) -> Decision:
    """Update what was there as if it had said nothing."""
    decision = decide(pending, sent, now, quiet_until)
    if isinstance(decision, Update):
        fresh = decision.sent.model_copy(update={"letter": letter_of(Post(notices=(), key=""))})
        return decision.model_copy(update={"sent": fresh})
    return decision


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (each_alone, "not collapsed"),
        (newest_first, "out of order"),
        (at_once, "too fast"),
        (unlimited, "too many posts"),
        (loud, "not quiet"),
        (miscounting, "counts do not add up"),
    ],
)
def test_each_broken_rule_is_caught(rule: Rule, said: str) -> None:
    """The controls: without collapsing, order, pace, rate, quiet or sums, the same check says which is missing."""
    notices = [*burst(40), *(notice(f"r{n}", "n1", at=NOON + 5.5 + n) for n in range(9))]
    quiet = (NOON + 3, NOON + 9_000) if rule is loud else None

    assert fault(play(notices, quiet), notices) == ""
    assert said in fault(play(notices, quiet, rule), notices)


def test_one_that_is_lost_in_a_merged_message_is_caught() -> None:
    """The control: what was taken and not told is missed in the sum."""
    notices = burst(40)
    channel = play(notices)
    last = channel.acts[-1]
    channel.acts[-1] = (last[0], last[1].model_copy(update={"notices": last[1].notices[:-1]}), *last[2:])

    assert fault(channel, notices) == "lost or told twice"
