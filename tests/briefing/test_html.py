"""The page, as a real HTML parser reads it."""

from __future__ import annotations

import base64
import html as entities
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings

from forge_workers.briefing import html, timeline
from forge_workers.night import Step
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import DAY, briefing
from tests.contrast import contrast

_PULLS = re.compile(r"https://github\.com/acme/orchard/pull/\d+")
#: Every element the template may write, with the attributes it may write on it.
_ALLOWED: dict[str, set[str]] = {
    "html": {"lang"}, "head": set(), "meta": {"charset", "http-equiv", "content", "name"}, "title": set(),
    "style": set(), "body": set(), "main": {"id", "tabindex"}, "header": set(), "footer": set(),
    "nav": {"class", "aria-label"}, "section": {"id", "aria-labelledby"}, "h1": set(), "h2": {"id"}, "h3": set(),
    "div": {"class", "tabindex", "role", "aria-labelledby"}, "p": {"class"}, "span": {"class", "aria-hidden"},
    "b": set(), "br": set(), "a": {"href", "rel", "class"}, "ul": {"class"}, "ol": {"class"}, "li": {"class", "id"},
    "code": {"class"}, "details": {"open"}, "summary": set(), "figure": set(), "picture": set(),
    "source": {"media", "srcset"}, "img": {"src", "alt"}, "table": set(), "caption": {"class"}, "thead": set(),
    "tbody": set(), "tr": {"class"}, "th": {"class", "colspan", "scope"}, "td": {"class"},
}  # fmt: skip
#: Where a page may point beside its own places: pull requests, and its neighbours, which lie in the same folder.
_NEIGHBOUR = re.compile(r"\d{4}-\d\d-\d\d\.html|index\.html")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


class Reader(HTMLParser):
    """Collects what a page holds, and what in it is not the template's."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.foreign: list[str] = []
        self.text: list[str] = []
        self.policies: list[str | None] = []
        self.pictures: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Hold an element against the list, and its addresses against what may be there."""
        names = dict(attrs)
        if tag not in _ALLOWED or not set(names) <= _ALLOWED[tag]:
            self.foreign.append(f"<{tag} {' '.join(names)}>")
        href = names.get("href")
        if href and not href.startswith("#") and not _PULLS.fullmatch(href) and not _NEIGHBOUR.fullmatch(href):
            self.foreign.append(href)
        for name in ("src", "srcset"):
            address = names.get(name)
            if address is not None:
                self.pictures.append(address)
                self.foreign += [] if address.startswith("data:image/svg+xml;base64,") else [address]
        if names.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(names.get("content"))
        self._open.append(tag)

    def handle_comment(self, data: str) -> None:
        """No comment belongs into the page."""
        self.foreign.append(data)

    def handle_data(self, data: str) -> None:
        """Keep what a reader reads."""
        if self._open and self._open[-1] != "style":
            self.text.append(data)


@settings(max_examples=30, deadline=None)
@given(hostile.ANY)
def test_no_text_of_anybody_else_becomes_an_element(text: str) -> None:
    """Whatever stands in the data, the page holds the template's elements and nothing else."""
    assert Reader(html.render(hostile.told(text))).foreign == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- -->"])
def test_a_page_without_escaping_is_caught(text: str) -> None:
    """The control: with its entities undone, the same reader finds what the attacker wrote."""
    assert Reader(entities.unescape(html.render(hostile.told(text)))).foreign


def test_the_page_runs_and_fetches_nothing() -> None:
    """No script, no outside address but links, and a policy that forbids both."""
    told = briefing(busy())
    page = html.render(told, (timeline.picture(told),))
    read = Reader(page)

    assert read.policies == [_POLICY]
    assert len(read.pictures) == 2
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_pictures_hold_no_script() -> None:
    """Both forms of the timeline are SVG without script, events or outside addresses."""
    told = briefing(broken())
    read = Reader(html.render(told, (timeline.picture(told),)))
    for picture in read.pictures:
        svg = base64.b64decode(picture.partition(",")[2]).decode()

        assert svg.startswith("<svg")
        assert not re.search(r"<script|\son\w+=|<foreignObject|href=\"(?!#)", svg)


def test_the_page_says_what_the_briefing_says() -> None:
    """Verdict, needs, findings, fingerprints and marks are all there to read."""
    told = briefing(busy())
    text = " ".join(" ".join(Reader(html.render(told)).text).split())

    for part in (told.verdict.sentence, *(need.text for need in told.needs_you), *(f.title for f in told.findings)):
        assert part in text
    assert all(found.fingerprint in text for found in told.findings)
    assert "degraded: no model" in text
    assert "The day is not over" not in text
    assert "The day is not over" in html.render(briefing(busy(), now=DAY.end_at - 60))


def test_a_quiet_page_is_short() -> None:
    """Nothing changed: no empty sections."""
    page = html.render(briefing(calm()))

    assert page.count("<section") == 2
    assert "Needs you" not in page


def test_every_text_can_be_read_in_light_and_in_dark() -> None:
    """Letters have a contrast of at least 4.5 against each ground they stand on (WCAG AA)."""
    for theme in themes():
        levels = ("green", "yellow", "red", "incomplete")
        pairs = [(ink, "page") for ink in ("ink", "soft", "link", "info", "low", *levels)]
        pairs += [(ink, f"{level}-wash") for level in levels for ink in (level, "ink", "soft", "link")]
        pairs += [(ink, "code") for ink in ("ink", "soft", *levels, "low", "link")] + [("page", "red"), ("ink", "card")]

        assert {pair: round(contrast(theme[pair[0]], theme[pair[1]]), 2) for pair in pairs
                if contrast(theme[pair[0]], theme[pair[1]]) < 4.5} == {}  # fmt: skip


def themes() -> tuple[dict[str, str], dict[str, str]]:
    """Return the colours that every page uses, light and dark."""
    sheet = Path(html.__file__).with_name("page.css.j2").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in sheet.split("@media")[:2])
    return light, {**light, **dark}


def test_the_same_briefing_gives_the_same_bytes() -> None:
    """Neither the clock nor an order that wavers shows. Control: another neighbour gives another page."""
    told = briefing(busy())
    page = html.render(told, (timeline.picture(told),), before="2026-11-22")

    assert html.render(told, (timeline.picture(told),), before="2026-11-22") == page
    assert html.render(told, (timeline.picture(told),), before="2026-11-21") != page


def test_a_page_points_to_its_neighbours_and_can_be_pointed_anew() -> None:
    """Links are relative; making them anew changes nothing else, and gives what rendering would have given."""
    told = briefing(busy())
    page = html.render(told, before="2026-11-22")

    assert 'href="2026-11-22.html"' in page
    assert 'href="index.html"' in page
    assert html.relinked(page, "2026-11-22", "2026-11-24") == html.render(told, before="2026-11-22", after="2026-11-24")
    assert html.relinked(page, None, None) == html.render(told)


@settings(max_examples=20, deadline=None)
@given(hostile.ANY)
def test_no_text_can_pose_as_the_links_to_other_nights(text: str) -> None:
    """Whatever stands in the data, only the template's own links are made anew."""
    told = hostile.told(f'<nav class="nights">{text}</nav>')

    assert html.relinked(html.render(told), "2026-11-22", None) == html.render(told, before="2026-11-22")


def places(page: str) -> list[str]:
    """Return every name that a link could point to."""
    return re.findall(r' id="([^"]+)"', page)


@pytest.mark.parametrize("steps", [busy(), calm(), broken()], ids=["busy", "calm", "broken"])
def test_every_finding_has_a_place_of_its_own_and_every_link_a_goal(steps: tuple[Step, ...]) -> None:
    """Names stand once, one per fingerprint, and what points into the page finds its goal."""
    told = briefing(steps)
    page = html.render(told)
    there = places(page)

    assert len(there) == len(set(there))
    assert {html.anchor(found.fingerprint) for found in told.findings} <= set(there)
    assert {html.anchor(need.fingerprint) for need in told.needs_you if need.fingerprint} <= set(there)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(there)


def test_a_screen_reader_finds_its_way() -> None:
    """Language, landmarks with names, a way past the links, headings in order, tables with captions and scopes."""
    told = briefing(busy())
    page = html.render(told, (timeline.picture(told),))

    assert '<html lang="en">' in page
    assert page.count("<main") == page.count("<h1") == page.count("<header") == page.count("<footer") == 1
    assert re.search(r'<body>\s*<a class="skip" href="#content">', page)
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.count("<table") == page.count("<caption") == 2
    assert not re.findall(r"<th(?![^>]*scope=)", page.replace("<thead", ""))
    assert all(f'id="{name}"' in page for name in re.findall(r'aria-labelledby="([^"]+)"', page))
    assert re.findall(r"<nav(?![^>]*aria-label=)", page) == []


def test_a_later_edition_is_marked_at_the_top() -> None:
    """The first thing below the date is which edition this is; what is still at work and was caught up is there."""
    update = {"edition": 2, "at_work": ("code_review",), "caught_up": ("2026-11-21 was skipped: asleep.",)}
    text = " ".join(" ".join(Reader(html.render(briefing(busy()).model_copy(update=update))).text).split())

    assert text.index("Second edition, ") < text.index("RED 1 new critical")
    assert "Still at work when this left: code review." in text
    assert "2026-11-21 was skipped: asleep." in text
