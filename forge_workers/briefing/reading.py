"""Reading the desks' structured results, as far as the briefing tells of them.

The desks' own models live above this package, so what is read here is the agreed shape of their ``data``: only the
fields that are told, everything else is passed over. A result of another shape is a gap, never a crash. Belongs here:
the shapes and their validation. Does not belong here: what is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_workers.report import Report, Severity
from forge_workers.windows import NightKey


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class File(_Read):
    """One file of a commit."""

    path: str
    added: int = 0
    removed: int = 0
    language: str | None = None


class Commit(_Read):
    """One commit of the window."""

    repository: str
    id: str
    parents: tuple[str, ...] = ()
    author: str
    committed_at: float
    subject: str
    files: tuple[File, ...] = ()


class Repository(_Read):
    """One watched repository."""

    name: str
    tip: str | None = None


class Commits(_Read):
    """What ``commit_log`` returns."""

    repositories: tuple[Repository, ...]
    commits: tuple[Commit, ...]


class Check(_Read):
    """One check of the machine's health."""

    name: str
    title: str
    status: Literal["ok", "warn", "fail", "unknown"]
    value: float | None = None
    unit: str = ""
    threshold: str = ""
    detail: str = ""


class Health(_Read):
    """What ``health_snapshot`` returns."""

    observed_at: float
    checks: tuple[Check, ...]


class Rule(_Read):
    """One rule of the threat assessment."""

    rule: str
    fired: bool
    why: str
    points: int = 0


class Threat(_Read):
    """What ``threat_assessment`` returns."""

    level: Literal["GREEN", "YELLOW", "RED"]
    rules: tuple[Rule, ...] = ()
    explanation: str | None = None


class Pull(_Read):
    """One pull request."""

    repository: str
    number: int
    title: str
    author: str = ""
    url: str = ""
    age_days: float = 0.0
    why: str = ""


class Pulls(_Read):
    """What ``pr_digest`` returns."""

    waiting: tuple[Pull, ...] = ()
    opened: tuple[Pull, ...] = ()
    merged: tuple[Pull, ...] = ()


class NotReviewed(_Read):
    """One change that nobody reviewed."""

    reason: str
    repository: str = ""
    commit: str = ""
    path: str = ""
    risk: int = 0


class Reviews(_Read):
    """What ``code_review`` returns."""

    not_reviewed: tuple[NotReviewed, ...] = ()


class OpenFinding(_Read):
    """One urgent finding that is neither mended nor dismissed, with the night that saw it first."""

    fingerprint: str
    severity: Severity
    title: str
    repository: str
    path: str
    line: int | None = None
    commit: str
    since: NightKey


class Security(_Read):
    """What ``security_review`` returns."""

    open: tuple[OpenFinding, ...] = ()


R = TypeVar("R", bound=_Read)

#: The shape that each desk's data must have.
_SHAPES: Mapping[str, type[_Read]] = {
    "commit_log": Commits,
    "health_snapshot": Health,
    "threat_assessment": Threat,
    "pr_digest": Pulls,
    "code_review": Reviews,
    "security_review": Security,
}


def read(report: Report | None, shape: type[R]) -> R | None:
    """Return a report's data in ``shape``, or None when there is no report or its data has another shape."""
    if report is None:
        return None
    try:
        return shape.model_validate(dict(report.data))
    except ValidationError:
        return None


def readable(report: Report) -> bool:
    """Whether a report's data has the shape agreed for its step."""
    shape = _SHAPES.get(report.asset)
    return shape is None or read(report, shape) is not None
