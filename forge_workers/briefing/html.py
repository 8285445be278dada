"""The briefing as one HTML file: no script, nothing fetched, light and dark, readable on a phone.

Jinja's autoescape is on for every value; markup comes only from ``briefing.html.j2``, whose content security policy
allows inline style and embedded pictures and nothing else. Pictures are SVG inside ``img``, where no script runs.
Belongs here: handing the template its words. Does not belong here: layout, which is the template's.
"""

from __future__ import annotations

import base64
import re
from functools import partial
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from forge_workers.briefing import words
from forge_workers.briefing.findings import details
from forge_workers.briefing.model import Briefing, Need, NewFinding
from forge_workers.report import Image

#: The links to other nights, which the template writes once and above all data.
_NAV = re.compile(r'<nav class="nights".*?</nav>', re.DOTALL)


def render(
    told: Briefing, images: tuple[Image, ...] = (), *, before: str | None = None, after: str | None = None
) -> str:
    """Return the page; the same arguments give the same bytes.

    Args:
        told: The briefing.
        images: Pictures drawn by Forge: the timeline first, then the desks' charts.
        before: The night before this one that has a page.
        after: The night after this one that has a page.
    """
    page = environment()
    page.filters.update(moment=partial(words.moment, zone=told.zone), clock=partial(words.clock, zone=told.zone))
    figures = [(asset, list(some)) for asset, some in groupby(told.figures, key=lambda figure: figure.asset)]
    findings, needs = _anchored(told)
    said = {"told": told, "images": images, "figures": figures, "words": words, "findings": findings, "needs": needs}
    return page.get_template("briefing.html.j2").render(said, before=before, after=after)


def relinked(page: str, before: str | None, after: str | None) -> str:
    """Return a page with its links to other nights made anew; all else stays as it is, byte for byte."""
    nav = environment().get_template("nights_nav.html.j2").render(before=before, after=after)
    return _NAV.sub(lambda _: nav, page, count=1)


def environment() -> Environment:
    """Return what every page is rendered with: every value is escaped, and a name that is missing is an error."""
    loader = PackageLoader("forge_workers.briefing", "")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(
        duration=words.duration,
        title_of=words.title,
        day=words.day,
        short_day=words.short_day,
        data_uri=_data_uri,
    )
    return page


def anchor(fingerprint: str) -> str:
    """Return the name of a finding's place on the page."""
    return f"finding-{fingerprint}"


def _anchored(
    told: Briefing,
) -> tuple[list[tuple[NewFinding, str, str]], list[tuple[Need, str, str]]]:
    """Return the findings and needs, each with its anchor; one name stands once, and a need points to its finding."""
    free = {finding.fingerprint for finding in told.findings} - {""}
    below = frozenset(free)
    findings = []
    for finding, detail in details(told.findings):
        findings.append((finding, detail, anchor(finding.fingerprint) if finding.fingerprint in free else ""))
        free.discard(finding.fingerprint)
    needs = []
    free = {need.fingerprint for need in told.needs_you} - below - {""}
    for need in told.needs_you:
        own, there = need.fingerprint in free, need.fingerprint in below
        needs.append((need, anchor(need.fingerprint) if own else "", anchor(need.fingerprint) if there else ""))
        free.discard(need.fingerprint)
    return findings, needs


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
