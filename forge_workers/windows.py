"""Nights and their windows of time.

Belongs here: what a night's key means. Does not belong here: Dagster's partitions, which
``forge_assets/nights.py`` builds from the same rule.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from forge_workers.errors import BadArgs

#: The first night Forge knows; commits before it can be read by no night.
FIRST_NIGHT = "2015-01-01"


def is_night(key: str) -> bool:
    """Whether ``key`` is a calendar day written ``YYYY-MM-DD``."""
    try:
        return date.fromisoformat(key).isoformat() == key
    except ValueError:
        return False


def check_night(key: str) -> str:
    """Return ``key`` if it names a night.

    Raises:
        BadArgs: It does not; the message says what to write.
    """
    if not is_night(key):
        raise BadArgs(f"night {key!r:.40} is not a day: write it as YYYY-MM-DD, for example 2026-11-23")
    return key


def _for_pydantic(key: str) -> str:
    try:
        return check_night(key)
    except BadArgs as error:
        raise ValueError(str(error)) from None


#: The key of a night: the local calendar day that is digested, ``YYYY-MM-DD``.
NightKey = Annotated[str, AfterValidator(_for_pydantic)]


class Window(NamedTuple):
    """Half-open stretch of time ``[start_at, end_at)`` in UTC unix seconds."""

    start_at: float
    end_at: float

    def holds(self, moment: float) -> bool:
        """Whether ``moment`` (UTC unix seconds) lies in the window."""
        return self.start_at <= moment < self.end_at


def window(night: str, timezone: ZoneInfo) -> Window:
    """Return the local calendar day ``night`` as UTC seconds: 23, 24 or 25 hours long.

    Both ends are local midnights (or the first moment after a midnight that daylight saving removed), so the
    windows of neighbouring nights touch and never overlap.

    Raises:
        BadArgs: ``night`` is not ``YYYY-MM-DD``.
    """
    day = date.fromisoformat(check_night(night))
    ends = (datetime.combine(d, time.min, timezone) for d in (day, day + timedelta(days=1)))
    start, end = (moment.timestamp() for moment in ends)
    return Window(start, end)


def moment(day: str, hour: str, timezone: ZoneInfo) -> float:
    """Return when the clock shows ``hour`` (``HH:MM``) on ``day``, UTC unix seconds, as a scheduler by cron has it.

    1. The hour comes twice: the second time.
    2. It does not come, because the clock jumps over it: the jump.
    3. Otherwise that one time.
    """
    wall = datetime.combine(date.fromisoformat(check_night(day)), time.fromisoformat(hour), timezone)
    early, late = sorted((wall.replace(fold=0).timestamp(), wall.replace(fold=1).timestamp()))
    if datetime.fromtimestamp(late, timezone).replace(fold=0, tzinfo=None) == wall.replace(tzinfo=None):
        return late  # 1, 3
    before = datetime.fromtimestamp(early, timezone).utcoffset()
    while late - early > 1:  # 2: the jump lies between; clocks jump at whole seconds
        middle = (early + late) // 2
        still = datetime.fromtimestamp(middle, timezone).utcoffset() == before
        early, late = (middle, late) if still else (early, middle)
    return late


def night_of(moment: float, timezone: ZoneInfo) -> str:
    """Return the key of the night that ``moment`` (UTC unix seconds) belongs to."""
    return datetime.fromtimestamp(moment, timezone).date().isoformat()


def nights_before(night: str, count: int) -> tuple[str, ...]:
    """Return the ``count`` nights before ``night``, nearest first."""
    day = date.fromisoformat(check_night(night))
    return tuple((day - timedelta(days=n)).isoformat() for n in range(1, count + 1))


def nights_after(night: str, until: str) -> tuple[str, ...]:
    """Return the nights after ``night`` up to ``until``, which is among them, oldest first."""
    first, last = date.fromisoformat(check_night(night)), date.fromisoformat(check_night(until))
    return tuple((first + timedelta(days=n)).isoformat() for n in range(1, (last - first).days + 1))


def week_of(night: str) -> str:
    """Return the key of the week that ``night`` belongs to: the Sunday it begins on, as Dagster's weeks do."""
    day = date.fromisoformat(check_night(night))
    return (day - timedelta(days=day.isoweekday() % 7)).isoformat()


def nights_of(week: str) -> tuple[str, ...]:
    """Return the seven nights of a week, Sunday first."""
    day = date.fromisoformat(check_night(week))
    return tuple((day + timedelta(days=n)).isoformat() for n in range(7))


def week_window(week: str, timezone: ZoneInfo) -> Window:
    """Return the seven local days of a week as UTC seconds.

    Raises:
        BadArgs: ``week`` is not ``YYYY-MM-DD``.
    """
    nights = nights_of(week)
    return Window(window(nights[0], timezone).start_at, window(nights[-1], timezone).end_at)
