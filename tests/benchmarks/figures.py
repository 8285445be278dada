"""A measured figure held against the one to reach, as a line of a table's text.

Belongs here: middles, percentiles, and saying whether a figure is reached. Does not belong here: measuring.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def middle(values: Sequence[float]) -> float:
    """Return the median, or not a number of nothing."""
    return statistics.median(values) if values else float("nan")


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that ``part`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def reached(what: str, found: float, *, least: float | None = None, most: float | None = None, unit: str = "") -> str:
    """Say what was found, what is to be reached, and whether it is."""
    wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
    enough = (least is None or found >= least) and (most is None or found <= most)
    return f"- {what}: {found:.3g}{unit}, {wanted}{unit} to reach; reached: {'yes' if enough else 'no'}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table whose first column is text."""
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]
