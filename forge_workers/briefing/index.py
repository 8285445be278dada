"""The index of nights: one self-contained page with a calendar, trends, and every night to search.

Like a briefing's page it fetches nothing and every value is escaped; its one script, which only hides what does not
match, holds no data and is named by its digest in the content security policy. Without the script the page is the whole
list. Belongs here: the page and the links between pages. Does not belong here: what is known of a night
(``nightlines.py``), charts (``trends.py``).
"""

from __future__ import annotations

import base64
import calendar
import hashlib
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from forge_workers import files
from forge_workers.briefing import html, trends, words
from forge_workers.briefing.model import Briefing, Level
from forge_workers.briefing.nightlines import NightLine, lines
from forge_workers.report import Image
from forge_workers.store import NightStore
from forge_workers.windows import is_night

PAGE = "index.html"
#: Months of the calendar and of the list that are open at first.
_OPEN = 3
#: Longest wait for another process that makes the index, in seconds.
_LOCK_S = 30.0


class Day(NamedTuple):
    """One cell of the calendar: ``line`` is None where no night was begun, ``page`` is whether it has a page."""

    number: int
    line: NightLine | None
    page: bool


class Month(NamedTuple):
    """One month: its first day, its weeks of seven cells of which some are empty, and its nights, newest first."""

    first: date
    weeks: tuple[tuple[Day | None, ...], ...]
    nights: tuple[tuple[NightLine, bool], ...]


def refresh(folder: Path, history: NightStore, tonight: Briefing | None = None) -> Path:
    """Make the index anew, and the links of the pages beside tonight's.

    Args:
        folder: Where the pages are.
        history: The stored reports.
        tonight: A briefing that was just told; its report need not be stored yet.

    Returns:
        The index.

    Raises:
        OSError: The disk is full or refuses; the pages before are untouched.
        filelock.Timeout: Another process has been making the index for long.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(folder / ".index.lock", timeout=_LOCK_S, mode=0o600):
        if tonight is not None:
            _relink(folder, tonight.night)
        found = lines(folder, history, tonight)
        files.replace(folder / PAGE, render(found, pages(folder), trends.pictures(found)))
    return folder / PAGE


def pages(folder: Path) -> tuple[str, ...]:
    """Return the nights that have a page, oldest first."""
    return tuple(sorted(path.stem for path in folder.glob("*.html") if is_night(path.stem)))


def neighbours(folder: Path, night: str) -> tuple[str | None, str | None]:
    """Return the nights before and after ``night`` that have a page."""
    there = pages(folder)
    before = max((key for key in there if key < night), default=None)
    after = min((key for key in there if key > night), default=None)
    return before, after


def render(found: tuple[NightLine, ...], there: tuple[str, ...], pictures: tuple[tuple[str, Image], ...] = ()) -> str:
    """Return the index; the same arguments give the same bytes.

    Args:
        found: A line per night, newest first.
        there: The nights that have a page.
        pictures: The trend charts with their titles.
    """
    page = html.environment()
    page.filters.update(anchor=html.anchor)
    script = page.get_template("index.js.j2").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    told = [line for line in found if line.told]
    said = {
        "months": list(months(found, there)),
        "open": _OPEN,
        "newest": next(((line, line.night in there) for line in told if line.level), None),
        "counts": [(level, sum(line.level == level for line in told)) for level in Level],
        "told": told,
        "pictures": pictures,
        "note": trends.note(found),
        "digest": digest,
        "words": words,
        "weekdays": list(calendar.day_name),
    }
    return page.get_template("index.html.j2").render(said)


def months(found: tuple[NightLine, ...], there: tuple[str, ...]) -> Iterator[Month]:
    """Yield the months that have a night, newest first."""
    known = {line.night: line for line in found}
    with_page = set(there)
    for month, some in groupby(found, key=lambda line: line.night[:7]):
        first = date.fromisoformat(f"{month}-01")
        weeks = tuple(
            tuple(_day(f"{month}-{day:02d}", day, known, with_page) if day else None for day in week)
            for week in calendar.monthcalendar(first.year, first.month)
        )
        yield Month(first, weeks, tuple((line, line.night in with_page) for line in some))


def _day(night: str, number: int, known: dict[str, NightLine], there: set[str]) -> Day:
    return Day(number, known.get(night), night in there)


def _relink(folder: Path, night: str) -> None:
    """Let the pages of a night and of its neighbours point to each other."""
    for key in {night, *neighbours(folder, night)} - {None}:
        path = folder / f"{key}.html"
        if path.is_file():
            page = path.read_text(encoding="utf-8", errors="replace")
            linked = html.relinked(page, *neighbours(folder, str(key)))
            if linked != page:
                files.replace(path, linked)
