"""The grid of nights on a terminal: a row per night, a column per step, the newest night last, next to the prompt.

Every state has a glyph of its own, so that nothing is lost without colour. Belongs here: how it looks, and how what a
backfill would do looks. Does not belong here: finding anything out (``grid.py``, ``repair.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forge_workers.night import STEPS
from forge_workers.nights.grid import ASSETS, State, totals
from forge_workers.nights.repair import Repair
from forge_workers.plural import count

_GLYPHS = {
    State.DONE: ("●", "green"),
    State.DEGRADED: ("◐", "yellow"),
    State.SKIPPED: ("○", "dim"),
    State.FAILED: ("✗", "red"),
    State.MISSING: ("·", "magenta"),
    State.RUNNING: ("▶", "cyan"),
}
#: Characters before the first step's column: the night and its day of the week.
_INDENT = 16


def grid(found: Mapping[str, Mapping[str, State]]) -> RenderableType:
    """Draw ``found``, oldest night first: the steps of each, how many are in which state, then names and a legend."""
    rows = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True)
    rows.add_column(no_wrap=True)
    for _ in State:
        rows.add_column(no_wrap=True, justify="right")
    for night, steps in found.items():
        counted = totals(steps)
        numbers = (Text(str(counted[state]) if counted[state] else "", _GLYPHS[state][1]) for state in State)
        rows.add_row(Text(f"{night} {date.fromisoformat(night):%a}"), _row(steps), *numbers)
    whole = {state: sum(totals(steps)[state] for steps in found.values()) for state in State}
    stems = Text(_stems(len(ASSETS)), "dim")
    rows.add_row(Text(count(len(found), "night")), stems, *(Text(str(whole[state] or "")) for state in State))
    rows.add_row(Text(), stems, *(Text(*_GLYPHS[state]) for state in State))
    return Group(rows, *_names(), Text(), _legend())


def _row(steps: Mapping[str, State]) -> Text:
    return Text(" ").join(Text(*_GLYPHS[steps[asset]]) for asset in ASSETS)


def _stems(number: int) -> str:
    return " ".join("│" * number)


def _names() -> list[Text]:
    """Hang each column's name below it, the last one first."""
    lines = []
    for place in reversed(range(len(ASSETS))):
        before = _stems(place) + (" " if place else "")
        lines.append(Text.assemble(" " * _INDENT, (f"{before}└ ", "dim"), ASSETS[place], no_wrap=True))
    return lines


def _legend() -> Text:
    return Text("   ").join(Text.assemble(_GLYPHS[state], f" {state}") for state in State)


def plan(repairs: Sequence[Repair]) -> RenderableType:
    """Draw what a backfill runs, oldest night first."""
    table = Table(box=None, pad_edge=False)
    for heading in ("night", "missing or failed", "then, because they stand on it"):
        table.add_column(heading, no_wrap=heading == "night")
    for repair in repairs:
        broken = "every step" if len(repair.broken) == len(STEPS) else ", ".join(repair.broken)
        table.add_row(repair.night, broken, Text(", ".join(repair.below) or "–", "dim"))
    return Group(table, Text(), Text(f"{said(repairs)}, oldest first."))


def said(repairs: Sequence[Repair]) -> str:
    """Say how much is to be run, in a few words."""
    broken, below = sum(len(repair.broken) for repair in repairs), sum(len(repair.below) for repair in repairs)
    more = f" and {below} below {'it' if broken == 1 else 'them'}" if below else ""
    return f"{count(broken, 'part')} missing or failed{more}, in {count(len(repairs), 'night')}"
