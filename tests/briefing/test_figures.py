"""A number that moved by next to nothing did not move."""

from __future__ import annotations

import pytest

from forge_workers.briefing import words
from forge_workers.briefing.model import Figure
from forge_workers.report import Report
from tests.briefing.examples import busy, text
from tests.briefing.parts import briefing


def figure(name: str, tonight: float, last_night: float | None) -> Figure:
    """Return a figure and what it was."""
    return Figure(asset="x", name=name, label="X", tonight=tonight, last_night=last_night, at=0.0)


@pytest.mark.parametrize(
    ("name", "tonight", "last_night", "change"),
    [
        ("disk_free_gib", 76.293, 76.3, "="),
        ("disk_free_gib", 0.3, 0.2, "+0.1 GiB"),
        ("disk_free_gib", 76.1, 76.3, "\N{MINUS SIGN}0.2 GiB"),
        ("load_per_core", 0.5095, 0.5, "="),
        ("load_per_core", 0.65, 0.5, "+0.15 per core"),
        ("memory_available_percent", 91.4, 91.422, "="),
        ("memory_available_percent", 90.0, 91.5, "\N{MINUS SIGN}1.5 %"),
        ("test_ratio", 0.4121, 0.412, "="),
        ("test_ratio", 0.412, 0.409, "+0.3 points"),
        ("commits", 5.0, 4.0, "+1"),
        ("commits", 4.0, 4.0, "="),
        ("commits", 4.0, None, ""),
    ],
)
def test_a_change_below_its_step_is_none(name: str, tonight: float, last_night: float | None, change: str) -> None:
    """Each unit has the least change that is worth a person's morning."""
    one = figure(name, tonight, last_night)

    assert words.change(one) == change
    assert one.moved is (change != "=")


def test_each_number_is_one_line_in_a_narrow_terminal() -> None:
    """At 80 columns no row of the table wraps."""
    before = {a: Report(asset=a, night="2026-11-22", headline="", numbers={}) for a in ("commit_log",)}
    told = briefing(busy(), before=before)
    rows = text(told, 80).partition("Numbers")[2].partition("Gaps and")[0].strip().splitlines()

    assert len(rows) == 1 + len(told.figures)
