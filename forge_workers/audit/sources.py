"""The check ``sources_fresh``: what claims to be of the night lies in its window, and a look at now was made just now.

Belongs here: times. Does not belong here: whether what was seen then is true (``evidence.py``).
"""

from __future__ import annotations

from forge_workers.audit.facts import LATE_S, SKEW_S, Facts, result
from forge_workers.briefing.reading import Commits, Health, read
from forge_workers.plural import count
from forge_workers.report import CheckResult, Outcome, Report
from forge_workers.windows import Window

NAME = "sources_fresh"
#: Desks that see only the present, and what they cannot know of a night long past.
_PRESENT = {
    "gpu_readiness": "which model was there",
    "health_snapshot": "how the machine was",
    "threat_assessment": "how the machine was",
    "pr_digest": "which pull requests waited",
}
_DAY_S = 86_400.0


def sources_fresh(report: Report, facts: Facts) -> CheckResult:
    """Check every time that the report claims.

    1. A commit, or a finding in code, lies in the night's window.
    2. A look at the machine was made while the step ran, and nothing was seen in the future.
    3. What a desk cannot know of a night long past is told as a gap or a reason.
    4. The reports it was handed are of the same night.
    """
    moments = [*_commits(report), *_findings(report)]
    wrong = [f"{what} is not of this night" for what, at in moments if not facts.window.holds(at)]  # 1
    seen = [(f.rule, e.observed_at) for f in report.findings for e in f.evidence if e.commit is None]
    wrong += [f"{what} was seen in the future" for what, at in seen if at > facts.now + SKEW_S]  # 2
    wrong += _look(report, facts)
    told_at = _told_at(report, facts)
    late_s = told_at - facts.window.end_at
    untold = late_s > LATE_S and report.asset in _PRESENT and _claims_presence(report)
    if untold:
        wrong.append(f"the night is long past, and nothing says that {_PRESENT[report.asset]} is not known")  # 3
    wrong += [f"{a} is of {one.night}" for a, one in facts.upstream.items() if one.night != report.night]  # 4
    numbers = {"times": len(moments) + len(seen), "outside": len(wrong), "hours_after_the_day": round(late_s / 3600, 2)}
    return result(NAME, wrong, _well(report, len(moments) + len(seen), facts.window, told_at), numbers)


def _told_at(report: Report, facts: Facts) -> float:
    """Return when the step ended: now, unless its report is audited again later."""
    return facts.now if report.receipt is None else report.receipt.started_at + report.receipt.seconds


def _commits(report: Report) -> list[tuple[str, float]]:
    log = read(report, Commits) if report.asset == "commit_log" else None
    return [(f"{c.repository}@{c.id[:10]}", c.committed_at) for c in log.commits] if log else []


def _findings(report: Report) -> list[tuple[str, float]]:
    return [(f"{f.rule} at {e.path}:{e.line}", e.observed_at) for f in report.findings for e in f.evidence if e.commit]


def _look(report: Report, facts: Facts) -> list[str]:
    health = read(report, Health) if report.asset == "health_snapshot" else None
    if health is None or report.receipt is None:
        return []
    began = report.receipt.started_at - SKEW_S
    return [] if began <= health.observed_at <= facts.now + SKEW_S else ["the look was not made while the step ran"]


def _claims_presence(report: Report) -> bool:
    """Whether the report tells a present that is not the night's, without a word on it.

    A model that is measured again, or a triage of a look that says so itself, claims nothing of that night.
    """
    if report.asset in {"gpu_readiness", "threat_assessment"} or report.outcome is Outcome.SKIPPED:
        return False
    return not (report.gaps or report.reasons)


def _well(report: Report, times: int, window: Window, told_at: float) -> str:
    said = f"{count(times, 'time')} looked at, none outside the night" if times else "it claims no time of its own"
    if told_at < window.end_at:
        return f"{said}; the day is not over, so more may come"
    late_s = told_at - window.end_at
    if late_s <= LATE_S:
        return said
    days = count(int(late_s // _DAY_S), "day")
    unknown = _PRESENT.get(report.asset)
    return f"{said}; told {days} after it{f': {unknown} then is not known' if unknown else ''}"
