"""The night as a picture: what ran when, for how long, and how it ended.

Belongs here: this one chart. Does not belong here: colours and output, which all charts share (``charts.py``).
"""

from __future__ import annotations

import math
from datetime import datetime

from matplotlib.axes import Axes

from forge_workers import charts
from forge_workers.briefing import words
from forge_workers.briefing.model import Briefing, StepLine
from forge_workers.charts import Palette
from forge_workers.report import Image

#: Narrowest bar, as a share of the night, so that a step of a moment can still be seen.
_NARROWEST = 0.006
#: Room for the words beside the bars, as a share of the night.
_MARGIN = 0.42
#: Inches per row, and for the axis.
_ROW, _AXIS = 0.27, 0.45
_WIDTH = 7.2
#: Most marks on the time axis, and the seconds that may lie between two.
_TICKS = 6
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)


def picture(told: Briefing) -> Image:
    """Draw the night's steps as bars over local time, coloured and labelled by outcome, light and dark."""
    alt = "; ".join(f"{words.title(line.asset)} {_said(line)}" for line in told.steps)
    size = (_WIDTH, _AXIS + _ROW * len(told.steps))
    return charts.draw("timeline", f"The night's steps: {alt}.", lambda axes, palette: _plot(told, axes, palette), size)


def _plot(told: Briefing, axes: Axes, palette: Palette) -> None:
    begun = [line.started_at for line in told.steps if line.started_at is not None]
    first = min(begun, default=told.made_at)
    span = max((_end(line) - first for line in told.steps), default=0.0) or 1.0
    colours = {"ran": palette.good, "degraded": palette.warn, "skipped": palette.idle}
    for row, line in enumerate(told.steps):
        colour = colours.get(line.outcome, palette.bad)
        start, end = 0.0, 0.0
        if line.started_at is not None:
            start = line.started_at - first
            width = max(line.seconds or 0.0, span * _NARROWEST)
            axes.barh(row, width, left=start, height=0.56, color=colour, hatch=None)
            end = start + width
        axes.annotate(_said(line), (end, row), (5, 0), textcoords="offset points", va="center", color=palette.ink)
    axes.set_yticks(range(len(told.steps)), [words.title(line.asset) for line in told.steps])
    axes.set_ylim(len(told.steps) - 0.4, -0.6)
    axes.set_xlim(0, span * (1 + _MARGIN))
    ticks = _ticks(first, span)
    axes.set_xticks([tick - first for tick in ticks], [_label(tick, told, span) for tick in ticks])
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _ticks(first: float, span: float) -> list[float]:
    """Return at most seven round moments within the night."""
    step = next((step for step in _STEPS if span / step < _TICKS), span / _TICKS)
    begin = math.ceil(first / step)
    return [tick * step for tick in range(begin, int((first + span) / step) + 1)]


def _end(line: StepLine) -> float:
    return 0.0 if line.started_at is None else line.started_at + (line.seconds or 0.0)


def _said(line: StepLine) -> str:
    if line.outcome == "missing":
        return "left no result"
    took = words.duration(line.seconds or 0.0)
    return {"ran": took, "skipped": "skipped"}.get(line.outcome, f"{took}, {line.outcome}")


def _label(at: float, told: Briefing, span: float) -> str:
    """Write a moment with seconds while the night is shorter than ten minutes."""
    return words.clock(at, told.zone) if span > 600 else f"{datetime.fromtimestamp(at, told.zone):%H:%M:%S}"  # noqa: PLR2004
