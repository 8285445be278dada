"""One real night, made by the desks' own functions over a real repository, for the checks to be held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from forge_workers.audit.checks import audit
from forge_workers.audit.facts import Facts
from forge_workers.briefing.morning import morning_briefing
from forge_workers.code.commits import commit_log
from forge_workers.code.pulls import pr_digest
from forge_workers.code.review import code_review
from forge_workers.code.security import security_review
from forge_workers.ecosystem.evolution import evolution_report
from forge_workers.health.assessment import threat_assessment
from forge_workers.health.checks import Check, Snapshot, Status
from forge_workers.health.snapshot import report_of
from forge_workers.night import Step
from forge_workers.readiness import gpu_readiness
from forge_workers.report import CheckResult, Receipt, Report
from forge_workers.tools import Request, Tools
from tests.code.desk import NIGHT, WINDOW, tools_for
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo

#: When every step had ended: a minute after the day.
NOW = MONDAY + DAY + 60
SHELL = (
    'import subprocess\n\n\ndef go(line):\n    subprocess.call(line, shell=True)\n    password = "hunter2-Blue-77"\n'
)


class Night(NamedTuple):
    """The reports of one night by asset, and the tools they were made with."""

    reports: Mapping[str, Report]
    tools: Tools

    def facts(self, **changed: Any) -> Facts:
        """Return what the checks are held against."""
        known = {"settings": self.tools.settings, "window": WINDOW, "now": NOW, "upstream": self.reports}
        return Facts(**{**known, **changed})

    def checked(self, report: Report, **changed: Any) -> dict[str, CheckResult]:
        """Audit ``report`` and return the results by name."""
        return {result.name: result for result in audit(report, self.facts(**changed))}


def real_night(folder: Path) -> Night:
    """Make a night with commits, a merge, security findings, one failing health check, and no model."""
    repo = Repo(folder / "app")
    repo.commit({"pyproject.toml": '[project]\nname = "a"\ndependencies = ["rich"]\n'}, at=MONDAY - DAY)
    repo.commit({"run.py": SHELL, "b.py": "value = 1\n"}, "Add the runner", at=MONDAY + HOUR)
    repo.switch("topic", create=True)
    repo.commit({"c.py": "value = 2\n"}, "Try something", at=MONDAY + 2 * HOUR, author="Grace")
    repo.switch("main")
    repo.commit({"b.py": "value = 3\n"}, "fix: wrong value", at=MONDAY + 3 * HOUR)
    repo.merge("topic", at=MONDAY + 4 * HOUR)
    tools = replace(tools_for(folder / "home", repo), now=lambda: NOW)
    reports: dict[str, Report] = {}
    desks: Mapping[str, Callable[[Request, Tools], Report]] = {
        "gpu_readiness": gpu_readiness,
        "health_snapshot": _health,
        "threat_assessment": threat_assessment,
        "commit_log": commit_log,
        "security_review": security_review,
        "code_review": code_review,
        "pr_digest": pr_digest,
        "evolution_report": evolution_report,
    }
    for asset, desk in desks.items():
        reports[asset] = with_receipt(desk(Request(night=NIGHT, window=WINDOW, upstream=dict(reports)), tools))
    steps = tuple(Step(asset=asset, report=report) for asset, report in reports.items())
    told = morning_briefing(Request(night=NIGHT, window=WINDOW), tools, steps=steps)
    return Night({**reports, "morning_briefing": with_receipt(told)}, tools)


def with_receipt(report: Report, **changed: Any) -> Report:
    """Return ``report`` with the receipt that the step's frame would write."""
    facts = {"started_at": NOW - 2, "seconds": 2.0, "usage": {}, **changed}
    same = {name: getattr(report, name) for name in ("asset", "night", "outcome", "reasons", "effects")}
    return report.model_copy(update={"receipt": Receipt.model_validate({**same, **facts})})


def _health(request: Request, tools: Tools) -> Report:
    checks = (
        Check(name="disk_free", title="Disk space free", status=Status.OK, value=80.0, unit="GiB"),
        Check(name="swap_used", title="Swap used", status=Status.WARN, value=70.0, unit="%", detail="70 % is used"),
        Check(name="gpu_lease", title="GPU lease", status=Status.UNKNOWN, detail="Redis does not answer"),
    )
    return report_of(Snapshot(observed_at=NOW - 1, checks=checks), request, tools, frozenset())
