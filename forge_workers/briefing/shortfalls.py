"""What the night did not do: broken steps, gaps, what was only done in part and what nobody reviewed.

Pure. Belongs here: finding, grouping and ordering them. Does not belong here: what they make of the night
(``verdict.py``), or how they look (the renderers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forge_workers.briefing import words
from forge_workers.briefing.model import Shortfall
from forge_workers.briefing.reading import NotReviewed, Reviews, read, readable
from forge_workers.briefing.told import REASON, Told
from forge_workers.plain import plain
from forge_workers.report import Report

#: Unreviewed changes named per reason.
_RISKIEST = 3
#: Gaps told per step.
_GAPS = 12
#: The words by which a desk says that the reader's own setting asks no model, and what they are told as.
CHOSEN = "the settings choose to ask no model"
CHOSEN_TOLD = "By your settings no model is asked"
#: What a step did instead when it had no model; any other step is called degraded.
_INSTEAD = {"threat_assessment": "explained by its rules"}
_NO_REASON = "no reason was left"
_KINDS = ("not reviewed", "degraded", "skipped", "chosen")

Kind = Literal["not reviewed", "degraded", "skipped"]


@dataclass(frozen=True)
class _Part:
    """One thing not done: as it reads alone, beside its cause, and as it reads among others of the same cause."""

    kind: Kind
    asset: str
    alone: str
    among: str
    why: str
    look: str = ""


def shortfalls(told: Told) -> tuple[Shortfall, ...]:
    """List everything the night did not do: broken steps first, then gaps, then what was only done in part."""
    parts = [*_unreviewed(told), *_in_part(told, "degraded"), *_in_part(told, "skipped")]
    return (*_broken(told, "failed"), *_broken(told, "missing"), *_gaps(told), *_by_cause(told, parts))


def _broken(told: Told, outcome: Literal["failed", "missing"]) -> list[Shortfall]:
    return [
        Shortfall(
            kind=outcome,
            assets=(line.asset,),
            what=(words.title(line.asset),),
            why="; ".join(line.reasons) or _NO_REASON,
            at=told.at(line.asset),
        )
        for line in told.lines
        if line.outcome == outcome
    ]


def _gaps(told: Told) -> list[Shortfall]:
    found = []
    for asset, report in told.reports.items():
        gaps = [(plain(gap.what, 120), plain(gap.why, 300)) for gap in report.gaps]
        if told.done(asset) and not readable(report):
            gaps.append(("its structured result", "it has another shape than agreed, so nothing of it is told here"))
        told_gaps = [*_failed_checks(asset, report), *gaps[:_GAPS]]
        if gaps[_GAPS:]:
            told_gaps.append((f"{len(gaps) - _GAPS} more", "they are listed in the report itself"))
        found += [Shortfall(kind="gap", assets=(asset,), what=(w,), why=y, at=told.at(asset)) for w, y in told_gaps]
    return found


def _failed_checks(asset: str, report: Report) -> list[tuple[str, str]]:
    """Return which checks the report did not pass, each with what was found."""
    checks = report.receipt.checks if report.receipt else ()
    return [(f"the check {c.name} of {asset} failed", plain(c.why, 300)) for c in checks if not c.passed]


def _in_part(told: Told, outcome: Literal["degraded", "skipped"]) -> list[_Part]:
    """Return one part for each reason of each step that ended so."""
    parts = []
    for line in told.lines:
        for reason in (line.reasons or (_NO_REASON,)) if line.outcome == outcome else ():
            name = words.title(line.asset)
            without = outcome == "degraded" and "no model" in reason.lower()
            did = _INSTEAD.get(line.asset, outcome) if without else outcome
            parts.append(_Part(outcome, line.asset, alone=name, among=f"{words.inside(name)} {did}", why=reason))
    return parts


def _unreviewed(told: Told) -> list[_Part]:
    """Count by reason the changes that nobody reviewed, and name the riskiest: a person may look instead."""
    reviews = read(told.reports.get("code_review"), Reviews) or Reviews()
    by_reason: dict[str, list[NotReviewed]] = {}
    for change in reviews.not_reviewed:
        by_reason.setdefault(plain(change.reason, REASON) or _NO_REASON, []).append(change)
    most = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    rest = [change for _, changes in most[_GAPS:] for change in changes]
    told_of = [*most[:_GAPS], *([("other reasons, in the report itself", rest)] if rest else [])]
    return [_of_changes(changes, reason) for reason, changes in told_of]


def _of_changes(changes: list[NotReviewed], reason: str) -> _Part:
    many, look = words.count(len(changes), "change"), _riskiest(changes)
    among = f"{many} not reviewed{f' (worth a look: {look})' if look else ''}"
    return _Part("not reviewed", "code_review", alone=many, among=among, why=reason, look=look)


def _riskiest(changes: list[NotReviewed]) -> str:
    first = sorted((c for c in changes if c.path and c.risk > 0), key=lambda c: -c.risk)[:_RISKIEST]
    places = ((f"{plain(c.path, 80)} in {plain(c.repository, 40)}@{plain(c.commit, 64)[:10]}", c.risk) for c in first)
    return words.listed([f"{place} (risk {risk})" for place, risk in places])


def _by_cause(told: Told, parts: list[_Part]) -> list[Shortfall]:
    """Tell what has the same cause together, in the order of what it took."""
    by_cause: dict[str, list[_Part]] = {}
    for part in parts:
        by_cause.setdefault(words.same(part.why), []).append(part)
    found = [_together(told, some) for some in by_cause.values()]
    return sorted(found, key=lambda short: _KINDS.index(short.kind))


def _together(told: Told, parts: list[_Part]) -> Shortfall:
    counted = {part.asset for part in parts if part.kind == "not reviewed"}
    shown = [part for part in parts if part.kind == "not reviewed" or part.asset not in counted]
    order = {line.asset: place for place, line in enumerate(told.lines)}
    shown.sort(key=lambda part: order[part.asset])
    chosen = CHOSEN in parts[0].why.lower()
    alone = shown[0] if len(shown) == 1 and not chosen else None
    why = CHOSEN_TOLD if chosen else parts[0].why
    if alone and alone.look:
        why = f"{why.rstrip('.')}. Worth a look of your own: {alone.look}"
    return Shortfall(
        kind="chosen" if chosen else min((part.kind for part in shown), key=_KINDS.index),
        assets=tuple(part.asset for part in shown),
        what=(alone.alone,) if alone else tuple(part.among for part in shown),
        why=why,
        at=max(told.at(part.asset) for part in shown),
    )
