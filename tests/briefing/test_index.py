"""The index of nights: every night once, nothing of anybody else's as markup, quick with a year of them."""

from __future__ import annotations

import base64
import hashlib
import html as entities
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from forge_workers.briefing import html, index, nightlines, trends
from forge_workers.briefing.model import Briefing, Level
from forge_workers.briefing.nightlines import NightLine, Titled
from forge_workers.night import BRIEFING
from forge_workers.report import Report
from forge_workers.store import NightStore
from tests.briefing import hostile
from tests.briefing.examples import busy, calm
from tests.briefing.parts import NIGHT, briefing
from tests.standins.many_nights import many_nights

#: Every element the template may write, with the attributes it may write on it.
_ALLOWED: dict[str, set[str]] = {
    "html": {"lang"}, "head": set(), "meta": {"charset", "http-equiv", "content", "name"}, "title": set(),
    "style": set(), "script": set(), "body": set(), "main": {"id", "tabindex"}, "header": set(), "footer": set(),
    "section": {"id", "tabindex", "aria-labelledby"}, "h1": set(), "h2": {"id"}, "h3": set(), "h4": set(),
    "div": {"class", "role", "hidden"}, "p": {"class", "id", "role"}, "span": {"class", "id"}, "b": {"aria-hidden"},
    "a": {"href", "class", "id"}, "ul": {"class", "aria-label"}, "li": {"class", "data-night"}, "code": set(),
    "label": {"for"}, "input": {"id", "type", "autocomplete", "spellcheck", "aria-describedby"}, "abbr": {"title"},
    "details": {"open", "class"}, "summary": set(), "figure": set(), "figcaption": set(), "picture": set(),
    "source": {"media", "srcset"}, "img": {"src", "alt"}, "table": {"class"}, "caption": set(), "thead": set(),
    "tbody": set(), "tr": set(), "th": {"scope"}, "td": set(),
}  # fmt: skip
_PLACE = re.compile(r"#nights|\d{4}-\d\d-\d\d\.html(#finding-[\w-]+)?")


class Reader(HTMLParser):
    """Collects what in a page is not the template's, and what a reader reads."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.foreign: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Hold an element against the list, and its addresses against what may be there."""
        names = dict(attrs)
        second = tag == "script" and tag in self._open
        if second or tag not in _ALLOWED or not set(names) <= _ALLOWED[tag]:
            self.foreign.append(f"<{tag} {' '.join(names)}>")
        href = names.get("href")
        if href and not _PLACE.fullmatch(href):
            self.foreign.append(href)
        for name in ("src", "srcset"):
            address = names.get(name)
            if address and not address.startswith("data:image/svg+xml;base64,"):
                self.foreign.append(address)
        self._open.append(tag)

    def handle_comment(self, data: str) -> None:
        """No comment belongs into the page."""
        self.foreign.append(data)

    def handle_data(self, data: str) -> None:
        """Keep what a reader reads."""
        if self._open and self._open[-1] not in {"style", "script"}:
            self.text.append(data)


def line(night: str, level: Level | None = Level.GREEN, **more: Any) -> NightLine:
    """Return what the index knows of one night."""
    return NightLine(night=night, level=level, **{"sentence": "All is well.", "night_s": 280.0, **more})


def some(number: int = 3) -> tuple[NightLine, ...]:
    """Return a few nights of November, newest first."""
    levels = list(Level)
    return tuple(line(f"2026-11-{n:02d}", levels[n % 4], findings=n, tokens=n * 100) for n in range(number, 0, -1))


def page_of(found: tuple[NightLine, ...]) -> str:
    """Render the index where every night has a page."""
    return index.render(found, tuple(one.night for one in found))


@settings(max_examples=25, deadline=None)
@given(hostile.ANY)
def test_no_text_of_anybody_else_becomes_an_element(text: str) -> None:
    """Whatever stands in sentences, titles and names, the page holds the template's elements and nothing else."""
    told = nightlines.line_of(hostile.told(text))
    bad = told.model_copy(
        update={
            "sentence": text,
            "repositories": (text,),
            "titles": (Titled(severity="high", title=text, fingerprint="0" * 16),),
        }
    )

    assert Reader(page_of((bad,))).foreign == []


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- -->"])
def test_a_page_without_escaping_is_caught(text: str) -> None:
    """The control: with its entities undone, the same reader finds what the attacker wrote."""
    assert Reader(entities.unescape(page_of((line(NIGHT, sentence=text),)))).foreign


def test_the_script_is_one_named_by_its_digest_and_holds_no_data() -> None:
    """The policy lets exactly this script run; it is the same whatever the nights are."""
    scripts = []
    for found in (some(2), some(9), (line(NIGHT, sentence="</script>\u2028"),)):
        page = page_of(found)
        (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:" in page
        assert "default-src 'none'" in page
        scripts.append(script)
    assert len(set(scripts)) == 1
    assert not re.search(r"innerHTML|eval|fetch|XMLHttp|import|document\.write", scripts[0])


def test_every_night_stands_once_in_the_list_and_once_in_the_calendar() -> None:
    """Without the script the page is the whole list, newest first."""
    page = page_of(some(23))

    assert re.findall(r'data-night="([^"]+)"', page) == [f"2026-11-{n:02d}" for n in range(23, 0, -1)]
    assert sorted(re.findall(r'id="day-([^"]+)"', page)) == [f"2026-11-{n:02d}" for n in range(1, 24)]


def test_a_cell_says_its_verdict_in_words() -> None:
    """Colour is never the only sign: a letter for the eye, the verdict and the number of findings for the ear."""
    page = page_of((line(NIGHT, Level.RED, findings=5),))
    cell = re.search(r'<a class="day RED".*?</a>', page, re.DOTALL)

    assert cell is not None
    assert '<b aria-hidden="true">R</b>' in cell[0]
    assert "November: RED, 5 new findings" in cell[0]


def test_a_night_without_a_briefing_or_a_page_is_no_link() -> None:
    """What was begun and never told is said; what has no page is not pointed to."""
    found = (line("2026-11-03"), line("2026-11-02", None, sentence="", told=False))
    page = index.render(found, ())

    assert 'href="2026' not in page
    assert "no briefing" in page


def test_a_home_without_nights_has_an_index_that_says_what_to_do() -> None:
    """Nothing is there yet: one sentence, no empty sections."""
    page = index.render((), ())

    assert "forge night" in page
    assert "<section" not in page


def test_a_screen_reader_finds_its_way() -> None:
    """Language, landmarks, a way past the calendar, headings in order, a label, tables with captions and scopes."""
    page = page_of(some(9))

    assert '<html lang="en">' in page
    assert page.count("<main") == page.count("<h1") == page.count("<header") == page.count("<footer") == 1
    assert re.search(r'<body>\s*<a class="skip" href="#nights">', page)
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.count("<table") == page.count("<caption") > 0
    assert not re.findall(r"<th(?![^>]*scope=)", page.replace("<thead", ""))
    assert '<label for="search">' in page
    assert all(f'id="{name}"' in page for name in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', page))
    names = re.findall(r' id="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_trends_are_drawn_light_and_dark_with_words() -> None:
    """Each figure that moved is a chart whose words name least, most, mean and last; the others are named."""
    found = some(9)
    drawn = trends.pictures(found)

    assert [title for title, _ in drawn] == ["New findings", "Model tokens", "Length of the night"]
    assert "least 1, most 9, on average 5, last 9" in drawn[0][1].alt
    assert trends.note(found) == "Nothing to draw: GPU time."
    assert all(image.light_svg != image.dark_svg and not image.png for _, image in drawn)
    page = index.render(found, (), drawn)
    assert Reader(page).foreign == []
    assert all(entities.escape(image.alt) in page for _, image in drawn)
    assert trends.pictures(()) == ()


def keep(store: NightStore, told: Briefing, night: str = NIGHT) -> None:
    """Store a briefing's report."""
    data = {**told.model_dump(mode="json"), "night": night}
    store.save(Report(asset=BRIEFING, night=night, headline="RED: x", data=data))


def test_the_index_is_made_again_from_what_changed_only(tmp_path: Path) -> None:
    """A line is kept while its report is the present one; a night that ran again is read again."""
    store, folder = NightStore(tmp_path / "nights"), tmp_path / "briefings"
    keep(store, briefing(busy()))
    index.refresh(folder, store)
    cache = json.loads((folder / "index.json").read_text())
    cache["nights"][NIGHT]["line"]["sentence"] = "as it was kept"
    (folder / "index.json").write_text(json.dumps(cache))
    assert nightlines.lines(folder, store)[0].sentence == "as it was kept"

    keep(store, briefing(calm()))
    assert nightlines.lines(folder, store)[0].level is Level.GREEN


@pytest.mark.parametrize("content", [b"", b"{half", b'{"nights": {"x": 1}}', b"\xff\xfe"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, content: bytes) -> None:
    """Nothing depends on it."""
    store, folder = NightStore(tmp_path / "nights"), tmp_path / "briefings"
    keep(store, briefing(busy()))
    before = index.refresh(folder, store).read_bytes()
    (folder / "index.json").write_bytes(content)

    assert index.refresh(folder, store).read_bytes() == before


def test_a_damaged_night_is_said_and_holds_up_no_other(tmp_path: Path) -> None:
    """One stored briefing cannot be read: its line says so, and is read again as soon as it can be."""
    store, folder = NightStore(tmp_path / "nights"), tmp_path / "briefings"
    keep(store, briefing(busy()))
    keep(store, briefing(calm()), "2026-11-22")
    (tmp_path / "nights" / NIGHT / BRIEFING / "manifest.json").write_text("{half")
    damaged, fine = nightlines.lines(folder, store)

    assert "damaged" in damaged.sentence
    assert fine.level is Level.GREEN


def test_a_briefing_of_another_version_is_a_line_all_the_same(tmp_path: Path) -> None:
    """What cannot be read any more shows the headline it was stored with."""
    store = NightStore(tmp_path / "nights")
    store.save(Report(asset=BRIEFING, night=NIGHT, headline="RED: as it was", data={"shape": "old"}))
    (only,) = nightlines.lines(tmp_path / "briefings", store)

    assert (only.level, only.sentence) == (None, "RED: as it was")
    assert "verdict unknown" in page_of((only,))


def test_pages_point_to_each_other_in_whatever_order_they_are_made(tmp_path: Path) -> None:
    """A night told late comes between its neighbours, and theirs now point to it."""
    store, folder = NightStore(tmp_path / "nights"), tmp_path
    for night in ("2026-11-21", "2026-11-23", "2026-11-22"):
        told = briefing(calm()).model_copy(update={"night": night})
        before, after = index.neighbours(folder, night)
        (folder / f"{night}.html").write_text(html.render(told, before=before, after=after))
        index.refresh(folder, store, told)

    def links(night: str) -> list[str]:
        return re.findall(r'rel="(?:prev|next)" href="([^"]+)"', (folder / f"{night}.html").read_text())

    assert links("2026-11-21") == ["2026-11-22.html"]
    assert links("2026-11-22") == ["2026-11-21.html", "2026-11-23.html"]
    assert links("2026-11-23") == ["2026-11-22.html"]


@pytest.mark.slow
def test_a_year_of_nights_fits_one_page(tmp_path: Path) -> None:
    """With nothing kept and with everything kept every night is on it, and it stays small enough to open quickly."""
    keys = many_nights(tmp_path / "nights", 365)
    store, folder = NightStore(tmp_path / "nights"), tmp_path / "briefings"
    first = index.refresh(folder, store).read_bytes()
    page = index.refresh(folder, store)

    assert page.read_bytes() == first
    assert page.stat().st_size < 2_000_000
    assert len(re.findall(r"data-night=", page.read_text())) == len(store.all_nights()) > 0.9 * len(keys)


def browser(page: Path, home: Path) -> str:
    """Return a page as Chromium has it after its script ran."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium"
    asked = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}", "--dump-dom"]
    done = subprocess.run([*asked, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def shown(dom: str) -> list[str]:
    """Return the nights that are not hidden."""
    rows = re.findall(r'<li class="night" data-night="([^"]+)"([^>]*)>', dom)
    return [night for night, rest in rows if "hidden" not in rest]


@pytest.mark.slow
def test_searching_shows_what_matches_and_counts_it(tmp_path: Path) -> None:
    """In a real browser: the script runs under its policy; titles, repositories and nights are found."""
    titles = (Titled(severity="high", title="A Shell command", fingerprint="1" * 16),)
    found = (line("2026-11-03", titles=titles), line("2026-11-02", repositories=("orchard",)), line("2026-10-31"))
    whole = page_of(found)
    path = tmp_path / "index.html"
    nights = {"": 3, "shell": 1, "SHELL a": 1, "orchard": 1, "2026-11": 2, "nothing like it": 0, "<b>": 0}
    for wanted, number in nights.items():
        field = f'type="search" value="{entities.escape(wanted)}"'
        path.write_text(whole.replace('type="search"', field))
        dom = browser(path, tmp_path / "browser")
        assert len(shown(dom)) == number, wanted
        assert '<div role="search">' in dom
        assert (f"{number} of 3 nights" in dom) == bool(wanted)


@pytest.mark.slow
def test_a_script_that_is_not_ours_does_not_run(tmp_path: Path) -> None:
    """The control: with one letter changed the policy keeps the script from running, and the list stays whole."""
    path = tmp_path / "index.html"
    path.write_text(page_of(some(3)).replace('"use strict";', '"use  strict";'))
    dom = browser(path, tmp_path / "browser")

    assert '<div role="search" hidden' in dom
    assert len(shown(dom)) == 3
