"""What changed over the nights, as four small charts: findings, model tokens, GPU time, the night's length.

Belongs here: which figures, their words and their lines. Does not belong here: colours and output (``charts.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from forge_workers import charts
from forge_workers.briefing import words
from forge_workers.briefing.nightlines import NightLine
from forge_workers.charts import Palette
from forge_workers.plural import count
from forge_workers.report import Image

#: Width and height of one chart, in inches.
_SIZE = (4.6, 1.9)
#: Up to so many nights are bars; more are a thin line with the mean of so many nights over it.
_BARS, _MEAN_OF = 45, 7
#: Most marks on the axis of days, and the days from which they are months.
_TICKS, _LONG = 5, 200
#: Units of a span on an axis: from how many seconds on it is used, its seconds, and its name.
_SPANS = ((7_200.0, 3_600.0, " h"), (180.0, 60.0, " min"), (0.0, 1.0, " s"))


class Trend(NamedTuple):
    """One figure over the nights: its name, its title, its value in a night, and whether that is seconds."""

    name: str
    title: str
    value: Callable[[NightLine], float]
    seconds: bool

    def said(self, value: float) -> str:
        """Return one value as a person reads it."""
        return words.duration(value) if self.seconds else f"{value:,.0f}"


TRENDS = (
    Trend("findings", "New findings", lambda line: float(line.findings), seconds=False),
    Trend("tokens", "Model tokens", lambda line: float(line.tokens), seconds=False),
    Trend("gpu", "GPU time", lambda line: line.gpu_s, seconds=True),
    Trend("length", "Length of the night", lambda line: line.night_s, seconds=True),
)


def pictures(lines: tuple[NightLine, ...]) -> tuple[tuple[str, Image], ...]:
    """Return each chart with its title; none of a figure that was nothing in every night."""
    told = sorted((line for line in lines if line.told and line.level), key=lambda line: line.night)
    moved = (trend for trend in TRENDS if any(trend.value(line) > 0 for line in told))
    return tuple((trend.title, _picture(trend, told)) for trend in moved)


def note(lines: tuple[NightLine, ...]) -> str:
    """Return what must be said beside the charts: what their lines are, and what was nothing in every night."""
    told = [line for line in lines if line.told and line.level]
    still = [words.inside(trend.title) for trend in TRENDS if not any(trend.value(line) > 0 for line in told)]
    lines_are = f"Thin lines are single nights, thick ones the mean of {_MEAN_OF}." if len(told) > _BARS else ""
    return " ".join(filter(None, (lines_are, f"Nothing to draw: {words.listed(still)}." if still else "")))


def _picture(trend: Trend, told: list[NightLine]) -> Image:
    values = [trend.value(line) for line in told]
    alt = (
        f"{trend.title} in {count(len(told), 'night')}, {told[0].night} to {told[-1].night}: "
        f"least {trend.said(min(values))}, most {trend.said(max(values))}, "
        f"on average {trend.said(sum(values) / len(values))}, last {trend.said(values[-1])}."
    )
    days = [date.fromisoformat(line.night).toordinal() for line in told]
    unit, name = next(((unit, name) for least, unit, name in _SPANS if max(values) >= least))
    if not trend.seconds:
        unit, name = 1.0, ""
    scaled = [value / unit for value in values]

    def plot(axes: Axes, palette: Palette) -> None:
        _draw(axes, palette, days, scaled)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}{name}"))

    return charts.draw(trend.name, alt, plot, _SIZE, as_file=False)


def _draw(axes: Axes, palette: Palette, days: list[int], values: list[float]) -> None:
    colour = palette.series[0]
    if len(days) <= _BARS:
        axes.bar(days, values, color=colour, width=0.8)
    else:
        around = (values[max(0, n - _MEAN_OF + 1) : n + 1] for n in range(len(values)))
        axes.plot(days, values, color=colour, linewidth=0.6, alpha=0.35)
        axes.plot(days, [sum(some) / len(some) for some in around], color=colour, linewidth=1.6)
    axes.set_ylim(0, max(values) * 1.08)
    ticks = _ticks(days[0], days[-1])
    axes.set_xticks(ticks, [_day(day, long=days[-1] - days[0] > _LONG) for day in ticks])
    axes.tick_params(length=0, labelsize=8)
    axes.spines[["left"]].set_visible(False)


def _day(ordinal: int, *, long: bool) -> str:
    when = date.fromordinal(ordinal)
    return f"{when:%b %Y}" if long else f"{when.day} {when:%b}"


def _ticks(first: int, last: int) -> list[int]:
    """Return a few days, evenly spread."""
    parts = max(1, min(_TICKS - 1, last - first))
    return sorted({first + (last - first) * n // parts for n in range(parts + 1)})
