"""Whether a briefing tells what happened, held against what the store, git and Slack hold.

Belongs here: the rules of a truthful briefing, and what makes two reports the same. Does not belong here: the faults,
or running a night (``night_faults.py``, ``night_storm.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from forge_workers.briefing.model import Briefing, Level
from forge_workers.errors import Damaged
from forge_workers.night import STEPS
from forge_workers.report import Report
from forge_workers.store import NightStore

#: Steps whose reports depend on the repository and the day alone, so that a night done again gives the same bytes.
DETERMINISTIC = ("commit_log", "security_review", "evolution_report")
_BROKEN = {"failed", "missing"}


@dataclass(frozen=True)
class Facts:
    """What a briefing is held against.

    Attributes:
        store: Of the home whose night it was.
        night: The night's day.
        commits: How many commits git itself counts on that day.
        planted: Part of the title of a finding that the day's code must give.
    """

    store: NightStore
    night: str
    commits: int
    planted: str


def lies(told: Briefing, facts: Facts) -> Iterator[str]:
    """Yield each thing the briefing says or leaves out against the facts.

    1. Each step is told with the outcome that its report or its failure in the store has; what left neither is told as
       missing or failed.
    2. A broken step, and a damaged report, is among the shortfalls, and the night is not GREEN.
    3. A count of commits is git's own, unless the shortfalls name what the log could not read.
    4. The planted finding is told, unless the shortfalls name the step that would have found it.
    """
    short = {asset for shortfall in told.shortfalls for asset in shortfall.assets}
    lines = {line.asset: line for line in told.steps}
    for asset in STEPS:
        if asset not in lines:
            yield f"{asset} is not told at all"
            continue
        said = lines[asset].outcome
        kept = _outcome(facts, asset)
        if said != kept and not (said in _BROKEN and kept in _BROKEN):
            yield f"{asset} is told as {said}, and the store has it as {kept}"  # 1
        if said in _BROKEN and asset not in short:
            yield f"{asset} is {said} and no shortfall says so"  # 2
    if any(line.outcome in _BROKEN for line in told.steps) and told.verdict.level is Level.GREEN:
        yield "the night is GREEN although steps are broken"  # 2
    counted = sum(change.commits for change in told.code)
    if "commit_log" not in short and counted != facts.commits:
        yield f"{counted} commits are told, git has {facts.commits}"  # 3
    titles = [finding.title for finding in told.findings] + [need.text for need in told.needs_you]
    hidden = {"commit_log", "security_review"} & short
    if not hidden and not any(facts.planted in title for title in titles):
        yield f"the finding {facts.planted!r} is not told"  # 4


def _outcome(facts: Facts, asset: str) -> str:
    failure = facts.store.failure(asset, facts.night)
    if failure is not None:
        return "failed"
    try:
        report = facts.store.load(asset, facts.night)
    except (Damaged, OSError):
        return "missing"
    return "missing" if report is None else report.outcome.value


def gist(report: Report) -> bytes:
    """Return the report's bytes without its receipt, which holds the hour at which it was made."""
    return report.model_dump_json(exclude={"receipt"}).encode()


def differing(store: NightStore, night: str, undisturbed: Mapping[str, bytes]) -> Iterator[str]:
    """Yield each step whose report is not, byte for byte, that of the undisturbed night."""
    for asset, wanted in undisturbed.items():
        report = store.load(asset, night)
        if report is None or gist(report) != wanted:
            yield f"{asset} is not what the undisturbed night made"


def doubled(parts: Counter[int]) -> Iterator[str]:
    """Yield what Slack holds more than once, or not at all."""
    if not parts:
        yield "Slack has no briefing"
    for part, number in parts.items():
        if number != 1:
            yield f"Slack holds part {part} {number} times"
