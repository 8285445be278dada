"""What the night did not do: broken steps, gaps, what was only done in part and what nobody reviewed.

Pure. Belongs here: finding and ordering them. Does not belong here: what they make of the night (``verdict.py``), or
how they look (the renderers).
"""

from __future__ import annotations

from typing import Literal

from forge_workers.briefing import words
from forge_workers.briefing.model import Shortfall
from forge_workers.briefing.reading import NotReviewed, Reviews, read, readable
from forge_workers.briefing.told import Told
from forge_workers.plain import plain

#: Unreviewed changes named per reason.
_RISKIEST = 3
#: Gaps told per step.
_GAPS = 12


def shortfalls(told: Told) -> tuple[Shortfall, ...]:
    """List everything the night did not do: broken steps first, then gaps, then what was only done in part."""
    found = [*_of_outcomes(told, "failed", "missing"), *_gaps(told), *_unreviewed(told)]
    return (*found, *_of_outcomes(told, "degraded", "skipped"))


def _of_outcomes(told: Told, *outcomes: Literal["failed", "missing", "degraded", "skipped"]) -> list[Shortfall]:
    return [
        Shortfall(
            kind=outcome,
            asset=line.asset,
            what=words.title(line.asset),
            why=plain("; ".join(line.reasons), 700) or "no reason was left",
            at=told.at(line.asset),
        )
        for outcome in outcomes
        for line in told.lines
        if line.outcome == outcome
    ]


def _gaps(told: Told) -> list[Shortfall]:
    found = []
    for asset, report in told.reports.items():
        gaps = [(plain(gap.what, 120), plain(gap.why, 300)) for gap in report.gaps]
        if told.done(asset) and not readable(report):
            gaps.append(("its structured result", "it has another shape than agreed, so nothing of it is told here"))
        told_gaps = gaps[:_GAPS]
        if gaps[_GAPS:]:
            told_gaps.append((f"{len(gaps) - _GAPS} more", "they are listed in the report itself"))
        found += [Shortfall(kind="gap", asset=asset, what=w, why=y, at=told.at(asset)) for w, y in told_gaps]
    return found


def _unreviewed(told: Told) -> list[Shortfall]:
    """Count by reason the changes that nobody reviewed, and name the riskiest: a person may look instead."""
    reviews = read(told.reports.get("code_review"), Reviews) or Reviews()
    by_reason: dict[str, list[NotReviewed]] = {}
    for change in reviews.not_reviewed:
        by_reason.setdefault(plain(change.reason, 200) or "no reason was left", []).append(change)
    most = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))[:_GAPS]
    return [
        Shortfall(
            kind="not reviewed",
            asset="code_review",
            what=words.count(len(changes), "change"),
            why=f"{reason}{_riskiest(changes)}",
            at=told.at("code_review"),
        )
        for reason, changes in most
    ]


def _riskiest(changes: list[NotReviewed]) -> str:
    first = sorted((c for c in changes if c.path and c.risk > 0), key=lambda c: -c.risk)[:_RISKIEST]
    places = ((f"{plain(c.path, 80)} in {plain(c.repository, 40)}@{plain(c.commit, 64)[:10]}", c.risk) for c in first)
    named = [f"{place} (risk {risk})" for place, risk in places]
    return f". Worth a look of your own: {words.listed(named)}" if named else ""
