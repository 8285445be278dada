"""What a briefing is: one frozen value that every renderer shows and that survives a round trip through JSON.

All text in it is one plain line of bounded length without control characters (``plain.plain``), made so by
``compose.py``. It is still untrusted: each renderer escapes it for its own medium. A ``url`` has passed
``told.linkable``. Belongs here: the shape. Does not belong here: how it is made or shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from forge_workers.report import Effect, Frozen, Severity
from forge_workers.windows import NightKey

#: Shown wherever a text came without a model.
NO_MODEL = "degraded: no model"
#: By the unit in a figure's name, the least change worth telling: less is noise, or rounds to nothing.
_STEPS = {"_gib": 0.1, "_per_core": 0.1, "_percent": 1.0, "_ratio": 0.001, "_share": 0.001, "_per_s": 0.1, "_s": 0.1}
#: Decimals that count when a change is held against its step: 0.3 less 0.2 is 0.1.
_ROUNDED = 9


class Level(StrEnum):
    """The verdict in one word. ``INCOMPLETE`` stands where too little is known to say ``GREEN`` or ``YELLOW``."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    INCOMPLETE = "INCOMPLETE"
    RED = "RED"


class Proof(Frozen):
    """Where a line can be checked.

    Attributes:
        where: ``repository path:line@commit``, or what was asked: ``psutil``, ``receipt of commit_log``.
        at: When it held at its source, UTC unix seconds.
        url: A web address that code produced, or None.
        quote: The line of code itself.
    """

    where: str
    at: float
    url: str | None = None
    quote: str | None = None


class Verdict(Frozen):
    """The night in one sentence.

    Attributes:
        level: One word.
        sentence: One plain sentence that names what decided it.
        machine: The level of the threat assessment, None when it gave none.
        why: The rules of the threat assessment that fired, and its explanation.
        mark: :data:`NO_MODEL` when the explanation came without a model, else empty.
        proof: The receipt of the threat assessment, for all of this.
    """

    level: Level
    sentence: str
    machine: Level | None = None
    why: tuple[str, ...] = ()
    mark: str = ""
    proof: Proof


class Need(Frozen):
    """Something only a person can do.

    Attributes:
        urgency: How much it matters.
        text: What it is.
        advice: What to do about it, one sentence.
        act: What to type for it, if there is anything to type.
        fingerprint: What ``forge dismiss`` takes when it is a finding, else empty.
        proofs: Where it can be checked.
    """

    urgency: Severity
    text: str
    advice: str = ""
    act: str = ""
    fingerprint: str = ""
    proofs: tuple[Proof, ...]


class NewFinding(Frozen):
    """A finding of tonight: ``forge dismiss`` takes its fingerprint; all places of one ``in_tests`` are tests.

    ``repository`` and ``commit`` are those of its first evidence, empty where it names none: untrusted keys to look up.
    """

    asset: str
    fingerprint: str
    rule: str
    severity: Severity
    title: str
    detail: str
    proofs: tuple[Proof, ...]
    mark: str = ""
    in_tests: bool = False
    repository: str = ""
    commit: str = ""


class CommitLine(Frozen):
    """One commit: subject, author, and the proof that names it."""

    subject: str
    author: str
    merge: bool
    added: int
    removed: int
    proof: Proof


class CodeChange(Frozen):
    """What happened in one repository; ``latest`` holds the newest commits, ``more`` counts the others."""

    repository: str
    commits: int
    merges: int
    authors: int
    files: int
    added: int
    removed: int
    languages: tuple[str, ...]
    latest: tuple[CommitLine, ...]
    more: int
    proof: Proof


class PullRequest(Frozen):
    """One pull request and what became of it."""

    state: Literal["waiting", "opened", "merged"]
    repository: str
    number: int
    title: str
    author: str
    age_days: float
    why: str
    proof: Proof


class Figure(Frozen):
    """One number against the night before.

    Attributes:
        asset: The step that measured it.
        name: Its name, which carries the unit.
        label: What a person calls it.
        tonight: Its value tonight.
        last_night: Its value in the earlier report, None when there is none.
        last_is: The night of the earlier report.
        at: When tonight's was measured, UTC unix seconds.
    """

    asset: str
    name: str
    label: str
    tonight: float
    last_night: float | None = None
    last_is: NightKey | None = None
    at: float

    @property
    def moved(self) -> bool:
        """Whether it differs from the night before by a step worth telling, or has none to compare with."""
        step = next((step for ending, step in _STEPS.items() if self.name.endswith(ending)), 0.0)
        change = 0.0 if self.last_night is None else round(abs(self.tonight - self.last_night), _ROUNDED)
        return self.last_night is None or (change > 0 and change >= step)


class Shortfall(Frozen):
    """Something the night did not do, in plain words; what has one cause is told together.

    Attributes:
        kind: The gravest of what became of it; "chosen" when a person's own setting is the cause.
        assets: The steps it concerns.
        what: What was not done, each in a few words.
        why: The cause, told once.
        at: When the last of it was seen, UTC unix seconds.
    """

    kind: Literal["failed", "missing", "gap", "not reviewed", "degraded", "skipped", "chosen"]
    assets: tuple[str, ...]
    what: tuple[str, ...]
    why: str
    at: float


class StepLine(Frozen):
    """One step as its receipt tells it; ``outcome`` is "missing" when there is no receipt.

    A step that is "at work" stands in no briefing: :attr:`Briefing.at_work` names it.
    """

    asset: str
    outcome: Literal["ran", "degraded", "skipped", "failed", "missing", "at work"]
    headline: str = ""
    reasons: tuple[str, ...] = ()
    started_at: float | None = None
    seconds: float | None = None
    model: str | None = None
    calls: int = 0
    tokens: int = 0
    gpu_s: float = 0.0
    effects: tuple[Effect, ...] = ()
    mark: str = ""


class Briefing(Frozen):
    """One night, told in the morning.

    Attributes:
        night: The night's key.
        start_at: Begin of its window, UTC unix seconds.
        end_at: End of its window.
        timezone: Name of the zone in which times are shown.
        made_at: When this was composed.
        verdict: The night in one sentence.
        needs_you: What needs a person, most urgent first.
        findings: New findings, most severe first.
        findings_more: New findings beyond those shown, by severity.
        findings_note: What else there is to say about findings: known, dismissed, not looked for.
        code: What changed, by repository, busiest first.
        code_note: What else there is to say about code.
        pull_requests: Waiting, opened and merged ones.
        pull_requests_note: What else there is to say about pull requests.
        figures: Numbers against the night before, in the order of the steps.
        shortfalls: Gaps and degradations.
        steps: Every step before the briefing.
        quiet: Nothing changed and all is well, so the briefing is short.
        edition: 1 for the first of its night; 2 for the one that tells what arrived after the first had left.
        at_work: Assets that were still at work when this edition left: they are no shortfalls.
        caught_up: Plain sentences on earlier nights: caught up or backfilled since the last briefing, and what was
            skipped and why.
        backfilled_at: When its night was done again, or done late, after its morning, without telling anybody; None
            when it was told in its morning.
    """

    night: NightKey
    start_at: float
    end_at: float
    timezone: str
    made_at: float
    verdict: Verdict
    needs_you: tuple[Need, ...] = ()
    findings: tuple[NewFinding, ...] = ()
    findings_more: tuple[tuple[Severity, int], ...] = ()
    findings_note: str = ""
    code: tuple[CodeChange, ...] = ()
    code_note: str = ""
    pull_requests: tuple[PullRequest, ...] = ()
    pull_requests_note: str = ""
    figures: tuple[Figure, ...] = ()
    shortfalls: tuple[Shortfall, ...] = ()
    steps: tuple[StepLine, ...] = ()
    quiet: bool = False
    edition: int = 1
    at_work: tuple[str, ...] = ()
    caught_up: tuple[str, ...] = ()
    backfilled_at: float | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.timezone)

    @property
    def day_over(self) -> bool:
        """Whether the whole day lay behind when this was composed."""
        return self.made_at >= self.end_at
