"""The check ``schema``: a report survives the way to disk and back, and its data is what the steps below it read.

Belongs here: the shape of each desk's data. Does not belong here: whether its numbers are right (``counts.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from forge_workers.audit.facts import Facts, result
from forge_workers.briefing.model import Briefing
from forge_workers.code.commits import CommitLog
from forge_workers.code.github_pulls import PullDigest
from forge_workers.code.open_findings import OpenFinding
from forge_workers.ecosystem.states import Evolution
from forge_workers.health.checks import Snapshot
from forge_workers.health.triage import Level, Row
from forge_workers.models.engine import Resident
from forge_workers.report import CheckResult, Frozen, Outcome, Report

NAME = "schema"


class _Dependencies(Frozen):
    repository: str
    path: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    loosened: tuple[str, ...]


class _Security(Frozen):
    dependencies: tuple[_Dependencies, ...] = ()
    open: tuple[OpenFinding, ...]


class _Diff(Frozen):
    repository: str
    commit: str
    path: str
    risk: int


class _Reviewed(_Diff):
    why: str


class _NotReviewed(_Diff):
    reason: str


class _Reviews(Frozen):
    reviewed: tuple[_Reviewed, ...]
    not_reviewed: tuple[_NotReviewed, ...]


class _Threat(Frozen):
    level: Level
    points: int
    rules: tuple[Row, ...]
    explanation: str | None


class _Readiness(Frozen):
    model: str
    digest: str | None
    resident: tuple[Resident, ...]


#: The model of each desk's data. A desk without one hands on nothing that is agreed.
SHAPES: Mapping[str, type[BaseModel]] = {
    "gpu_readiness": _Readiness,
    "health_snapshot": Snapshot,
    "threat_assessment": _Threat,
    "commit_log": CommitLog,
    "security_review": _Security,
    "code_review": _Reviews,
    "pr_digest": PullDigest,
    "evolution_report": Evolution,
    "morning_briefing": Briefing,
}


def schema(report: Report, _: Facts) -> CheckResult:
    """Check that nothing of the report is lost as JSON, every number is one, and the data has its desk's shape."""
    wrong = [f"the number {name} is {value}" for name, value in report.numbers.items() if not math.isfinite(value)]
    written = report.model_dump_json()
    try:
        if not wrong and Report.model_validate_json(written) != report:
            wrong.append("what is read back differs from what was written")
    except ValidationError as error:
        wrong.append(f"it cannot be read back: {_first(error)}")
    shape = SHAPES.get(report.asset)
    if shape is not None and (report.data or report.outcome is not Outcome.SKIPPED):
        wrong += _misshapen(report, shape)
    well = f"{len(written):,} characters read back the same" + (" and the data has its shape" if shape else "")
    return result(NAME, wrong, well, {"characters": len(written), "fields": len(report.data)}, grave=True)


def _misshapen(report: Report, shape: type[BaseModel]) -> list[str]:
    if not report.data and report.outcome is Outcome.DEGRADED and report.asset == "gpu_readiness":
        return []  # no model could be loaded, so none is named
    called = shape.__name__.lstrip("_")
    try:
        held = shape.model_validate_json(to_json(dict(report.data))).model_dump(mode="json")
    except (ValidationError, ValueError) as error:
        return [f"its data is no {called}: {_first(error)}"]
    same = {name: held.get(name) for name in report.data} == dict(report.data)
    return [] if same else [f"its data changes when {called} reads and writes it"]


def _first(error: ValidationError | ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
