"""The nights as a grid: what became of each step of each night.

Read from manifests and receipts alone, so that a year takes a moment: no report is loaded whole and no digest is
checked. Belongs here: the states, and which nights there are. Does not belong here: how a grid looks (``drawing.py``)
or what is done about it (``repair.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from forge_workers import attempt
from forge_workers.errors import BadArgs
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import asked, at_work, policy
from forge_workers.report import Outcome
from forge_workers.settings import Settings
from forge_workers.store import Manifest, NightStore
from forge_workers.windows import FIRST_NIGHT, check_night, night_of

#: What a night makes, in the order it is told.
ASSETS = (*STEPS, BRIEFING)
#: Nights shown and looked at unless told otherwise.
NIGHTS = 60
#: Bytes of a report in which its outcome stands: it is the third of its keys.
_HEAD = 4_096
_OUTCOME = re.compile(rb'^ "outcome": "([a-z]+)"', re.MULTILINE)


class State(StrEnum):
    """What became of one step of one night."""

    DONE = "done"
    DEGRADED = "degraded"
    SKIPPED = "skipped"
    FAILED = "failed"
    MISSING = "missing"
    RUNNING = "running"


_STATES = {Outcome.RAN: State.DONE, Outcome.DEGRADED: State.DEGRADED, Outcome.SKIPPED: State.SKIPPED}


def states(store: NightStore, nights: Iterable[str]) -> dict[str, dict[str, State]]:
    """Return what became of every step of each of ``nights``, in their order.

    1. A process works on it, or on its night and has not come to it yet: running.
    2. The newest try failed, or what is kept cannot be read: failed.
    3. There is a report: done, degraded or skipped, as it says.
    4. The night was missed, and the settings leave the step out: skipped.
    5. Otherwise missing.

    Raises:
        BadArgs: One of them is no night.
    """
    return {night: _night(store, night) for night in nights}


def _night(store: NightStore, night: str) -> dict[str, State]:
    folder = store.root / check_night(night)
    if not folder.is_dir():
        return dict.fromkeys(ASSETS, State.MISSING)
    noted = attempt.read(store.root, night)
    running = noted.name if noted is not None and attempt.running(noted) else None
    found = {asset: _step(folder / asset, running) for asset in ASSETS}
    if State.MISSING not in found.values():
        return found
    left_out = _left_out(store.root, night)
    return {asset: _but_skipped(state, asset in left_out) for asset, state in found.items()}


def _left_out(root: Path, night: str) -> frozenset[str]:
    """Return what the settings for missed nights leave out of ``night``; with all its steps also its briefing."""
    record = asked.read(root, night)
    if record is None:
        return frozenset()
    return frozenset(record.skipped) | (frozenset() if record.wants_run else {BRIEFING})


def _but_skipped(state: State, left_out: bool) -> State:
    return State.SKIPPED if state is State.MISSING and left_out else state  # 4


def _step(folder: Path, running: str | None) -> State:
    manifest, failure = folder / "manifest.json", folder / "failure.json"
    if at_work.since(folder, (manifest, failure)) is not None:
        return State.RUNNING  # 1
    failed = failure.is_file()
    try:
        kept = Manifest.model_validate_json(manifest.read_bytes())
    except FileNotFoundError:
        kept = None
    except (ValidationError, OSError):
        return State.FAILED  # 2
    if running is not None and not failed and (kept is None or kept.attempt != running):
        return State.RUNNING  # 1
    if failed:
        return State.FAILED  # 2
    return State.MISSING if kept is None else _said(folder / kept.generation / "report.json")  # 3, 5


def _said(report: Path) -> State:
    """Return what a report says of itself, from its head if it stands there."""
    try:
        with report.open("rb") as file:
            found = _OUTCOME.search(file.read(_HEAD))
        word = found[1].decode() if found else json.loads(report.read_bytes())["outcome"]
        return _STATES[Outcome(word)]
    except (OSError, ValueError, KeyError, TypeError):
        return State.FAILED


def between(first: str, last: str) -> tuple[str, ...]:
    """Return the nights from ``first`` to ``last``, both with them, oldest first."""
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return tuple((begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1))


def chosen(first: str | None, last: str | None, store: NightStore, settings: Settings, now: float) -> tuple[str, ...]:
    """Return the nights a person means, oldest first: those named, or the last :data:`NIGHTS` since Forge began.

    Args:
        first: The oldest night, if it was named.
        last: The newest night, if it was named.
        store: Tells which night was the first that was ever begun: none before it is missing.
        settings: The user's settings.
        now: UTC unix seconds.

    Raises:
        BadArgs: One is no night or lies outside what Forge knows, or they are the wrong way round.
    """
    today, begun = night_of(now, settings.zone), store.all_nights()
    for key in filter(None, (first, last)):
        if check_night(key) > today:
            raise BadArgs(f"the night {key} has not begun: today is {today} in {settings.timezone}")
        if key < FIRST_NIGHT:
            raise BadArgs(f"the night {key} lies before the first night Forge knows, {FIRST_NIGHT}")
    if first is not None and last is not None and first > last:
        raise BadArgs(f"--from {first} lies after --to {last}: give the older night first")
    due = policy.newest_due(now, settings.night, settings.zone)
    newest = last or max(due, next(iter(begun), ""), first or "")
    if first is None:
        first = max((date.fromisoformat(newest) - timedelta(days=NIGHTS - 1)).isoformat(), FIRST_NIGHT)
        first = first if last else max(first, min(begun, default=newest))
    return between(first, newest)


def totals(night: Mapping[str, State]) -> dict[State, int]:
    """Return how many steps of a night are in each state."""
    return {state: sum(one is state for one in night.values()) for state in State}
