"""What is due, what was missed, and what is done about it.

A night is *due* from the hour ``night.starts_at`` of the day after it. The newest night that is due is the *present*
one: it is done whole, however late, because its morning has not ended. Every older night that nobody asked for was
*missed*: the machine slept, was off, or no daemon ran. Each desk then does what the settings say. All is pure: clocks
and what was asked for come in as arguments.

Belongs here: those decisions, and their words. Does not belong here: who asked for which night (``asked.py``), or
running one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from forge_workers.night import DESKS, STEPS
from forge_workers.report import Frozen
from forge_workers.settings_sections import Missed, NightHours
from forge_workers.windows import NightKey, moment, night_of, nights_after, nights_before, week_of

#: How many days back nights are looked at that may have been missed; older ones nobody misses.
LOOK_BACK_DAYS = 60
#: Seconds that a night which was asked for after its hour has, before its briefing leaves without the rest.
LATE_S = 1800.0
#: Seconds after the hour of the briefing that the daemon has to ask for the night, just started or awake again.
PATIENCE_S = 300.0
#: Steps that others only wait for: nothing of theirs is read, so without them the others are done all the same.
_ORDER_ONLY = frozenset({"gpu_readiness"})

_HOURS = 24

Kind = Literal["scheduled", "caught up", "coalesced", "skipped"]


class Plan(Frozen):
    """What is to be done of one night.

    Attributes:
        night: The night's key.
        kind: ``scheduled`` (the present night, whole), ``caught up`` (missed, at least one desk does it), ``coalesced``
            (missed, and a newer one is done instead), ``skipped`` (missed, and nothing is done).
        skipped: Why a step is not done, by asset.
        tells_in: The night whose briefing tells of it.
    """

    night: NightKey
    kind: Kind
    skipped: Mapping[str, str] = {}
    tells_in: NightKey

    @property
    def assets(self) -> tuple[str, ...]:
        """The steps that are done, in the order of the night."""
        return tuple(asset for asset in STEPS if asset not in self.skipped)


def due_at(night: str, hours: NightHours, zone: ZoneInfo) -> float:
    """Return when ``night`` is due, UTC unix seconds."""
    return moment(days_after(night, 1), hours.starts_at, zone)


def newest_due(now: float, hours: NightHours, zone: ZoneInfo) -> str:
    """Return the newest night that is due at ``now``, UTC unix seconds."""
    yesterday, before = nights_before(night_of(now, zone), 2)
    return yesterday if due_at(yesterday, hours, zone) <= now else before


def briefing_due_at(night: str, hours: NightHours, zone: ZoneInfo, asked_at: float | None = None) -> float:
    """Return when the briefing of ``night`` leaves with what is there, UTC unix seconds.

    That is the first ``briefing_by`` after the night begins; for a night that was asked for only after that hour,
    :data:`LATE_S` after it was asked for.
    """
    days = 1 if hours.briefing_by > hours.starts_at else 2
    by = moment(days_after(night, days), hours.briefing_by, zone)
    return by if asked_at is None or asked_at <= by else asked_at + LATE_S


def week_hour(hours: NightHours) -> tuple[int, str]:
    """Return when a week is told: days after its Saturday, and the local hour: one after the briefing is due."""
    hour, minute = map(int, hours.briefing_by.split(":"))
    days = 1 if hours.briefing_by > hours.starts_at else 2
    return (days, f"{hour + 1:02d}:{minute:02d}") if hour + 1 < _HOURS else (days + 1, f"00:{minute:02d}")


def newest_week(now: float, hours: NightHours, zone: ZoneInfo) -> str:
    """Return the newest week whose hour to be told has come, by the Sunday it begins on."""
    days, hour = week_hour(hours)
    week = week_of(days_after(night_of(now, zone), -7))
    told_at = moment(days_after(week, 6 + days), hour, zone)
    return week if told_at <= now else days_after(week, -7)


def plans(
    *,
    present: str,
    since: str,
    missed: Missed,
    is_asked: Callable[[str], bool],
    is_told: Callable[[str], bool],
    only: Collection[str] = (),
) -> tuple[Plan, ...]:
    """Return what is to be asked for now, oldest night first.

    1. Nights up to ``since`` are no concern: nobody kept watch then.
    2. A night that was asked for is left alone.
    3. One before the freshness window is skipped.
    4. One in the window is done as each desk's setting says.
    5. The present night is done whole.

    Args:
        present: The newest night that is due.
        since: The last night that was due before anybody kept watch.
        missed: The settings.
        is_asked: Whether somebody asked for a night.
        is_told: Whether a night's briefing is out.
        only: Nights that are wanted; all when empty.
    """
    first = max(since, days_after(present, -LOOK_BACK_DAYS))
    open_nights = [night for night in nights_after(first, present) if not is_asked(night)]  # 1, 2
    old = [night for night in open_nights if night < present]
    fresh = [night for night in old if night >= days_after(present, -missed.window_days)]
    tells_in = days_after(present, 1) if is_told(present) else present
    found = [*(_missed(night, fresh, missed, tells_in) for night in old),
             *(Plan(night=night, kind="scheduled", tells_in=night) for night in open_nights[len(old) :])]  # fmt: skip
    return tuple(plan for plan in found if not only or plan.night in only)


def _missed(night: str, fresh: Sequence[str], missed: Missed, tells_in: str) -> Plan:
    """Decide about one missed night; ``fresh`` are all of them in the window, oldest first."""
    if night not in fresh:
        late = f"the night was missed more than {missed.window_days} days before anybody could do it"
        return Plan(night=night, kind="skipped", skipped=dict.fromkeys(STEPS, late), tells_in=tells_in)  # 3
    skipped: dict[str, str] = {}
    for asset, needs in STEPS.items():  # 4
        why = _why_not(asset, night, fresh[-1], missed)
        broken = next((need for need in needs if need in skipped and need not in _ORDER_ONLY), None)
        if broken is not None:
            why = why or f"the night was missed and {broken}, which it reads, is skipped"
        if why is not None:
            skipped[asset] = why
    folded = night != fresh[-1] and any(getattr(missed, desk) == "coalesce" for desk in DESKS.values())
    kind: Kind = "caught up" if len(skipped) < len(STEPS) else "coalesced" if folded else "skipped"
    return Plan(night=night, kind=kind, skipped=skipped, tells_in=tells_in)


def _why_not(asset: str, night: str, newest: str, missed: Missed) -> str | None:
    """Return why a desk's setting leaves ``asset`` of a missed night out, or None when it is done."""
    desk = DESKS[asset]
    chosen = getattr(missed, desk)
    if chosen == "skip" and desk == "readiness":
        return "the night was missed and the readiness desk says only what holds now"
    if chosen == "skip":
        return f"the night was missed and night.missed.{desk} says to skip it"
    if chosen == "coalesce" and night != newest:
        return f"the night was missed and the {desk} desk does only the newest of several, {newest}"
    return None


def days_after(night: str, days: int) -> str:
    """Return the night ``days`` after ``night``, or before it."""
    return (date.fromisoformat(night) + timedelta(days=days)).isoformat()


class Leave(Frozen):
    """What to do about an edition: whether it leaves, and why or why not, one plain line."""

    now: bool
    why: str


def edition(
    *,
    night: str,
    due: float,
    now: float,
    briefed: bool,
    asked: bool,
    overdue_since: float | None,
) -> Leave:
    """Decide whether an edition of ``night`` leaves without waiting for its run.

    1. Its hour has not come: no.
    2. It is briefed: no.
    3. Nobody has asked for the night, and it has not been overdue for :data:`PATIENCE_S` while somebody looked: no,
       since the daemon may have woken this minute, and asks for it in the next.
    4. Otherwise it leaves, with what is there.

    Args:
        night: The present night.
        due: When its briefing leaves, UTC unix seconds.
        now: UTC unix seconds.
        briefed: Whether it has a briefing.
        asked: Whether somebody asked for it.
        overdue_since: When this was first found overdue, None when it was not before.
    """
    if now < due:
        return Leave(now=False, why=f"the briefing of {night} is not due yet")  # 1
    if briefed:
        return Leave(now=False, why=f"the night {night} is briefed")  # 2
    waited = 0.0 if overdue_since is None else now - overdue_since
    if not asked and 0 <= waited < PATIENCE_S:
        return Leave(now=False, why=f"nobody has asked for the night {night} yet")  # 3
    what = "is still at work" if asked else "was never begun"
    return Leave(now=True, why=f"the briefing of {night} is due and its night {what}")  # 4
