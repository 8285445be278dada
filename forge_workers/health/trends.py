"""What the looks of several nights say together.

Belongs here: pure arithmetic over snapshots, nearest first. Does not belong here: limits (``checks.py``) or points
(``triage.py``).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

from forge_workers.health.checks import DISK_FREE, UPTIME, Snapshot

#: Looks closer together than this, in seconds, tell of an evening of repeats and not of nights; the newest one counts.
_APART_S = 12 * 3600
#: Fewest looks that make a trend: of three, the noise of a real machine (the tests' series) may still look like one.
_FEWEST = 4
#: Two start times closer than this, in seconds, are one start; clocks are set by seconds, machines start in a minute.
_SAME_START_S = 600
_DAY_S = 86_400


def by_night(now: float, earlier: Iterable[Snapshot]) -> tuple[Snapshot, ...]:
    """Return the looks of ``earlier`` before ``now`` (UTC unix seconds), newest first, at least half a day apart."""
    kept: list[Snapshot] = []
    for snapshot in sorted(earlier, key=lambda s: s.observed_at, reverse=True):
        if snapshot.observed_at <= (kept[-1].observed_at if kept else now) - _APART_S:
            kept.append(snapshot)
    return tuple(kept)


def days_until_full(now: float, free_gib: float, earlier: Sequence[Snapshot]) -> float | None:
    """Return in how many days the disk is full if it goes on as in the last nights.

    The slope is the median over all pairs of looks, so one clean-up or one large download among quiet nights does not
    bend it.

    Args:
        now: When ``free_gib`` was measured, UTC unix seconds.
        free_gib: Space free now.
        earlier: The looks of earlier nights, as :func:`by_night` returns them.

    Returns:
        Days, or None when there are too few looks or the free space does not shrink.

    Source: P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63, 1968.
    """
    values = [(s.observed_at, s.value(DISK_FREE.name)) for s in earlier]
    points = [(now, free_gib), *((at, value) for at, value in values if value is not None)]
    if len(points) < _FEWEST:
        return None
    slope = statistics.median((new - old) / (later - before) for (later, new), (before, old) in combinations(points, 2))
    return free_gib / (-slope * _DAY_S) if slope < 0 else None


def restarts(now: float, uptime_h: float, earlier: Sequence[Snapshot]) -> int:
    """Return how often the machine started anew between the earliest of these looks and ``now``.

    Args:
        now: When ``uptime_h`` was measured, UTC unix seconds.
        uptime_h: Hours since the machine started.
        earlier: The looks of earlier nights.
    """
    hours = [(s.observed_at, s.value(UPTIME.name)) for s in earlier]
    looks = [(now, uptime_h), *((at, value) for at, value in hours if value is not None)]
    starts = sorted(at - value * 3600 for at, value in looks)
    return sum(later - before > _SAME_START_S for before, later in pairwise(starts))
