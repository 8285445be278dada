"""The page, as a real HTML parser reads it."""

from __future__ import annotations

import base64
import html as entities
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings

from forge_workers.briefing import html, timeline
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import DAY, briefing
from tests.contrast import contrast

_PULLS = re.compile(r"https://github\.com/acme/orchard/pull/\d+")
#: Every element the template may write, with the attributes it may write on it.
_ALLOWED: dict[str, set[str]] = {
    "html": {"lang"}, "head": set(), "meta": {"charset", "http-equiv", "content", "name"}, "title": set(),
    "style": set(), "body": set(), "main": set(), "header": set(), "footer": set(), "nav": set(), "section": {"id"},
    "h1": set(), "h2": set(), "div": {"class"}, "p": {"class"}, "span": {"class"}, "b": set(), "br": set(),
    "a": {"href", "rel"}, "ul": {"class"}, "ol": {"class"}, "li": {"class"}, "code": {"class"}, "details": {"open"},
    "summary": set(), "figure": set(), "picture": set(), "source": {"media", "srcset"}, "img": {"src", "alt"},
    "table": set(), "thead": set(), "tbody": set(), "tr": {"class"}, "th": {"class", "colspan"}, "td": {"class"},
}  # fmt: skip
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
        if href and not href.startswith("#") and not _PULLS.fullmatch(href):
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
    template = Path(html.__file__).with_name("briefing.html.j2").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in template.split("@media")[:2])
    for theme in (light, {**light, **dark}):
        levels = ("green", "yellow", "red", "incomplete")
        pairs = [(ink, "page") for ink in ("ink", "soft", "link", "info", "low", *levels)]
        pairs += [(ink, f"{level}-wash") for level in levels for ink in (level, "ink", "soft")]
        pairs += [("ink", "code"), ("page", "red")]

        assert {pair: round(contrast(theme[pair[0]], theme[pair[1]]), 2) for pair in pairs
                if contrast(theme[pair[0]], theme[pair[1]]) < 4.5} == {}  # fmt: skip
