"""What several nights say together, on real machines' series as well as made-up ones.

The series are daily values of two files of the Numenta Anomaly Benchmark (github.com/numenta/NAB, MIT licence):
``ec2_disk_write_bytes_1ef3de`` as GiB written per day, and values taken each day at 03:00 from three others.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.health.checks import DISK_FULL_IN, Snapshot, Status
from forge_workers.health.trends import by_night, days_until_full, restarts
from tests.health.scenes import DAY_S, look

#: GiB that one server wrote on each of 18 days.
WRITTEN = (
    0,
    0,
    1.382,
    1.379,
    1.582,
    1.414,
    1.871,
    1.154,
    0,
    3.698,
    1.531,
    3.017,
    2.511,
    5.568,
    0.96,
    0.476,
    2.065,
    0.383,
)
#: Three real servers' noise without a lasting trend: two of CPU, one of request latency.
NOISE = {
    "ec2_cpu_utilization_5f5533": (44.65, 43.36, 40.23, 50.49, 40.87, 48.51, 41.85, 42.22, 44.62, 43.26, 46.27, 39.48),
    "ec2_cpu_utilization_825cc2": (94.42, 96.06, 94.58, 94.5, 96.79, 93.08, 92.12, 94.08, 92.61, 93.04, 90.51, 92.79),
    "ec2_request_latency": (44.72, 42.41, 45.26, 46.74, 46.2, 39.41, 43.53, 45.05, 45.24, 44.18, 44.77, 44.72),
}  # fmt: skip


def nights(values: list[float], name: str = "disk_free") -> tuple[Snapshot, ...]:
    """Return one look per night with these values, newest first."""
    return tuple(look(at * DAY_S, **{name: value}) for at, value in enumerate(values))[::-1]


def forecasts(free: list[float]) -> list[float | None]:
    """Return what each night forecasts from the seven before it."""
    return [days_until_full(at * DAY_S, now, nights(free[:at])[:7]) for at, now in enumerate(free)]


def test_a_steady_leak_is_forecast_to_the_day() -> None:
    """Five GiB a night out of 20 left: four days."""
    assert days_until_full(4 * DAY_S, 20.0, nights([40.0, 35.0, 30.0, 25.0])) == pytest.approx(4.0)


def test_a_real_servers_writes_are_seen_a_week_before_the_disk_is_full() -> None:
    """From ten days before the end on, every night warns; the last three fail."""
    free = [28.5 - sum(WRITTEN[: day + 1]) for day in range(16)]  # full on day 16

    statuses = [Status.OK if days is None else DISK_FULL_IN.judge(days).status for days in forecasts(free)]

    assert all(status is not Status.OK for status in statuses[7:])
    assert statuses[-3:] == [Status.FAIL] * 3


@pytest.mark.parametrize("name", NOISE)
def test_real_noise_without_a_trend_raises_no_alarm(name: str) -> None:
    """Free space that wavers as a real metric does never warns."""
    told = [days for days in forecasts(list(NOISE[name])) if days is not None]

    assert all(DISK_FULL_IN.judge(days).status is Status.OK for days in told)


def test_the_mean_slope_would_not_do() -> None:
    """Control: one download among quiet nights bends a slope from end to end, and does not bend the median."""
    quiet = [80.0] * 6
    end_to_end = (40.0 - quiet[0]) / len(quiet)

    assert DISK_FULL_IN.judge(40.0 / -end_to_end).status is Status.WARN
    assert days_until_full(6 * DAY_S, 40.0, nights(quiet)) is None


@given(st.lists(st.floats(0, 1000), min_size=0, max_size=8), st.floats(0, 1000), st.floats(0, 1000))
def test_less_free_space_never_gives_more_days(before: list[float], one: float, other: float) -> None:
    """The forecast is total and monotone in what is free now."""
    less, more = sorted((one, other))
    few = days_until_full(len(before) * DAY_S, less, nights(before))
    many = days_until_full(len(before) * DAY_S, more, nights(before))

    assert many is None or (few is not None and few <= many)


def test_looks_of_one_evening_count_once() -> None:
    """Nights made up for within minutes tell of one moment; looks that are not in the past are none."""
    hours = (0.0, 1.0, 2.0, 30.0, 31.0, 60.0)
    made = [look(hour * 3600) for hour in hours]

    kept = by_night(50 * 3600, made)

    assert [snapshot.observed_at / 3600 for snapshot in kept] == [31.0, 2.0]


def test_restarts_are_counted_from_the_starts() -> None:
    """A machine that was up all along has none; each new start time is one, a shift by a clock's seconds is none."""
    steady = [10.0, 34.001, 57.999]
    restarted = [10.0, 5.0, 5.0]

    assert restarts(3 * DAY_S, 82.0, nights(steady, "uptime")) == 0
    assert restarts(3 * DAY_S, 5.0, nights(restarted, "uptime")) == 3
