"""The week: its seven nights told together, from what they left in the store.

A desk like any other, over a week instead of a night: which nights were whole, what they found, what of it is still
open, and what models cost. Nothing is measured again. Belongs here: adding up, and the words for it. Does not belong
here: what a night found, which its own reports hold.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from pydantic import JsonValue

from forge_workers.charts import Palette, draw
from forge_workers.errors import Damaged
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import grid
from forge_workers.nights.grid import State
from forge_workers.plain import code, markdown, plain
from forge_workers.plural import count
from forge_workers.report import Finding, Gap, Image, Outcome, Report, Usage
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import nights_of

WEEKLY = "weekly_consolidation"
#: Findings written out one by one; the rest are counted.
_SHOWN = 20
#: What the health desk finds are its checks of one moment: they are not followed.
_NOT_FOLLOWED = frozenset({"health_snapshot"})


@dataclass(frozen=True)
class Night:
    """What one night of the week left.

    Attributes:
        night: The night's key.
        states: What became of each step.
        reports: What the steps returned, by asset; damaged ones are left out.
    """

    night: str
    states: Mapping[str, State]
    reports: Mapping[str, Report]

    @property
    def state(self) -> str:
        """The night in one word: the gravest that became of its steps."""
        steps = {self.states[asset] for asset in STEPS}
        if steps == {State.MISSING}:
            return "missing"
        order = ((State.RUNNING, "running"), (State.FAILED, "failed"), (State.MISSING, "failed"),
                 (State.DEGRADED, "degraded"), (State.SKIPPED, "degraded"))  # fmt: skip
        return next((word for state, word in order if state in steps), "done")

    @property
    def usage(self) -> Usage:
        """What models cost the night."""
        return Usage.total(r.receipt.usage for r in self.reports.values() if r.receipt is not None)

    @property
    def seconds(self) -> float:
        """How long its steps took, together."""
        return sum(r.receipt.seconds for r in self.reports.values() if r.receipt is not None)

    @property
    def commits(self) -> int:
        """How many commits its day had, as far as anybody counted."""
        log = self.reports.get("commit_log")
        return int(log.numbers.get("commits", 0)) if log is not None else 0

    @property
    def new(self) -> tuple[Finding, ...]:
        """What was found for the first time."""
        desks = [report for asset, report in self.reports.items() if asset not in _NOT_FOLLOWED]
        return tuple(finding for report in desks for finding in report.findings if finding.is_new)

    @property
    def open(self) -> Mapping[str, str] | None:
        """Titles of the urgent findings that were open, by fingerprint; None when nobody looked."""
        review = self.reports.get("security_review")
        listed = review.data.get("open") if review is not None and review.outcome is not Outcome.SKIPPED else None
        if not isinstance(listed, list):
            return None
        found = [one for one in listed if isinstance(one, dict)]
        return {str(one.get("fingerprint", "")): str(one.get("title", "")) for one in found}


@dataclass(frozen=True)
class Findings:
    """The week's findings: those of it that are new, and of the urgent ones what is open and what is settled.

    Attributes:
        new: Found for the first time in this week, each once, most severe first.
        open: Titles of the urgent ones that the last review of the week lists, by fingerprint.
        settled: Titles of those that an earlier review of the week listed and the last one does not.
        reviewed: The night of the last review, None when none was.
    """

    new: tuple[Finding, ...]
    open: Mapping[str, str]
    settled: Mapping[str, str]
    reviewed: str | None


def weekly_consolidation(request: Request, tools: Tools) -> Report:
    """Tell a week.

    Args:
        request: The week: its key is the Sunday it begins on.
        tools: ``history`` holds the nights.
    """
    week = tuple(_night(tools.history, night) for night in nights_of(request.night))
    found = findings(week)
    words = Counter(night.state for night in week)
    usage = Usage.total(night.usage for night in week)
    broken = tuple(_gaps(week))
    nothing = words["missing"] == len(week)
    why = ("no night of this week was done",) if nothing else ()
    return Report(
        asset=WEEKLY,
        night=request.night,
        outcome=Outcome.SKIPPED if nothing else Outcome.RAN,
        reasons=why,
        headline=_headline(week, words, found),
        markdown="\n\n".join(_page(week, found, usage)),
        numbers={
            **{f"nights_{word}": float(words[word]) for word in ("done", "degraded", "failed", "missing")},
            "commits": float(sum(night.commits for night in week)),
            "new_findings": float(len(found.new)),
            "open_findings": float(len(found.open)),
            "settled_findings": float(len(found.settled)),
            "model_calls": float(usage.calls),
            "tokens": float(usage.prompt_tokens + usage.output_tokens),
            "gpu_s": usage.gpu_s,
            "nights_s": sum(night.seconds for night in week),
        },
        gaps=broken,
        data=_data(week, found),
        images=() if nothing else (chart(week),),
    )


def findings(week: tuple[Night, ...]) -> Findings:
    """Add up the findings of a week, night by night."""
    new: dict[str, Finding] = {}
    opened: dict[str, str] = {}
    last: Mapping[str, str] = {}
    reviewed = None
    for night in week:
        for finding in night.new:
            new.setdefault(finding.fingerprint, finding)
        listed = night.open
        if listed is not None:
            opened |= listed
            last, reviewed = listed, night.night
    ordered = sorted(new.values(), key=lambda finding: (-finding.severity.rank, finding.fingerprint))
    settled = {mark: title for mark, title in opened.items() if mark not in last}
    return Findings(tuple(ordered), last, settled, reviewed)


def _night(store: NightStore, night: str) -> Night:
    reports: dict[str, Report] = {}
    for asset in (*STEPS, BRIEFING):
        with contextlib.suppress(Damaged, OSError):
            report = store.load(asset, night)
            if report is not None:
                reports[asset] = report
    return Night(night, grid.states(store, (night,))[night], reports)


def _gaps(week: tuple[Night, ...]) -> Iterator[Gap]:
    for night in week:
        broken = [asset for asset in STEPS if night.states[asset] in {State.FAILED, State.MISSING}]
        if len(broken) == len(STEPS):
            yield Gap(what=f"the night {night.night}", why="it was not done: nothing of it is counted here")
        elif broken:
            yield Gap(what=f"parts of the night {night.night}", why=f"no result of {', '.join(broken)}")


def _headline(week: tuple[Night, ...], words: Counter[str], found: Findings) -> str:
    whole = words["done"] + words["degraded"]
    commits = count(sum(night.commits for night in week), "commit")
    settled = f", {len(found.settled)} settled" if found.settled else ""
    return (
        f"{whole} of {len(week)} nights whole, {commits}, {count(len(found.new), 'new finding')}; "
        f"{count(len(found.open), 'urgent one')} open{settled}."
    )


def _page(week: tuple[Night, ...], found: Findings, usage: Usage) -> Iterator[str]:
    yield f"## Week from {week[0].night} to {week[-1].night}"
    yield "\n".join(_table(week))
    yield "### New findings"
    yield "\n".join(_new(found.new))
    yield "### Urgent findings"
    yield "\n".join(_urgent(found))
    yield "### Models"
    yield (
        f"{count(usage.calls, 'answer')} by {markdown(usage.model, 60)}" if usage.model else "No model was asked"
    ) + (
        f": {usage.prompt_tokens:,} tokens read, {usage.output_tokens:,} written, {usage.gpu_s:,.0f} s of the GPU. "
        f"Rules saved {count(usage.saved_by_rules, 'question')}, the cache {usage.saved_by_cache:,}."
    )


def _table(week: tuple[Night, ...]) -> Iterator[str]:
    yield "| night | state | commits | new findings | tokens | GPU s | minutes |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for night in week:
        usage = night.usage
        tokens = usage.prompt_tokens + usage.output_tokens
        day = f"{date.fromisoformat(night.night):%a} {night.night}"
        yield (
            f"| {day} | {night.state} | {night.commits:,} | {len(night.new):,} | {tokens:,} "
            f"| {usage.gpu_s:,.0f} | {night.seconds / 60:,.1f} |"
        )


def _new(new: tuple[Finding, ...]) -> Iterator[str]:
    if not new:
        yield "Nothing new was found."
    for finding in new[:_SHOWN]:
        place = finding.evidence[0]
        where = f" in {markdown(place.repository, 60)} {code(place.path)}" if place.repository and place.path else ""
        yield f"- **{finding.severity}** {markdown(finding.title)}{where} ({code(finding.fingerprint, 40)})"
    if len(new) > _SHOWN:
        yield f"- … and {len(new) - _SHOWN:,} more"


def _urgent(found: Findings) -> Iterator[str]:
    if found.reviewed is None:
        yield "No night of the week reviewed the code, so nobody knows what is open."
        return
    if not found.open and not found.settled:
        yield f"None was open by the review of {found.reviewed}."
    for word, titles in (("Open", found.open), ("Settled", found.settled)):
        for mark, title in list(titles.items())[:_SHOWN]:
            yield f"- {word}: {markdown(title)} ({code(mark, 40)})"
        if len(titles) > _SHOWN:
            yield f"- {word}: … and {len(titles) - _SHOWN:,} more"


def _data(week: tuple[Night, ...], found: Findings) -> dict[str, JsonValue]:
    return {
        "nights": {night.night: night.state for night in week},
        "new": [finding.fingerprint for finding in found.new],
        "open": {plain(mark, 40): plain(title) for mark, title in found.open.items()},
        "settled": {plain(mark, 40): plain(title) for mark, title in found.settled.items()},
        "reviewed": found.reviewed,
    }


def chart(week: tuple[Night, ...]) -> Image:
    """Draw the commits and the new findings of each night."""
    commits, new = [night.commits for night in week], [len(night.new) for night in week]
    alt = (
        f"Bar chart of the week from {week[0].night} to {week[-1].night}: {sum(commits):,} commits and "
        f"{sum(new):,} new findings in all, night by night."
    )

    def plot(axes: Axes, palette: Palette) -> None:
        places = range(len(week))
        axes.bar([place - 0.2 for place in places], commits, width=0.4, color=palette.series[0], label="commits")
        axes.bar([place + 0.2 for place in places], new, width=0.4, color=palette.series[1], label="new findings")
        labels = [f"{date.fromisoformat(night.night):%a}\n{night.state}" for night in week]
        axes.set_xticks(list(places), labels)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.set_ylim(bottom=0, top=None if any((*commits, *new)) else 1)
        axes.legend(loc="upper left")

    return draw("week", alt, plot)
