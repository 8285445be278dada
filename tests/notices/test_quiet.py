"""Quiet hours go by the wall clock, over midnight and over both changes of daylight saving."""

from __future__ import annotations

from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from forge_workers.notices.quiet import QuietHours, quiet_hours
from tests.notices.scenes import chosen

PARIS = ZoneInfo("Europe/Paris")
HOURS = [("22:30", "07:00"), ("01:00", "06:00"), ("02:30", "06:00"), ("22:00", "02:30"), ("02:15", "02:45"),
         ("02:45", "02:15"), ("00:00", "23:59"), ("12:00", "13:00")]  # fmt: skip


def hours(starts: str, ends: str) -> QuietHours:
    """Return quiet hours in Paris."""
    return QuietHours(time.fromisoformat(starts), time.fromisoformat(ends), PARIS)


def paris(text: str, fold: int = 0) -> float:
    """Return a local time in Paris as UTC seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("starts", "ends", "now", "end"),
    [
        ("22:30", "07:00", "2026-11-25 22:29", None),
        ("22:30", "07:00", "2026-11-25 22:30", "2026-11-26 07:00"),
        ("22:30", "07:00", "2026-11-26 06:59", "2026-11-26 07:00"),
        ("22:30", "07:00", "2026-11-26 07:00", None),
        ("12:00", "13:00", "2026-11-25 12:30", "2026-11-25 13:00"),
        # Clocks go from 02:00 to 03:00 on 29 March.
        ("22:30", "07:00", "2026-03-28 23:00", "2026-03-29 07:00"),
        ("22:00", "02:30", "2026-03-29 01:59", "2026-03-29 03:00"),
        ("22:00", "02:30", "2026-03-29 03:00", None),
        ("02:30", "06:00", "2026-03-29 01:59", None),
        ("02:30", "06:00", "2026-03-29 03:00", "2026-03-29 06:00"),
        # Clocks go from 03:00 to 02:00 on 25 October.
        ("22:30", "07:00", "2026-10-24 23:00", "2026-10-25 07:00"),
        ("02:30", "06:00", "2026-10-25 02:30", "2026-10-25 06:00"),
    ],
)
def test_quiet_ends_when_the_wall_clock_says_so(starts: str, ends: str, now: str, end: str | None) -> None:
    """Each moment is quiet until the right one, or not quiet."""
    assert hours(starts, ends).until(paris(now)) == (None if end is None else paris(end))


def test_an_hour_that_comes_twice_is_one_quiet() -> None:
    """Quiet that ends in the repeated hour ends the second time, and does not stop in between."""
    quiet = hours("22:00", "02:30")
    end = paris("2026-10-25 02:30", fold=1)

    assert quiet.until(paris("2026-10-25 02:45", fold=0)) == end
    assert quiet.until(end - 1) == end
    assert quiet.until(end) is None


def in_range(quiet: QuietHours, now: float) -> bool:
    """Whether the wall clock shows a time between the two."""
    clock = datetime.fromtimestamp(now, PARIS).time()
    if quiet.starts < quiet.ends:
        return quiet.starts <= clock < quiet.ends
    return clock >= quiet.starts or clock < quiet.ends


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24", "2026-11-24"])
@pytest.mark.parametrize(("starts", "ends"), HOURS)
def test_every_minute_around_a_change_is_as_the_wall_clock_says(day: str, starts: str, ends: str) -> None:
    """What the clock shows as quiet is quiet, each quiet has one end, and only a repeated hour adds to it."""
    quiet = hours(starts, ends)
    first = paris(f"{day} 00:00")
    for minute in range(0, 60 * 72, 5):
        now = first + minute * 60
        end = quiet.until(now)
        repeated = datetime.fromtimestamp(now, PARIS).replace(fold=0).utcoffset() != datetime.fromtimestamp(
            now, PARIS
        ).replace(fold=1).utcoffset()  # fmt: skip
        if not repeated:
            assert (end is not None) is in_range(quiet, now)
        elif in_range(quiet, now):
            assert end is not None
        if end is not None:
            assert now < end <= now + 25 * 3600
            assert quiet.until(end - 1) == end


def test_without_both_ends_there_is_no_quiet(tmp_path: Path) -> None:
    """No quiet hours are the default."""
    assert quiet_hours(chosen(tmp_path, "http://127.0.0.1:9")) is None
    assert quiet_hours(chosen(tmp_path, "http://127.0.0.1:9", quiet_from="22:00", quiet_until="07:00")) is not None
