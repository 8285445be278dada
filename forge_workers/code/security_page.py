"""The security review as words: headline and Markdown.

Belongs here: what a reader sees. Does not belong here: any decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from forge_workers.code.finding_words import by_severity, listed
from forge_workers.code.manifests import Change, Dependency
from forge_workers.code.open_findings import OpenFinding
from forge_workers.plain import code, markdown, plain
from forge_workers.plural import count
from forge_workers.report import Finding, Gap

#: Findings written out; the table of findings holds all.
_SHOWN = 50


class Silenced(NamedTuple):
    """Places of one file that a comment keeps from being listed, and how many of them the window added."""

    repository: str
    path: str
    places: int
    newly: int


class Dependencies(NamedTuple):
    """How the window changed one manifest."""

    repository: str
    path: str
    change: Change

    def named(self) -> dict[str, JsonValue]:
        """Return the change by names alone: what stands beside them may hold a password."""
        loosened = [after for _, after in self.change.loosened]
        return {
            "repository": self.repository,
            "path": self.path,
            "added": [*_names(self.change.added)],
            "removed": [*_names(self.change.removed)],
            "loosened": [*_names(loosened)],
        }


def headline(findings: Sequence[Finding], *, files: int, known: int, dismissed: int, gaps: int) -> str:
    """Say in one sentence what is new, what was there, and whether something could not be looked at."""
    new = "No new security finding"
    if findings:
        new = f"{count(len(findings), 'new security finding')} ({by_severity(findings)})"
    others = [f"{number} {what}" for number, what in ((known, "known"), (dismissed, "dismissed")) if number]
    besides = f"; {' and '.join(others)}" if others else ""
    missing = f"; {count(gaps, 'gap')}" if gaps else ""
    return f"{new} in {count(files, 'touched file')}{besides}{missing}."


def page(
    said: str,
    findings: Sequence[Finding] = (),
    silenced: Sequence[Silenced] = (),
    dependencies: Sequence[Dependencies] = (),
    gaps: Sequence[Gap] = (),
    *,
    dropped: int = 0,
    left: Sequence[OpenFinding] = (),
) -> str:
    """Return the whole report as Markdown."""
    parts = ["## Security review", markdown(said, 400)]
    if findings:
        parts.append(listed(findings[:_SHOWN]))
    if len(findings) > _SHOWN:
        parts.append(f"{len(findings) - _SHOWN} more are in the table of findings.")
    if left:
        parts += ["### Open", "\n".join(_open(left))]
    if dependencies:
        parts += ["### Dependencies", "\n".join(_dependencies(dependencies))]
    if silenced:
        parts += ["### Silenced by a comment", "\n".join(_silenced(silenced))]
    if gaps:
        parts += ["### Not looked at", "\n".join(f"- {markdown(g.what)}: {markdown(g.why, 500)}" for g in gaps)]
    if dropped:
        parts.append(f"{count(dropped, 'finding')} dropped: the quoted line is not in the file.")
    return "\n\n".join(parts) + "\n"


def _dependencies(changes: Sequence[Dependencies]) -> Iterator[str]:
    for repository, path, change in changes:
        said = [("added", change.added), ("removed", change.removed), ("loosened", [b for _, b in change.loosened])]
        words = [f"{what} {', '.join(code(name, 80) for name in _names(some))}" for what, some in said if some]
        yield f"- {code(f'{repository}: {path}')}: {'; '.join(words)}"


def _open(left: Sequence[OpenFinding]) -> Iterator[str]:
    yield "High and critical findings that are neither mended nor dismissed.\n"
    for one in left[:_SHOWN]:
        where = f"{code(f'{one.repository}: {one.path}:{one.line}')} at {code(one.commit[:10])}"
        yield f"- **{one.severity.value}** {markdown(one.title)} — {where}, since the night {one.since}"
    if len(left) > _SHOWN:
        yield f"- … and {len(left) - _SHOWN:,} more"


def _silenced(silenced: Sequence[Silenced]) -> Iterator[str]:
    places, newly = sum(s.places for s in silenced), sum(s.newly for s in silenced)
    yield f"{count(places, 'place')} in the touched files, {newly} of them since the night before.\n"
    for one in silenced:
        if one.newly:
            yield f"- {code(f'{one.repository}: {one.path}')}: {one.newly} more"


def _names(dependencies: Sequence[Dependency]) -> list[str]:
    """Return the names; of a dependency that is only an address, no more than that it is one."""
    return ["(an address)" if d.name == d.wanted and d.address else plain(d.name, 100) for d in dependencies]
