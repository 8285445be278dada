"""Amygdala, first form: how alarming the machine's state is, by a table of rules and nothing else.

Each rule says what it saw and what each such thing is worth; the points are added up and two limits make the level.
Every row is kept, fired or not, so that the level can be derived again from what was stored. Belongs here: the table,
the sum, the levels. Does not belong here: looking at anything, or asking a model (``assessment.py``).

The sum never falls when a check gets worse: statuses are worth 0, 5, 10 and 40 in the order ok, unknown, warn, fail,
a check with a rule of its own is worth more than 10 and less than 40 when it warns, and every other rule only ever
adds. So a level never falls either. A fact that one rule counts is counted by no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue, TypeAdapter

from forge_workers.health.checks import (
    DISK_FULL_IN,
    GAUGES,
    LAST_GOOD_NIGHT,
    MODEL_SERVER,
    RESTARTS,
    Check,
    Snapshot,
    Status,
)
from forge_workers.report import Frozen

#: Points from which on the level is YELLOW: one thing of any kind is worth a look.
YELLOW_POINTS = 1
#: Points from which on the level is RED: one failure, or four warnings, or eight things nobody could look at.
RED_POINTS = 40


class Level(StrEnum):
    """How alarming it is: nothing to do, look today, act now."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"

    @property
    def rank(self) -> int:
        """Place in the order, 0 for ``GREEN`` to 2 for ``RED``."""
        return list(Level).index(self)


class Row(Frozen):
    """One rule of the table as it went this night.

    Attributes:
        rule: The rule's name.
        fired: Whether it saw anything.
        why: What it saw, or what it looked for and did not see.
        points: What that is worth; 0 when it did not fire.
    """

    rule: str
    fired: bool
    why: str
    points: int


class Triage(Frozen):
    """A level with its reasons.

    Attributes:
        level: By the points alone.
        points: Sum over the rows.
        rules: Every row of the table, in its order.
    """

    level: Level
    points: int
    rules: tuple[Row, ...]

    @property
    def fired(self) -> tuple[Row, ...]:
        """The rows that fired, weightiest first."""
        return tuple(sorted((r for r in self.rules if r.fired), key=lambda r: -r.points))


@dataclass(frozen=True)
class Rule:
    """One row of the scoring table.

    Attributes:
        name: Stable name.
        points: For each thing it sees.
        looks_for: What it looks for, in words.
        sees: Returns what it saw, one sentence part each; pure.
    """

    name: str
    points: int
    looks_for: str
    sees: Callable[[Snapshot, Sequence[Snapshot]], Iterable[str]]

    def row(self, snapshot: Snapshot, earlier: Sequence[Snapshot]) -> Row:
        """Apply the rule."""
        seen = tuple(self.sees(snapshot, earlier))
        return Row(
            rule=self.name,
            fired=bool(seen),
            why="; ".join(seen) if seen else f"not seen: {self.looks_for}",
            points=self.points * len(seen),
        )


def triage(snapshot: Snapshot | None, earlier: Sequence[Snapshot] = ()) -> Triage:
    """Score one look at the machine.

    1. Every check of the table is there and passes: GREEN at once.
    2. Otherwise the points of the rules decide: RED from 40 on, else YELLOW.
    3. No look at all: YELLOW, since nothing is known.

    Args:
        snapshot: The night's look; None when there is none.
        earlier: The looks of the nights before, newest first.
    """
    if snapshot is None:
        return total([_NO_SNAPSHOT])
    return total([rule.row(snapshot, earlier) for rule in RULES])


def total(rows: Iterable[Row]) -> Triage:
    """Add up ``rows``."""
    rules = tuple(rows)
    points = sum(row.points for row in rules)
    return Triage(level=level_of(points), points=points, rules=rules)


def level_of(points: int) -> Level:
    """Return the level that ``points`` make."""
    return Level.RED if points >= RED_POINTS else Level.YELLOW if points >= YELLOW_POINTS else Level.GREEN


def replay(trace: Sequence[Mapping[str, JsonValue]]) -> Level:
    """Derive the level again from a stored trace, the ``rules`` of ``threat_assessment``'s data.

    Raises:
        ValueError: The trace is no trace.
    """
    return total(TypeAdapter(tuple[Row, ...]).validate_python(tuple(trace))).level


def raised(before: Triage, proposed: Level, why: str) -> Triage:
    """Return ``before`` with the level a model proposed, if that is higher; a lower one changes nothing.

    The raise is a row like any other and is worth just what the proposed level lacks, so it replays too.
    """
    if proposed.rank <= before.level.rank:
        return before
    needed = RED_POINTS if proposed is Level.RED else YELLOW_POINTS
    return total((*before.rules, Row(rule="model_raised", fired=True, why=why, points=needed - before.points)))


def _with(status: Status) -> Callable[[Snapshot, Sequence[Snapshot]], Iterable[str]]:
    return lambda snapshot, _: (_told(check) for check in snapshot.checks if check.status is status)


def _warns(snapshot: Snapshot, _: Sequence[Snapshot]) -> Iterable[str]:
    return (_told(c) for c in snapshot.checks if c.status is Status.WARN and c.name not in _OWN_RULES)


def _warning(name: str) -> Callable[[Snapshot, Sequence[Snapshot]], Iterable[str]]:
    def sees(snapshot: Snapshot, _: Sequence[Snapshot]) -> Iterable[str]:
        check = snapshot.check(name)
        return [_told(check)] if check is not None and check.status is Status.WARN else []

    return sees


def _missing(snapshot: Snapshot, _: Sequence[Snapshot]) -> Iterable[str]:
    there = {check.name for check in snapshot.checks}
    return (f"{gauge.title}: not in the snapshot" for gauge in GAUGES if gauge.name not in there)


def _model_gone(snapshot: Snapshot, earlier: Sequence[Snapshot]) -> Iterable[str]:
    now, last = snapshot.check(MODEL_SERVER.name), earlier[0].check(MODEL_SERVER.name) if earlier else None
    if now is not None and _is_bad(now) and last is not None and last.status is Status.OK:
        yield f"the model server answered the night before; now: {now.detail or now.status}"


def _third_night(snapshot: Snapshot, earlier: Sequence[Snapshot]) -> Iterable[str]:
    if len(earlier) >= 2:  # noqa: PLR2004 - the two nights before make this the third
        for check in snapshot.checks:
            if _is_bad(check) and all(_is_bad(night.check(check.name)) for night in earlier[:2]):
                yield f"{check.title}: bad for the third night running"


def _is_bad(check: Check | None) -> bool:
    return check is not None and check.status.rank >= Status.WARN.rank


def _told(check: Check) -> str:
    return f"{check.title}: {check.detail or check.shown}"


#: Checks whose warning has a rule of its own.
_OWN_RULES = frozenset({DISK_FULL_IN.name, RESTARTS.name, LAST_GOOD_NIGHT.name})
#: The scoring table. Points are weights by judgement, not measurements: a failure alone is RED, a warning a quarter of
#: that, a blind spot an eighth; what gets worse by itself (disk, restarts, missed nights) warns by a rule of its own
#: that weighs more. What fails counts as a failure alone.
RULES: tuple[Rule, ...] = (
    Rule("any_fail", 40, "a check that fails", _with(Status.FAIL)),
    Rule("warns", 10, "a check that warns", _warns),
    Rule("unknown", 5, "a check that could not look", _with(Status.UNKNOWN)),
    Rule("missing", 5, "a check that the snapshot lacks", _missing),
    Rule("disk_trend", 25, "a disk that is full soon by the last nights' slope", _warning(DISK_FULL_IN.name)),
    Rule("repeated_restarts", 20, "a machine that keeps restarting", _warning(RESTARTS.name)),
    Rule("model_gone", 5, "a model server gone since last night", _model_gone),
    Rule("nights_missed", 15, "a last good night too long ago", _warning(LAST_GOOD_NIGHT.name)),
    Rule("third_night", 5, "a check that is bad for the third night", _third_night),
)
_NO_SNAPSHOT = Row(
    rule="no_snapshot", fired=True, why="there is no health snapshot of this night, so nothing is known", points=10
)
