"""Nights and their windows: local days, over both changes of daylight saving."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from forge_workers.errors import BadArgs
from forge_workers.windows import (
    Window,
    moment,
    night_of,
    nights_after,
    nights_before,
    nights_of,
    week_of,
    week_window,
    window,
)

PARIS = ZoneInfo("Europe/Paris")


def days(first: str, count: int) -> list[str]:
    """Return ``count`` keys from ``first`` on."""
    return [(date.fromisoformat(first) + timedelta(days=n)).isoformat() for n in range(count)]


@pytest.mark.parametrize(
    ("night", "zone", "hours"),
    [
        ("2026-03-29", "Europe/Paris", 23),
        ("2026-10-25", "Europe/Paris", 25),
        ("2026-11-23", "Europe/Paris", 24),
        ("2026-03-08", "America/New_York", 23),
        ("2026-04-05", "Australia/Lord_Howe", 24.5),
        ("2018-11-04", "America/Sao_Paulo", 23),  # midnight itself was skipped
    ],
)
def test_a_night_is_as_long_as_its_local_day(night: str, zone: str, hours: float) -> None:
    """Twenty-three, twenty-four or twenty-five hours, never assumed."""
    start, end = window(night, ZoneInfo(zone))

    assert (end - start) / 3600 == hours


def gaps_and_overlaps(windows: list[Window]) -> list[float]:
    """Return every difference between the end of a window and the start of the next."""
    return [after.start_at - before.end_at for before, after in pairwise(windows) if after.start_at != before.end_at]


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Sao_Paulo", "Pacific/Apia", "Asia/Tehran", "UTC"])
def test_a_year_of_windows_touches_and_never_overlaps(zone: str) -> None:
    """Every second of a year belongs to exactly one night."""
    assert gaps_and_overlaps([window(day, ZoneInfo(zone)) for day in days("2018-01-01", 400)]) == []


def test_control_windows_of_24_hours_are_caught() -> None:
    """The same check finds the gap and the overlap of a rule that assumes 24 hours."""
    naive = [Window(start, start + 86_400) for start, _ in (window(day, PARIS) for day in days("2026-01-01", 365))]

    assert gaps_and_overlaps(naive) == [-3600, 3600]


def test_each_moment_of_a_night_names_that_night() -> None:
    """The first and the last second of a window belong to its key, the end to the next."""
    start, end = window("2026-10-25", PARIS)

    assert [night_of(t, PARIS) for t in (start, end - 1, end)] == ["2026-10-25", "2026-10-25", "2026-10-26"]


@pytest.mark.parametrize("key", ["yesterday", "2026-1-5", "20260105", "2026-02-30", "2026-11-23 ", "", "../../etc"])
def test_what_is_no_day_is_refused_in_one_line(key: str) -> None:
    """Only YYYY-MM-DD names a night, whatever else a date library would accept."""
    with pytest.raises(BadArgs, match="is not a day: write it as YYYY-MM-DD"):
        window(key, PARIS)


def test_the_nights_before_come_nearest_first() -> None:
    """Seven nights back are the seven days before, over a month's end too."""
    assert nights_before("2026-03-02", 3) == ("2026-03-01", "2026-02-28", "2026-02-27")


@pytest.mark.parametrize(
    ("day", "hour", "zone", "utc"),
    [
        ("2026-11-23", "01:00", "Europe/Paris", "2026-11-23T00:00:00+00:00"),
        ("2026-03-29", "02:30", "Europe/Paris", "2026-03-29T01:00:00+00:00"),
        ("2026-10-25", "02:30", "Europe/Paris", "2026-10-25T01:30:00+00:00"),
        ("2026-10-04", "02:10", "Australia/Lord_Howe", "2026-10-03T15:30:00+00:00"),
        ("2018-11-04", "00:30", "America/Sao_Paulo", "2018-11-04T03:00:00+00:00"),
    ],
    ids=["plain", "jumped over", "twice", "half an hour", "after midnight"],
)
def test_an_hour_of_a_day_is_one_moment(day: str, hour: str, zone: str, utc: str) -> None:
    """The second of two, and for an hour that does not come the jump, as cron has it."""
    assert moment(day, hour, ZoneInfo(zone)) == datetime.fromisoformat(utc).timestamp()


def test_a_week_begins_on_its_sunday() -> None:
    """Seven nights from Sunday to Saturday, whose windows touch; 167 hours when the clocks go forward."""
    for night in days("2026-03-22", 7):
        assert week_of(night) == "2026-03-22"
    assert list(nights_of("2026-03-29")) == days("2026-03-29", 7)
    whole = week_window("2026-03-29", PARIS)
    assert (whole.end_at - whole.start_at) / 3600 == 167


def test_the_nights_after_a_night() -> None:
    """Oldest first, the last one among them; none when there is none."""
    assert list(nights_after("2026-11-21", "2026-11-23")) == ["2026-11-22", "2026-11-23"]
    assert nights_after("2026-11-23", "2026-11-23") == ()
