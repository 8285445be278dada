"""The Markdown, as a real Markdown parser reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from forge_workers.briefing import markdown
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import DAY, briefing

_PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
_PULLS = re.compile(r"https://github\.com/acme/orchard/pull/\d+")
_MARKUP = {"html_inline", "html_block", "image", "fence", "s_open", "em_open"}
_HEADINGS = {
    "Morning briefing: Monday 23 November 2026", "Needs you", "New findings", "Code", "Pull requests", "Numbers",
    "Gaps and degradations", "The night's steps",
}  # fmt: skip


def flat(tokens: Iterable[Token]) -> list[Token]:
    """Return every token and its children."""
    return [found for token in tokens for found in (token, *flat(token.children or ()))]


def foreign(text: str) -> list[str]:
    """The check of these tests: everything a reader would be shown that is markup and not ours."""
    tokens = flat(_PARSER.parse(text))
    found = [t.content for t in tokens if t.type in _MARKUP]
    found += [
        str(t.attrs["href"]) for t in tokens if t.type == "link_open" and not _PULLS.fullmatch(str(t.attrs["href"]))
    ]
    titles = [after.content for t, after in pairwise(tokens) if t.type == "heading_open"]
    return found + [title for title in titles if title not in _HEADINGS]


@settings(max_examples=100, deadline=None)
@given(hostile.ANY)
def test_no_text_of_anybody_else_becomes_markup(text: str) -> None:
    """No HTML, link, image, heading or emphasis comes out of data."""
    assert foreign(markdown.render(hostile.told(text))) == []


def test_markdown_without_escaping_is_caught() -> None:
    """The control: with the backslashes taken out, the same check finds script and link."""
    for text in ("<script>alert(1)</script>", "[x](javascript:alert(1))".replace("javascript", "http")):
        bare = markdown.render(hostile.told(text)).replace("\\", "")

        assert foreign(bare)


def test_every_example_has_its_sections_and_tables() -> None:
    """A full night has every section and two tables; all examples start with the title."""
    for steps in (busy(), calm(), broken()):
        assert markdown.render(briefing(steps)).startswith("## Morning briefing: Monday 23 November 2026\n")
    tokens = flat(_PARSER.parse(markdown.render(briefing(busy()))))
    titles = {after.content for t, after in pairwise(tokens) if t.type == "heading_open"}

    assert titles == _HEADINGS
    assert sum(t.type == "table_open" for t in tokens) == 2


def test_a_quiet_night_is_short() -> None:
    """Nothing changed takes less than a screen."""
    text = markdown.render(briefing(calm()))

    assert len(text.splitlines()) < 30
    assert "New findings" not in text


def test_a_line_names_its_place_and_time() -> None:
    """A finding shows repository, path, line, commit and when; a reader can type its fingerprint."""
    told = briefing(busy())
    text = markdown.render(told)

    assert "`orchard deploy/staging.env:3@3fa9c1d0b2` Mon 23 Nov 15:00" in text
    assert all(f"`{found.fingerprint}`" in text for found in told.findings)
    assert "`degraded: no model`" in text


def test_an_early_briefing_says_so() -> None:
    """A day that is not over is named as such."""
    assert "The day is not over" in markdown.render(briefing(busy(), now=DAY.end_at - 3600))
    assert "The day is not over" not in markdown.render(briefing(busy()))


def test_a_later_edition_says_what_it_is() -> None:
    """Which edition, that it was done late, what is still at work and what was caught up stand in words."""
    update = {"edition": 2, "at_work": ("code_review",), "caught_up": ("The 21st was *skipped*.",)}
    text = markdown.render(briefing(busy()).model_copy(update={**update, "backfilled_at": DAY.end_at + 36_000}))

    assert text.index("> Second edition, ") < text.index("### Needs you")
    assert "> Done after its morning, Tue 24 Nov 10:00." in text
    assert "> Still at work when this left: code review\\." in text
    assert "- The 21st was \\*skipped\\*." in text
