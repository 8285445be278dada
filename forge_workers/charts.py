"""Drawing one picture for light pages, for dark pages, and as a file for places that show no SVG.

Belongs here: what all charts share: size, type, colours, and output that is the same for the same data. Does not belong
here: what a chart shows, which each desk draws. Lettering is drawn as paths, so that a picture looks the same where its
font is missing; those who cannot see it read :attr:`Image.alt`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from forge_workers.report import Image

#: Dots per inch of a file: twice the width at which Slack shows a picture.
_DPI = 160


@dataclass(frozen=True)
class Palette:
    """The colours of one theme.

    They differ in lightness as well as in hue, so that people who see few colours, and a printer, tell them apart.
    Each has a contrast of at least 3:1 against its page.
    Source: M. Okabe, K. Ito, "Color Universal Design", 2008, darkened for white pages; WCAG 2.2, 1.4.11.

    Attributes:
        ink: Lettering.
        faint: Axes and grid.
        series: Lines and bars, in this order.
        good: Went well.
        idle: Was not needed.
        warn: Went less well.
        bad: Failed.
    """

    ink: str
    faint: str
    series: tuple[str, ...]
    good: str
    idle: str
    warn: str
    bad: str


LIGHT = Palette(
    ink="#1f2328",
    faint="#8a9199",
    series=("#0072b2", "#c15500", "#00795a", "#9b4f7f", "#4d4d4d"),
    good="#00795a",
    idle="#8a9199",
    warn="#b87700",
    bad="#b3261e",
)
DARK = Palette(
    ink="#e6edf3",
    faint="#7d8590",
    series=("#56b4e9", "#e69f00", "#2fc39a", "#e0a3c8", "#c9c9c9"),
    good="#2fc39a",
    idle="#7d8590",
    warn="#e69f00",
    bad="#ff7b6b",
)


def draw(
    name: str,
    alt: str,
    plot: Callable[[Axes, Palette], None],
    size: tuple[float, float] = (7.2, 2.4),
    *,
    as_file: bool = True,
) -> Image:
    """Draw one chart in a light and a dark form on a transparent ground, and the light one as a file on white.

    Dollar signs and backslashes in labels are shown as they are. The same data gives the same bytes.

    Args:
        name: Name of the image, such as ``commits``; part of the ids inside the SVG, so that two may share a page.
        alt: What it shows, in words.
        plot: Draws the data; called once per form.
        size: Width and height in inches of 72 points.
        as_file: Whether the PNG is wanted as well.
    """
    light, dark = (
        _svg(f"{name}.{theme}", palette, plot, size) for theme, palette in (("light", LIGHT), ("dark", DARK))
    )
    return Image(name=name, alt=alt, light_svg=light, dark_svg=dark, png=_png(plot, size) if as_file else "")


def _svg(salt: str, palette: Palette, plot: Callable[[Axes, Palette], None], size: tuple[float, float]) -> str:
    written = io.BytesIO()
    with _drawn(_style(salt, palette), palette, plot, size) as figure:
        FigureCanvasSVG(figure).print_figure(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def _png(plot: Callable[[Axes, Palette], None], size: tuple[float, float]) -> str:
    written = io.BytesIO()
    ground = {"figure.facecolor": "white", "savefig.facecolor": "white", "savefig.transparent": False}
    with _drawn(_style("", LIGHT) | ground, LIGHT, plot, size) as figure:
        FigureCanvasAgg(figure).print_figure(written, format="png", dpi=_DPI, metadata={"Software": None})
    return base64.b64encode(written.getvalue()).decode()


@contextlib.contextmanager
def _drawn(
    style: Any, palette: Palette, plot: Callable[[Axes, Palette], None], size: tuple[float, float]
) -> Iterator[Figure]:
    """Give the figure with its data in it, while its style holds."""
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a character the font lacks is drawn as a box
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        plot(axes, palette)
        yield figure


def _style(salt: str, palette: Palette) -> Any:
    """Every setting counts from matplotlib's own defaults, never from a user's matplotlibrc."""
    return dict(mpl.rcParamsDefault) | {
        "svg.hashsalt": salt,
        "svg.fonttype": "path",
        "text.parse_math": False,
        "text.color": palette.ink,
        "font.size": 9,
        "axes.edgecolor": palette.faint,
        "axes.labelcolor": palette.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=palette.series),
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": palette.faint,
        "grid.alpha": 0.3,
        "xtick.color": palette.faint,
        "xtick.labelcolor": palette.ink,
        "ytick.color": palette.faint,
        "ytick.labelcolor": palette.ink,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "savefig.edgecolor": "none",
        "savefig.transparent": True,
        "legend.frameon": False,
    }
