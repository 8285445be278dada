"""What the terminal shows, coloured and piped, wide and narrow."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from rich.console import Console

from forge_workers.briefing import terminal
from forge_workers.briefing.model import Briefing
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm, text
from tests.briefing.parts import DAY, briefing

_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def coloured(told: Briefing, width: int = 100) -> str:
    """Return what a colour terminal is sent."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor", highlight=False)
    console.print(terminal.render(told))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def commands(sent: str) -> list[str]:
    """The check of these tests: every character a terminal would obey, apart from line ends."""
    return [c for c in sent if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}]


@settings(max_examples=40, deadline=None)
@given(hostile.ANY)
def test_no_text_of_anybody_else_commands_the_terminal(raw: str) -> None:
    """Only colours reach the terminal, and without one, nothing but text."""
    told = hostile.told(raw)

    assert commands(_COLOUR.sub("", coloured(told))) == []
    assert commands(text(told)) == []


def test_raw_text_is_caught() -> None:
    """The control: a title printed as it came moves the cursor, and the same check sees it."""
    assert commands("\x1b[2J\u202etitle")


def test_brackets_are_no_markup() -> None:
    """A title that looks like rich's markup is shown letter by letter; printed as markup it would vanish."""
    shown = text(hostile.told("[bold red]alarm[/]"))
    lost = Console(file=io.StringIO(), width=100)
    lost.print("[bold red]alarm[/]")

    assert "[bold red]alarm[/]" in shown
    assert isinstance(lost.file, io.StringIO)
    assert "[bold red]" not in lost.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """At any usual width every line fits."""
    for told in (briefing(busy()), briefing(calm()), briefing(broken()), hostile.told("長い" * 60)):
        assert max(cell_len(line) for line in text(told, width).splitlines()) <= width


def test_a_pipe_gets_no_colours_and_every_word() -> None:
    """Piped, the briefing says in words what the colours say."""
    told = briefing(busy())
    shown = text(told)

    assert "\x1b" not in shown
    for word in ("RED", "critical", "degraded: no model", "skipped", "Monday 23 November 2026"):
        assert word in shown
    assert all(found.fingerprint in shown for found in told.findings)
    assert "forge night --date 2026-11-23" in text(briefing(broken()))


def test_a_quiet_night_fits_a_small_screen() -> None:
    """Nothing changed: 24 lines are enough."""
    assert len(text(briefing(calm())).splitlines()) <= 24


def test_an_early_briefing_says_so() -> None:
    """A day that is not over is named as such."""
    assert "The day is not over" in text(briefing(busy(), now=DAY.end_at - 3600))


def test_a_later_edition_says_what_it_is() -> None:
    """Which edition stands above the verdict; what is still at work and what was caught up stand in words."""
    update = {"edition": 3, "at_work": ("code_review",), "caught_up": ("The 21st was [bold]skipped[/].",)}
    shown = text(briefing(busy()).model_copy(update=update))

    assert shown.index("Third edition, ") < shown.index("RED")
    assert "Still at work when this left: code review." in shown
    assert "The 21st was [bold]skipped[/]." in shown
