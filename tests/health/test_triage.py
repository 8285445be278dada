"""The scoring table: total, deterministic, monotone, green only when all is well, and replayable from its trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.health.checks import GAUGES, Check, Snapshot, Status
from forge_workers.health.triage import RED_POINTS, RULES, Level, Row, Triage, raised, replay, total, triage
from tests.health.scenes import look, settled

STATUSES = st.sampled_from(list(Status))
LEVELS = st.sampled_from(list(Level))


def check_of(status: Status, index: int) -> Check:
    """Return the check of one gauge with ``status``."""
    return GAUGES[index].settled(status, "seen")


SNAPSHOTS = st.builds(
    lambda statuses, at: Snapshot(observed_at=at, checks=tuple(check_of(s, i) for i, s in enumerate(statuses))),
    st.lists(STATUSES, max_size=len(GAUGES)),
    st.floats(0, 1e9),
)
EARLIER = st.lists(SNAPSHOTS, max_size=4)


def test_all_passing_is_green_at_once() -> None:
    """No rule fires on a healthy look, whatever the nights before were like."""
    bad = look(checks=settled("disk_free", Status.FAIL))

    result = triage(look(), [bad, bad, bad])

    assert (result.level, result.points, result.fired) == (Level.GREEN, 0, ())
    assert [row.rule for row in result.rules] == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", [gauge.name for gauge in GAUGES])
@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.WARN, Status.FAIL])
def test_a_failure_is_red_and_anything_else_at_least_yellow(name: str, status: Status) -> None:
    """One check that does not pass is never green; one that fails is red."""
    level = triage(look(checks=settled(name, status))).level

    assert level is Level.RED if status is Status.FAIL else level is Level.YELLOW


def test_four_warnings_are_red_and_three_are_not() -> None:
    """The stated limit between YELLOW and RED."""
    names = ("load", "swap_used", "memory_available", "redis_durability")
    three = {k: v for name in names[:3] for k, v in settled(name, Status.WARN).items()}

    assert triage(look(checks=three)).level is Level.YELLOW
    assert triage(look(checks=three | settled(names[3], Status.WARN))).points == RED_POINTS


def test_nothing_known_is_never_green() -> None:
    """No snapshot, an empty one and one that lacks a check are at least yellow, and say why."""
    healthy = look()

    assert triage(None).level is Level.YELLOW
    assert "no health snapshot" in triage(None).fired[0].why
    assert triage(Snapshot(observed_at=0, checks=())).level is Level.RED
    assert triage(Snapshot(observed_at=0, checks=healthy.checks[1:])).level is Level.YELLOW


@pytest.mark.parametrize(
    ("rule", "now", "before"),
    [
        ("disk_trend", look(disk_full_in=5.0), []),
        ("repeated_restarts", look(machine=3.0), []),
        ("model_gone", look(checks=settled("model_server", Status.WARN, "no answer")), [look()]),
        ("nights_missed", look(last_good_night=2.0), []),
        ("third_night", look(load=2.0), [look(load=2.0), look(load=9.0)]),
        ("unknown", look(checks=settled("load", Status.UNKNOWN, "hung")), []),
    ],
)
def test_each_rule_fires_on_what_it_looks_for(rule: str, now: Snapshot, before: list[Snapshot]) -> None:
    """A rule adds its points, says what it saw, and stays silent on a healthy look."""
    row = next(r for r in triage(now, before).rules if r.rule == rule)
    silent = next(r for r in triage(look(), before).rules if r.rule == rule)

    assert row.fired
    assert row.points > 0
    assert (silent.fired, silent.points, silent.why[:9]) == (False, 0, "not seen:")


def counted_once(result: Triage) -> None:
    """Check that what the check of the last good night saw stands in one row only."""
    title = "Last good night:"
    assert [title in row.why for row in result.fired] == [True]


@pytest.mark.parametrize(("nights", "rule", "points"), [(2.0, "nights_missed", 15), (8.0, "any_fail", 40)])
def test_one_fact_counts_once(nights: float, rule: str, points: int) -> None:
    """Missed nights warn by their own rule and fail as any check does, never both."""
    result = triage(look(last_good_night=nights))

    counted_once(result)
    assert ([row.rule for row in result.fired], result.points) == ([rule], points)


@pytest.mark.parametrize("name", ["disk_full_in", "machine", "last_good_night"])
@pytest.mark.parametrize("status", [Status.WARN, Status.FAIL])
def test_a_check_with_a_rule_of_its_own_fires_one_rule(name: str, status: Status) -> None:
    """Whatever its status, one row tells it."""
    assert len(triage(look(checks=settled(name, status))).fired) == 1


def test_a_table_that_counts_twice_is_caught() -> None:
    """Control: the row of the failure beside a row of the missed nights fails the same check."""
    result = triage(look(last_good_night=8.0))
    again = Row(rule="nights_missed", fired=True, why=result.fired[0].why, points=5)

    with pytest.raises(AssertionError):
        counted_once(total([*result.rules, again]))


def test_a_model_server_that_was_gone_already_is_not_gone_anew() -> None:
    """The rule is about last night, not about ever."""
    gone = look(checks=settled("model_server", Status.WARN))

    assert "model_gone" not in {row.rule for row in triage(gone, [gone, look()]).fired}


def lower_never(score: Callable[[Snapshot, Sequence[Snapshot]], Triage], pairs: int = 200) -> None:
    """Assert that no single check that gets worse lowers the level or the points ``score`` gives."""
    for index in range(min(pairs, len(GAUGES))):
        for other in range(len(GAUGES)):
            base = settled(GAUGES[other].name, Status.WARN)
            results = [score(look(checks=base | settled(GAUGES[index].name, s)), [look()]) for s in Status]
            assert [r.points for r in results] == sorted(r.points for r in results)
            assert [r.level.rank for r in results] == sorted(r.level.rank for r in results)


@given(SNAPSHOTS, EARLIER, st.data())
def test_worsening_a_check_never_lowers_the_level(
    snapshot: Snapshot, earlier: list[Snapshot], data: st.DataObject
) -> None:
    """Monotone: any check of any look, any worse status, any earlier nights."""
    if not snapshot.checks:
        return
    index = data.draw(st.integers(0, len(snapshot.checks) - 1))
    worse = data.draw(STATUSES.filter(lambda s: s.rank >= snapshot.checks[index].status.rank))
    checks = list(snapshot.checks)
    checks[index] = check_of(worse, index)

    before, after = triage(snapshot, earlier), triage(Snapshot(observed_at=0, checks=tuple(checks)), earlier)

    assert after.points >= before.points
    assert after.level.rank >= before.level.rank


def test_a_table_that_forgives_failures_is_caught() -> None:
    """Control: a variant in which a failing check takes its warning's place and counts less breaks the rule above."""

    def forgiving(snapshot: Snapshot, earlier: Sequence[Snapshot]) -> Triage:
        rows = [row for row in triage(snapshot, earlier).rules if row.rule != "any_fail"]
        return total(rows)

    lower_never(triage)
    with pytest.raises(AssertionError):
        lower_never(forgiving)


@given(SNAPSHOTS | st.none(), EARLIER)
def test_triage_is_total_and_deterministic_and_its_trace_replays(
    snapshot: Snapshot | None, earlier: list[Snapshot]
) -> None:
    """Any look gives a level, the same look the same one, and the stored trace gives it again."""
    result = triage(snapshot, earlier)
    stored = json.loads(json.dumps([row.model_dump(mode="json") for row in result.rules]))

    assert triage(snapshot, earlier) == result
    assert replay(stored) == result.level
    assert result.points == sum(row["points"] for row in stored)
    assert all((row.points > 0) == row.fired for row in result.rules)
    assert (result.level is Level.GREEN) == (result.points == 0)


@given(SNAPSHOTS | st.none(), LEVELS)
def test_a_proposal_raises_or_changes_nothing_and_replays(snapshot: Snapshot | None, proposed: Level) -> None:
    """The final level is the higher of both, and the raise is in the trace."""
    before = triage(snapshot)

    after = raised(before, proposed, "the model says so")

    assert after.level.rank == max(before.level.rank, proposed.rank)
    assert replay([row.model_dump(mode="json") for row in after.rules]) == after.level
    assert (after == before) == (proposed.rank <= before.level.rank)


def test_a_changed_trace_does_not_replay_to_the_same_level() -> None:
    """Control: a trace whose failure was taken out gives another level, so replaying checks something."""
    result = triage(look(checks=settled("disk_free", Status.FAIL)))
    doctored = [row.model_dump(mode="json") for row in result.rules if not row.fired]

    assert replay(doctored) != result.level


def test_what_is_no_trace_is_refused() -> None:
    """A trace with a missing or foreign field is not guessed at."""
    row = Row(rule="r", fired=True, why="w", points=1).model_dump(mode="json")
    with pytest.raises(ValueError, match="points"):
        replay([{key: value for key, value in row.items() if key != "points"}])
