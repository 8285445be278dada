"""Charts: the same bytes for the same data, light and dark, safe and readable."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from itertools import combinations

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from PIL import Image as Picture

from forge_workers.charts import DARK, LIGHT, Palette, draw
from tests.contrast import contrast

PAGES = ((LIGHT, "#ffffff"), (DARK, "#0d1117"))


def bars(axes: Axes, palette: Palette) -> None:
    """Draw three bars with a label that looks like mathematics."""
    axes.bar([0, 1, 2], [3, 1, 2], color=palette.series[0])
    axes.set_xticks([0, 1, 2], ["$x^{2}$", r"\frac{", "<b>&"])


def test_the_same_data_gives_the_same_bytes_whatever_the_user_configured() -> None:
    """Neither the clock, nor random ids, nor a matplotlibrc shows. Control: other data gives other bytes."""
    before = draw("bars", "Three bars", bars)
    with mpl.rc_context({"font.size": 30, "axes.grid": False}):
        assert draw("bars", "Three bars", bars) == before
    other = draw("bars", "Three bars", lambda axes, _: axes.bar([0], [1]))
    assert other.light_svg != before.light_svg
    assert "dc:date" not in before.light_svg


def test_both_forms_are_whole_transparent_svg_without_anything_active() -> None:
    """Each parses as XML, names no outside resource, and leaves the page's ground to be seen."""
    image = draw("bars", "Three bars", bars)
    assert image.light_svg != image.dark_svg
    for svg in (image.light_svg, image.dark_svg):
        root = ET.fromstring(svg)  # noqa: S314  # our own output
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(r"<script|<image|(?:href|src)=\"(?!#)", svg)
        assert re.search(r'id="patch_1">\s*<path[^>]*style="fill: none', svg)


def test_a_label_that_looks_like_mathematics_is_drawn_as_it_is() -> None:
    """Dollars, backslashes and half a formula raise nothing. Control: matplotlib's own setting would refuse it."""

    def formula(axes: Axes, _: Palette) -> None:
        axes.set_title("costs $1 and \\frac{ $2")

    def parsed(axes: Axes, _: Palette) -> None:
        axes.set_title("costs $1 and \\frac{ $2", parse_math=True)

    assert draw("t", "Title", formula).light_svg.startswith("<svg")
    with pytest.raises(ValueError, match="frac"):
        draw("t", "Title", parsed)


def test_the_ids_of_two_pictures_on_one_page_do_not_clash() -> None:
    """Clip paths, which a second picture of the same page could override, are named after the picture."""
    one, other = draw("one", "", bars), draw("other", "", bars)
    clips = [set(re.findall(r'clipPath id="([^"]+)"', svg)) for svg in (one.light_svg, one.dark_svg, other.light_svg)]
    assert all(clips)
    assert all(not a & b for a, b in combinations(clips, 2))


def test_the_file_is_the_light_form_on_white_without_a_clock() -> None:
    """A PNG of the right size whose corner is white and opaque; the same data gives the same bytes."""
    image = draw("bars", "Three bars", bars)
    content = base64.b64decode(image.png)
    with Picture.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1152, 384))
        assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
        assert "Software" not in picture.info
    assert draw("bars", "Three bars", bars).png == image.png
    assert draw("bars", "Three bars", bars, as_file=False).png == ""
    assert len(content) < 1 << 18


@pytest.mark.parametrize(("palette", "page"), PAGES)
def test_every_colour_stands_out_from_its_page(palette: Palette, page: str) -> None:
    """Lettering has 7:1, everything else 3:1 at least."""
    assert contrast(palette.ink, page) >= 7
    colors = (*palette.series, palette.good, palette.idle, palette.warn, palette.bad, palette.faint)
    assert min(contrast(color, page) for color in colors) >= 3


@pytest.mark.parametrize(("palette", "page"), PAGES)
def test_the_first_two_series_differ_for_those_who_see_no_red_or_green(palette: Palette, page: str) -> None:
    """Blue beside orange stays two colours under deuteranopia and protanopia.

    Source: F. Vienot, H. Brettel, J. Mollon, "Digital video colourmaps for checking the legibility of displays by
    dichromats", 1999: red and green fall together, blue stays.
    """

    def blue_minus_yellow(color: str) -> float:
        red, green, blue = (int(color[n : n + 2], 16) for n in (1, 3, 5))
        return blue - (red + green) / 2

    assert abs(blue_minus_yellow(palette.series[0]) - blue_minus_yellow(palette.series[1])) > 100
