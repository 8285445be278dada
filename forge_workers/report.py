"""What one desk returns for one night: reports, findings, evidence, effects and receipts.

Belongs here: the values every desk, the store and the briefing share; they are frozen and survive a round trip
through JSON. Does not belong here: how any of them is made, stored or shown.

Times are UTC unix seconds (``*_at``), durations are seconds (``*_s``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from forge_workers.windows import NightKey


class Frozen(BaseModel):
    """Base of all shared values: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Severity(StrEnum):
    """How much a finding matters, from ``info`` (nothing to do) to ``critical`` (get up now)."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Place in the order of severity, 0 for ``info`` to 4 for ``critical``."""
        return list(Severity).index(self)


class Outcome(StrEnum):
    """What became of one step of a night."""

    RAN = "ran"
    SKIPPED = "skipped"
    DEGRADED = "degraded"
    FAILED = "failed"


class Evidence(Frozen):
    """Where a claim can be checked.

    Attributes:
        source: What was looked at: ``git``, ``bandit``, ``psutil``, ``github`` ...
        observed_at: When the fact held at its source (commit time, probe time), UTC unix seconds.
        repository: Name of the watched repository.
        commit: Full commit id the path and line refer to.
        path: Path inside the repository.
        line: Line number from 1.
        quote: The exact text of that line, at most 500 characters.
        url: Web address, only ever one that code produced.
    """

    source: str
    observed_at: float
    repository: str | None = None
    commit: str | None = None
    path: str | None = None
    line: int | None = Field(default=None, ge=1)
    quote: Annotated[str, Field(max_length=500)] | None = None
    url: str | None = None


class Finding(Frozen):
    """One fact a person may have to act on.

    Attributes:
        fingerprint: Stable over nights and over moved lines; see :func:`fingerprint`.
        rule: What noticed it, such as ``bandit:B602`` or ``secret:AWS Access Key``.
        severity: How much it matters.
        title: One plain sentence.
        detail: What to know or do; plain text.
        evidence: At least one place where it can be checked.
        is_new: False when an earlier night or the code before the window already had it.
    """

    fingerprint: str
    rule: str
    severity: Severity
    title: str
    detail: str = ""
    evidence: tuple[Evidence, ...] = Field(min_length=1)
    is_new: bool = True


class Gap(Frozen):
    """Something that could not be looked at, and why; told to the reader, never hidden."""

    what: str
    why: str


class Effect(Frozen):
    """One change made outside a report, and whether it was read back and seen to hold."""

    name: str
    target: str
    verified: bool
    detail: str = ""


class Image(Frozen):
    """One picture in a light and a dark form, with words for those who cannot see it.

    Attributes:
        name: Its name among the pictures of one night, such as ``timeline``.
        alt: What it shows, in words.
        light_svg: The form for light pages, as SVG text.
        dark_svg: The form for dark pages, as SVG text.
        png: The light form on a white ground as PNG, in Base64, for places that show no SVG; empty when nobody made it.
    """

    name: str
    alt: str
    light_svg: str
    dark_svg: str
    png: str = ""


class Usage(Frozen):
    """What models cost one step.

    Attributes:
        model: The model that answered, None when none was asked.
        calls: Requests that reached a model.
        prompt_tokens: Tokens read, as the server counted them.
        output_tokens: Tokens written, as the server counted them.
        gpu_s: Seconds the GPU lease was held.
        saved_by_rules: Requests that rules made unnecessary.
        saved_by_cache: Requests that the cache answered.
    """

    model: str | None = None
    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    gpu_s: float = 0.0
    saved_by_rules: int = 0
    saved_by_cache: int = 0

    @classmethod
    def total(cls, parts: Iterable[Usage]) -> Usage:
        """Return the sum of ``parts``; the model is the last one that answered."""
        sums: dict[str, float] = dict.fromkeys(set(cls.model_fields) - {"model"}, 0)
        model = None
        for part in parts:
            model = part.model or model
            sums = {name: value + getattr(part, name) for name, value in sums.items()}
        return cls.model_validate({"model": model, **sums})


class CheckResult(Frozen):
    """What one asset check says of one report.

    Attributes:
        name: The check's name, such as ``counts_add_up``.
        passed: Whether it holds.
        why: What was held against what, one plain sentence.
        numbers: What was counted for it; the name carries the unit.
        grave: When it does not hold: whether what follows from the report would be untrue.
    """

    name: str
    passed: bool
    why: str
    numbers: Mapping[str, float] = Field(default_factory=dict)
    grave: bool = False


class Receipt(Frozen):
    """What one step of a night did. The briefing is written from receipts, so it cannot claim more.

    Attributes:
        asset: Name of the asset.
        night: The night's key.
        outcome: What became of it.
        reasons: Why it was skipped, degraded or failed, one plain sentence each.
        started_at: When it began, UTC unix seconds.
        seconds: How long it took.
        usage: What models cost it.
        effects: Changes made outside its report.
        term: Term of the GPU lease it worked under, None without one; the store refuses a lower one than it has seen.
        checks: What the asset checks say of its report.
        tries: How often it was tried, with this try; more than 1 when passing faults came before.
    """

    asset: str
    night: NightKey
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    started_at: float
    seconds: float = Field(ge=0)
    usage: Usage = Usage()
    effects: tuple[Effect, ...] = ()
    term: int | None = None
    checks: tuple[CheckResult, ...] = ()
    tries: int = Field(default=1, ge=1)


class Report(Frozen):
    """What one desk says about one night.

    Attributes:
        asset: Name of the asset (``security_review``).
        night: The night's key.
        outcome: ``ran``, ``skipped`` or ``degraded``; ``failed`` is written by the step's runner only.
        reasons: Why it was skipped or degraded, one plain sentence each.
        headline: One plain sentence, shown in the briefing.
        markdown: The whole report as Markdown.
        numbers: Figures worth comparing between nights; the name carries the unit.
        findings: New ones first, most severe first.
        known: How many findings were there before and are only counted.
        dismissed: How many findings a person dismissed and are only counted.
        gaps: What could not be looked at.
        effects: Changes made outside the report.
        data: The desk's own structured result for the steps below it, validated there by the desk's model.
        images: Charts.
        receipt: Added by the step's runner.
    """

    asset: str
    night: NightKey
    outcome: Outcome = Outcome.RAN
    reasons: tuple[str, ...] = ()
    headline: str
    markdown: str = ""
    numbers: Mapping[str, float] = Field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    known: int = 0
    dismissed: int = 0
    gaps: tuple[Gap, ...] = ()
    effects: tuple[Effect, ...] = ()
    data: Mapping[str, JsonValue] = Field(default_factory=dict)
    images: tuple[Image, ...] = ()
    receipt: Receipt | None = None


def fingerprint(*parts: str) -> str:
    """Name a finding by what it is, so that it keeps its name over nights and over moved lines.

    Args:
        parts: What identifies it: rule, repository, path, the text of the line without its blanks. Never a line
            number, a commit or a time.

    Returns:
        16 hexadecimal characters: 64 bits, so one clash is expected near 5 billion findings.
    """
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def by_weight(findings: tuple[Finding, ...] | list[Finding]) -> tuple[Finding, ...]:
    """Put new findings first, then the most severe, then by fingerprint, so that the order never wavers."""
    return tuple(sorted(findings, key=lambda f: (not f.is_new, -f.severity.rank, f.fingerprint)))
