"""The building blocks of example nights: receipts, reports and each desk's data in its agreed shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from forge_workers.briefing.compose import compose
from forge_workers.briefing.model import Briefing
from forge_workers.night import STEPS, Step
from forge_workers.report import Evidence, Finding, Outcome, Receipt, Report, Severity, Usage, fingerprint
from forge_workers.windows import Window, window

NIGHT = "2026-11-23"
ZONE = ZoneInfo("Europe/Paris")
DAY: Window = window(NIGHT, ZONE)
#: When the night's work began and when the briefing is composed: 01:00 and 01:09 the next day.
BEGAN = DAY.end_at + 3600
NOW = BEGAN + 9 * 60
#: Seconds each step of the example took.
SECONDS = {
    "gpu_readiness": 11.4,
    "health_snapshot": 2.1,
    "threat_assessment": 14.8,
    "commit_log": 3.6,
    "security_review": 48.0,
    "code_review": 171.0,
    "pr_digest": 6.2,
    "evolution_report": 22.5,
}
REPOSITORIES = ("orchard", "press", "attic")
COMMIT = "3fa9c1d0b2e84716a5c09d8e7f6b1a2c3d4e5f60"


def receipt(asset: str, outcome: Outcome = Outcome.RAN, reasons: tuple[str, ...] = (), **more: Any) -> Receipt:
    """Return a receipt as the step runner would write it; the steps ran one after another."""
    before = sum(SECONDS.get(name, 1.0) for name in list(STEPS)[: list(STEPS).index(asset)]) if asset in STEPS else 0.0
    seconds = 0.1 if outcome is Outcome.SKIPPED else SECONDS.get(asset, 1.0)
    facts = {"started_at": BEGAN + before, "seconds": seconds, **more}
    return Receipt(asset=asset, night=NIGHT, outcome=outcome, reasons=reasons, **facts)


def report(asset: str, headline: str, outcome: Outcome = Outcome.RAN, *reasons: str, **more: Any) -> Report:
    """Return a report with its receipt."""
    usage = more.pop("usage", Usage())
    effects = more.pop("effects", ())
    kept = receipt(asset, outcome, reasons, usage=usage, effects=effects)
    return Report(
        asset=asset,
        night=NIGHT,
        outcome=outcome,
        reasons=reasons,
        headline=headline,
        receipt=kept,
        effects=effects,
        **more,
    )


def step(asset: str, headline: str, outcome: Outcome = Outcome.RAN, *reasons: str, **more: Any) -> Step:
    """Return a step that left a report."""
    return Step(asset=asset, report=report(asset, headline, outcome, *reasons, **more))


def finding(title: str, severity: Severity = Severity.MEDIUM, rule: str = "bandit:B602", **more: Any) -> Finding:
    """Return a new finding at a line of code."""
    facts: dict[str, Any] = {
        "source": "bandit",
        "observed_at": DAY.start_at + 15 * 3600,
        "repository": "orchard",
        "commit": COMMIT,
        "path": "orchard/deploy/shell.py",
        "line": 88,
        "quote": '    subprocess.run(f"rsync -a {source} {target}", shell=True)',
    }
    detail = more.pop("detail", "")
    is_new = more.pop("is_new", True)
    facts |= more
    return Finding(
        fingerprint=fingerprint(rule, title),
        rule=rule,
        severity=severity,
        title=title,
        detail=detail,
        is_new=is_new,
        evidence=(Evidence(**facts),),
    )


def commit(
    repository: str, subject: str, author: str, hour: float, files: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Return a commit as ``commit_log`` keeps it, made ``hour`` hours into the day."""
    return {
        "repository": repository,
        "id": fingerprint(repository, subject) * 2 + "00000000",
        "parents": ["0" * 40],
        "author": author,
        "authored_at": DAY.start_at + hour * 3600,
        "committed_at": DAY.start_at + hour * 3600,
        "subject": subject,
        "fix": subject.lower().startswith("fix"),
        "files": files,
        **more,
    }


def file(path: str, added: int, removed: int, language: str | None = "python") -> dict[str, Any]:
    """Return one changed file as ``commit_log`` keeps it."""
    return {"path": path, "status": "M", "added": added, "removed": removed, "binary": False, "language": language}


def commit_log(commits: list[dict[str, Any]], repositories: tuple[str, ...] = REPOSITORIES, **more: Any) -> Step:
    """Return the step ``commit_log``."""
    repos = [{"name": r, "path": f"/src/{r}", "base": "1" * 40, "tip": COMMIT, "remotes": []} for r in repositories]
    numbers = {
        "commits": float(len(commits)),
        "merges": float(sum(len(c["parents"]) > 1 for c in commits)),
        "lines_added": float(sum(f["added"] for c in commits for f in c["files"])),
        "lines_removed": float(sum(f["removed"] for c in commits for f in c["files"])),
        "authors": float(len({c["author"] for c in commits})),
    }
    data = {"repositories": repos, "commits": commits}
    return step("commit_log", f"{len(commits)} commits", data=data, numbers=numbers, **more)


def threat(
    level: str, *fired: tuple[str, str, int], outcome: Outcome = Outcome.RAN, reasons: tuple[str, ...] = (), **more: Any
) -> Step:
    """Return the step ``threat_assessment`` with the rules that fired."""
    rules = [{"rule": name, "fired": True, "why": why, "points": points} for name, why, points in fired]
    rules.append({"rule": "memory_low", "fired": False, "why": "11 GB of 32 GB are free", "points": 0})
    points = sum(p for *_, p in fired)
    data = {"level": level, "points": points, "rules": rules, "explanation": more.pop("explanation", None)}
    numbers = {"points": float(points)}
    return step("threat_assessment", f"{level}, {points} points", outcome, *reasons, data=data, numbers=numbers, **more)


def health(*checks: dict[str, Any], **more: Any) -> Step:
    """Return the step ``health_snapshot``."""
    data = {"observed_at": BEGAN + 11, "checks": list(checks)}
    numbers = {"disk_free_gib": 38.2, "memory_available_percent": 35.6, "load_per_core": 0.31}
    return step("health_snapshot", "9 checks", data=data, numbers=numbers, **more)


def check(name: str, title: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    """Return one check of the machine."""
    return {
        "name": name,
        "title": title,
        "status": status,
        "value": None,
        "unit": "",
        "threshold": "",
        "detail": "",
        **more,
    }


def pull(number: int, title: str, age_days: float, why: str = "", author: str = "mara") -> dict[str, Any]:
    """Return one pull request of ``acme/orchard``."""
    url = f"https://github.com/acme/orchard/pull/{number}"
    return {
        "repository": "acme/orchard",
        "number": number,
        "title": title,
        "author": author,
        "url": url,
        "age_days": age_days,
        "why": why,
    }


def earlier(*watched: str) -> Mapping[str, Report]:
    """Return the reports of the night before, which watched the example's repositories or ``watched``."""
    numbers = {
        "health_snapshot": {"disk_free_gib": 44.9, "memory_available_percent": 35.6, "load_per_core": 0.22},
        "threat_assessment": {"points": 0.0},
        "commit_log": {"commits": 4.0, "merges": 1.0, "lines_added": 212.0, "lines_removed": 80.0, "authors": 2.0},
        "security_review": {"scanned_files": 6.0, "new_findings": 0.0},
        "pr_digest": {"waiting": 3.0, "opened": 0.0, "merged": 2.0},
        "evolution_report": {"lines": 48_010.0, "files": 609.0, "test_ratio": 0.409},
    }
    rows = [{"name": name, "tip": COMMIT} for name in watched or REPOSITORIES]
    data: dict[str, Any] = {"commit_log": {"repositories": rows, "commits": []}}
    return {
        a: Report(asset=a, night="2026-11-22", headline="", numbers=n, data=data.get(a, {})) for a, n in numbers.items()
    }


def briefing(steps: tuple[Step, ...], now: float = NOW, before: Mapping[str, Report] | None = None) -> Briefing:
    """Compose the example night from ``steps``."""
    return compose(
        steps, night=NIGHT, window=DAY, timezone=ZONE, earlier=earlier() if before is None else before, now=now
    )
