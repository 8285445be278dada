"""The briefing as one HTML file: no script, nothing fetched, light and dark, readable on a phone.

Jinja's autoescape is on for every value; markup comes only from ``briefing.html.j2``, whose content security policy
allows inline style and embedded pictures and nothing else. Pictures are SVG inside ``img``, where no script runs.
Belongs here: handing the template its words. Does not belong here: layout, which is the template's.
"""

from __future__ import annotations

import base64
from functools import partial
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from forge_workers.briefing import words
from forge_workers.briefing.findings import details
from forge_workers.briefing.model import Briefing
from forge_workers.report import Image


def render(told: Briefing, images: tuple[Image, ...] = ()) -> str:
    """Return the page.

    Args:
        told: The briefing.
        images: Pictures drawn by Forge: the timeline first, then the desks' charts.
    """
    loader = PackageLoader("forge_workers.briefing", "")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(
        moment=partial(words.moment, zone=told.zone),
        clock=partial(words.clock, zone=told.zone),
        duration=words.duration,
        title_of=words.title,
        data_uri=_data_uri,
    )
    figures = [(asset, list(some)) for asset, some in groupby(told.figures, key=lambda figure: figure.asset)]
    said = {"told": told, "images": images, "figures": figures, "words": words, "findings": details(told.findings)}
    return page.get_template("briefing.html.j2").render(said)


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
