"""The hours in which only urgent notices go out.

Belongs here: from wall clock to moments, over midnight and over both changes of daylight saving. Does not belong here:
what waits for their end (``rules.py``).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from forge_workers.settings import Settings


class QuietHours(NamedTuple):
    """One stretch of quiet a day, by the wall clock; over midnight where it ends before it begins."""

    starts: time
    ends: time
    zone: ZoneInfo

    def until(self, now: float) -> float | None:
        """Return when the quiet around ``now`` ends, both UTC unix seconds, or None when it is not quiet.

        Where the clock shows a time twice, quiet begins at the first and ends at the second; where it leaves one out,
        at the change itself.
        """
        today = datetime.fromtimestamp(now, self.zone).date()
        for day in (today - timedelta(days=1), today):
            last = day if self.starts < self.ends else day + timedelta(days=1)
            start, end = self._moment(day, self.starts, fold=0), self._moment(last, self.ends, fold=1)
            if start <= now < end:
                return end
        return None

    def _moment(self, day: date, clock: time, fold: int) -> float:
        local = datetime.combine(day, clock)
        first, second = (local.replace(fold=n, tzinfo=self.zone).timestamp() for n in (0, 1))
        if datetime.fromtimestamp(first, self.zone).replace(tzinfo=None, fold=0) == local:
            return second if fold else first
        before, after = second, first  # the clock never shows it: find the second in which it jumps
        while after - before > 1:
            middle = (after + before) // 2
            early = datetime.fromtimestamp(middle, self.zone).replace(tzinfo=None) < local
            before, after = (middle, after) if early else (before, middle)
        return after


def quiet_hours(settings: Settings) -> QuietHours | None:
    """Return the quiet hours that were chosen, None without any."""
    slack = settings.slack
    if slack.quiet_from is None or slack.quiet_until is None:
        return None
    return QuietHours(time.fromisoformat(slack.quiet_from), time.fromisoformat(slack.quiet_until), settings.zone)
