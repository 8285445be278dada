"""The code review as words: headline, Markdown, and the rows handed on.

Belongs here: what a reader sees. Does not belong here: any decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from forge_workers.code.finding_words import by_severity, listed
from forge_workers.code.ranking import Diff
from forge_workers.plain import code, markdown
from forge_workers.plural import count
from forge_workers.report import Finding

#: Rows written out of each table; the data holds all.
_SHOWN = 20


class Counts(NamedTuple):
    """What became of the night's diffs and of the remarks on them."""

    ranked: int
    reviewed: int
    merges: int
    known: int
    dismissed: int
    dropped: int

    def numbers(self, *, new: int) -> dict[str, float]:
        """Return them as the report's figures."""
        return {
            "ranked_diffs": float(self.ranked),
            "reviewed_diffs": float(self.reviewed),
            "not_reviewed_diffs": float(self.ranked - self.reviewed),
            "new_findings": float(new),
            "known_findings": float(self.known),
            "dismissed_findings": float(self.dismissed),
            "dropped_findings": float(self.dropped),
        }


def named(diff: Diff) -> dict[str, JsonValue]:
    """Return what tells a diff from others, and its score."""
    return {
        "repository": diff.commit.repository,
        "commit": diff.commit.id,
        "path": diff.change.path,
        "risk": diff.risk.points,
    }


def why(diff: Diff, note: str = "") -> str:
    """Return the reasons of a diff's score and what else is to be said."""
    return "; ".join(part for part in (*diff.risk.reasons, note) if part)


def headline(findings: Sequence[Finding], counts: Counts, model: str | None, reasons: Sequence[str]) -> str:
    """Say in one sentence what was ranked, what was seen, and what was found."""
    ranked = f"{count(counts.ranked, 'diff')} ranked by risk"
    if not counts.reviewed:
        return f"{ranked}, none reviewed{': ' + reasons[0] if reasons else ' by a model'}."
    found = f"{count(len(findings), 'new finding')} ({by_severity(findings)})" if findings else "no new finding"
    return f"{ranked}, {counts.reviewed} reviewed by {model or 'the cache'}: {found}."


def page(
    said: str,
    findings: Sequence[Finding],
    reviewed: Sequence[tuple[Diff, str]],
    passed_over: Sequence[tuple[Diff, str]],
    counts: Counts,
) -> str:
    """Return the whole report as Markdown."""
    parts = ["## Code review", markdown(said, 400)]
    if findings:
        parts.append(listed(findings[:_SHOWN]))
    told = (
        (counts.known, "known"),
        (counts.dismissed, "dismissed"),
        (counts.dropped, "dropped: the quote does not hold"),
    )
    besides = [f"{number} {what}" for number, what in told if number]
    if besides:
        parts.append(f"Besides: {'; '.join(besides)}.")
    if reviewed:
        parts += ["### Reviewed", "\n".join(_rows(reviewed))]
    if passed_over:
        parts.append("### Not reviewed")
    for reason, diffs in Counter(reason for _, reason in passed_over).most_common():
        parts.append(f"{markdown(reason, 300)} ({count(diffs, 'diff')}):")
        parts.append("\n".join(_rows([(diff, "") for diff, given in passed_over if given == reason])))
    if counts.merges:
        parts.append(f"{count(counts.merges, 'merge')}: what they bring in is ranked where it was made.")
    return "\n\n".join(parts) + "\n"


def _rows(rows: Sequence[tuple[Diff, str]]) -> Iterator[str]:
    for diff, note in rows[:_SHOWN]:
        where = f"{diff.commit.repository}: {diff.change.path}"
        said = markdown(why(diff, note), 300)
        yield f"- risk {diff.risk.points}: {code(where)} at {code(diff.commit.id[:10])}{' — ' + said if said else ''}"
    if len(rows) > _SHOWN:
        yield f"- … and {len(rows) - _SHOWN:,} more"
