"""The night as the briefing finds it: every step with its receipt, and proofs made from evidence.

Belongs here: what composing and judging both need. Does not belong here: sentences of the briefing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from forge_workers.briefing.model import NO_MODEL, Proof, StepLine
from forge_workers.night import STEPS, Step
from forge_workers.plain import plain
from forge_workers.plural import count
from forge_workers.report import Effect, Evidence, Outcome, Receipt, Report

#: A link may hold nothing but a host and a plain path: no query, fragment or credentials that could carry data out.
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~+-]+)*/?")

#: Reasons told per step, the rest are counted; and characters of one.
_REASONS, REASON = 8, 300


@dataclass(frozen=True)
class Told:
    """The steps of one night.

    Attributes:
        lines: Every step, in the order of the night, as its receipt tells it.
        reports: Reports of the steps that neither failed nor are missing, by asset.
        now: When the briefing is composed, UTC unix seconds.
    """

    lines: tuple[StepLine, ...]
    reports: Mapping[str, Report]
    now: float

    def line(self, asset: str) -> StepLine:
        """Return one step; every step of the night is there."""
        return next(line for line in self.lines if line.asset == asset)

    def done(self, asset: str) -> bool:
        """Whether the step did its work, if only in part."""
        return self.line(asset).outcome in {"ran", "degraded"}

    @property
    def at_work(self) -> tuple[str, ...]:
        """The steps that are still to come."""
        return tuple(line.asset for line in self.lines if line.outcome == "at work")

    def at(self, asset: str) -> float:
        """Return when the step ended, or now when no receipt says it."""
        line = self.line(asset)
        return self.now if line.started_at is None else line.started_at + (line.seconds or 0.0)

    def receipt(self, asset: str) -> Proof:
        """Return the proof that the step itself is."""
        there = self.line(asset).started_at is not None
        return Proof(where=f"{'receipt of ' if there else 'no receipt of '}{asset}", at=self.at(asset))

    def mark(self, asset: str) -> str:
        """Return the mark that a text of this step carries."""
        return self.line(asset).mark


def tell(steps: tuple[Step, ...], now: float) -> Told:
    """Read every step's receipt. A step that is expected and not given counts as missing."""
    given = {step.asset: step for step in steps}
    order = (*STEPS, *(asset for asset in given if asset not in STEPS))
    found = tuple(given.get(a) or Step(asset=a, missing="there is no record of it") for a in order)
    reports = {s.asset: s.report for s in found if s.report and s.failure is None and s.missing is None}
    return Told(tuple(_line(step) for step in found), reports, now)


def _line(step: Step) -> StepLine:
    if step.failure is not None:
        return _of_receipt(step.asset, step.failure, Outcome.FAILED, headline="")
    if step.at_work:
        return StepLine(asset=step.asset, outcome="at work")
    if step.missing is not None or step.report is None:
        reason = plain(step.missing or "there is no record of it")
        return StepLine(asset=step.asset, outcome="missing", reasons=(reason,))
    report = step.report
    receipt = report.receipt or Receipt(asset=step.asset, night=report.night, outcome=report.outcome,
                                        reasons=report.reasons, started_at=0.0, seconds=0.0)  # fmt: skip
    line = _of_receipt(step.asset, receipt, report.outcome, plain(report.headline, 300), report.reasons)
    return line if report.receipt else line.model_copy(update={"started_at": None, "seconds": None})


def _of_receipt(
    asset: str, receipt: Receipt, outcome: Outcome, headline: str, reasons: tuple[str, ...] = ()
) -> StepLine:
    every = tuple(dict.fromkeys(filter(None, (plain(reason, REASON) for reason in (*reasons, *receipt.reasons)))))
    more = len(every) - _REASONS
    why = (*every[:_REASONS], *((f"and {count(more, 'more reason')}, in the report itself",) if more > 0 else ()))
    no_model = outcome is Outcome.DEGRADED and any("no model" in reason.lower() for reason in why)
    usage = receipt.usage
    return StepLine(
        asset=asset,
        outcome=outcome.value,
        headline=headline,
        reasons=why,
        started_at=receipt.started_at,
        seconds=receipt.seconds,
        model=plain(usage.model, 60) if usage.model else None,
        calls=usage.calls,
        tokens=usage.prompt_tokens + usage.output_tokens,
        gpu_s=usage.gpu_s,
        effects=tuple(_effect(effect) for effect in receipt.effects),
        mark=NO_MODEL if no_model else "",
    )


def _effect(effect: Effect) -> Effect:
    told = {name: plain(getattr(effect, name)) for name in ("name", "target", "detail")}
    return effect.model_copy(update=told)


def proof(evidence: Evidence) -> Proof:
    """Return where a piece of evidence can be checked, as one line."""
    place = plain(evidence.path or "", 160) + (f":{evidence.line}" if evidence.path and evidence.line else "")
    commit = f"@{plain(evidence.commit, 64)[:10]}" if evidence.commit else ""
    words = (plain(evidence.repository or "", 80), place + commit)
    where = " ".join(word for word in words if word) or plain(evidence.source, 80)
    quote = plain(evidence.quote, 300) if evidence.quote else None
    return Proof(where=where, at=evidence.observed_at, url=linkable(evidence.url), quote=quote)


def linkable(url: str | None, ends_with: str = "") -> str | None:
    """Return ``url`` if it may become a link: https, a host, a plain path that ends as code knows it should.

    A model or a title can put data into a query, and a preview or a click carries it out, so an address with anything
    beyond a path is shown as nothing.
    """
    if not url or len(url) > 400 or not _LINK.fullmatch(url):  # noqa: PLR2004 - longer than any page of a code host
        return None
    return url if urlsplit(url).path.endswith(ends_with) else None
