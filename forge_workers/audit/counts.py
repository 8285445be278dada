"""The check ``counts_add_up``: every number that can be counted again is, from the findings and the data beside it.

Belongs here: one set of sums per desk. Does not belong here: what a number means, or numbers that only a measurement
gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

from forge_workers.audit.facts import Facts, result
from forge_workers.briefing.model import Briefing
from forge_workers.briefing.reading import Commits, read
from forge_workers.ecosystem.states import Evolution
from forge_workers.health.checks import GAUGES, Snapshot, Status
from forge_workers.health.triage import Level, replay
from forge_workers.night import STEPS
from forge_workers.plural import count
from forge_workers.report import CheckResult, Outcome, Report

NAME = "counts_add_up"
#: Two sums of the same floats may differ in their last digits.
_ROUNDED = 6

#: Desks that put aside what is known or dismissed; others may tell of findings that are not their own.
_SIFTING = frozenset({"security_review", "code_review"})

#: What a number is called, what the report claims, and what counting again gives.
_Sum = tuple[str, float | None, float | None]


def counts_add_up(report: Report, facts: Facts) -> CheckResult:
    """Check that the report's numbers are what its findings, its data and the steps before it add up to."""
    try:
        sums = [*_of_findings(report), *_OF.get(report.asset, _nothing)(report, facts)]
    except (ValueError, KeyError, TypeError) as error:
        return result(NAME, [f"its data cannot be counted: {error}"], "", {"sums": 0, "wrong": 0}, grave=True)
    wrong = [f"{what} is {_shown(told)} and counts to {_shown(counted)}" for what, told, counted in sums
             if _rounded(told) != _rounded(counted)]  # fmt: skip
    well = f"{count(len(sums), 'number')} counted again, all the same"
    return result(NAME, wrong, well, {"sums": len(sums), "wrong": len(wrong)}, grave=True)


def _of_findings(report: Report) -> Iterator[_Sum]:
    """Count what a desk that sifts its findings tells of them."""
    kept = {"new_findings": sum(f.is_new for f in report.findings), "known_findings": report.known,
            "dismissed_findings": report.dismissed}  # fmt: skip
    if report.asset in _SIFTING:
        yield from ((name, report.numbers[name], counted) for name, counted in kept.items() if name in report.numbers)
    yield "findings without a name", 0, sum(not finding.fingerprint for finding in report.findings)


def _nothing(_: Report, __: Facts) -> Iterator[_Sum]:
    return iter(())


def _commit_log(report: Report, _: Facts) -> Iterator[_Sum]:
    data, numbers = report.data, report.numbers
    repositories, commits = _rows(data["repositories"]), _rows(data["commits"])
    if not repositories:
        yield "numbers without a repository", len(numbers), 0
        return
    files = [(row["repository"], file) for row in commits for file in _rows(row["files"])]
    counted = {
        "commits": len({(row["repository"], row["id"]) for row in commits}),
        "merges": sum(len(_list(row["parents"])) > 1 for row in commits),
        "files": len({(repository, file["path"]) for repository, file in files}),
        "lines_added": sum(_number(file["added"]) for _, file in files),
        "lines_removed": sum(_number(file["removed"]) for _, file in files),
        "authors": len({row["author"] for row in commits}),
        "repositories": len({row["name"] for row in repositories}),
    }
    yield from ((name, numbers.get(name), number) for name, number in counted.items())


def _security(report: Report, facts: Facts) -> Iterator[_Sum]:
    if report.outcome is Outcome.SKIPPED:
        return
    numbers, changed = report.numbers, _rows(report.data["dependencies"])
    yield "open_findings", numbers.get("open_findings"), len(_list(report.data["open"]))
    yield "added_dependencies", numbers.get("added_dependencies"), sum(len(_list(row["added"])) for row in changed)
    yield "removed_dependencies", numbers.get("removed_dependencies"), sum(len(_list(r["removed"])) for r in changed)
    touched = _touched(facts)
    if touched is not None:
        yield "scanned files that no commit touched", max(0, numbers.get("scanned_files", 0) - touched), 0


def _review(report: Report, facts: Facts) -> Iterator[_Sum]:
    seen, unseen = len(_list(report.data["reviewed"])), len(_list(report.data["not_reviewed"]))
    if not report.numbers:
        yield "diffs without a number", seen + unseen, 0
        return
    yield "reviewed_diffs", report.numbers.get("reviewed_diffs"), seen
    yield "not_reviewed_diffs", report.numbers.get("not_reviewed_diffs"), unseen
    yield "ranked_diffs", report.numbers.get("ranked_diffs"), seen + unseen
    touched = _touched(facts)
    if touched is not None:
        yield "ranked diffs that no commit has", max(0, seen + unseen - touched), 0


def _pulls(report: Report, _: Facts) -> Iterator[_Sum]:
    if report.outcome is not Outcome.SKIPPED:
        for name in ("waiting", "opened", "merged"):
            yield name, report.numbers.get(name), len(_list(report.data[name]))


def _evolution(report: Report, facts: Facts) -> Iterator[_Sum]:
    found = Evolution.model_validate(dict(report.data))
    if not found.repositories:
        yield "numbers without a repository", len(report.numbers), 0
        return
    now = [moves.now for moves in found.repositories]
    yield "lines", report.numbers.get("lines"), sum(size.lines for size in now)
    yield "files", report.numbers.get("files"), sum(size.files for size in now)
    yield "lines by language", sum(sum(size.languages.values()) for size in now), sum(size.lines for size in now)
    yield "dependencies", report.numbers.get("dependencies"), sum(moves.dependencies for moves in found.repositories)
    yield "commits_28_nights", report.numbers.get("commits_28_nights"), sum(found.commits_by_night.values())
    log = facts.upstream.get("commit_log")
    whole = report.outcome is Outcome.RAN and log is not None and log.outcome is Outcome.RAN
    if log is not None and whole and facts.now >= facts.window.end_at:
        yield "commits of the night", found.commits_by_night.get(report.night), log.numbers.get("commits")


def _health(report: Report, _: Facts) -> Iterator[_Sum]:
    checks = Snapshot.model_validate(dict(report.data)).checks
    names = {gauge.name: gauge.number for gauge in GAUGES}
    for check in checks:
        if check.value is not None and check.name in names:
            yield names[check.name], report.numbers.get(names[check.name]), check.value
    yield "findings", len(report.findings), sum(check.status in {Status.WARN, Status.FAIL} for check in checks)
    yield "gaps", len(report.gaps), sum(check.status is Status.UNKNOWN for check in checks)


def _threat(report: Report, _: Facts) -> Iterator[_Sum]:
    rows = _rows(report.data["rules"])
    yield "points", report.numbers.get("points"), sum(_number(row["points"]) for row in rows)
    yield "points of the data", _number(report.data["points"]), sum(_number(row["points"]) for row in rows)
    yield "rules_fired", report.numbers.get("rules_fired"), sum(bool(row["fired"]) for row in rows)
    yield "level", Level(str(report.data["level"])).rank, replay(rows).rank


def _readiness(report: Report, _: Facts) -> Iterator[_Sum]:
    held = _rows(report.data.get("resident", []))
    if report.data:
        yield "resident_bytes", report.numbers.get("resident_bytes"), sum(_number(row["size_bytes"]) for row in held)


def _briefing(report: Report, facts: Facts) -> Iterator[_Sum]:
    told = Briefing.model_validate(dict(report.data))
    more = sum(number for _, number in told.findings_more)
    yield "needs_you", report.numbers.get("needs_you"), len(told.needs_you)
    yield "new_findings", report.numbers.get("new_findings"), len(told.findings) + more
    yield "shortfalls", report.numbers.get("shortfalls"), len(told.shortfalls)
    yield "steps that are not told", len(set(STEPS) - {line.asset for line in told.steps}), 0
    done = {line.asset for line in told.steps if line.outcome in {"ran", "degraded", "skipped"}} - {"health_snapshot"}
    new = sum(f.is_new for asset, one in facts.upstream.items() if asset in done for f in one.findings)
    yield "new findings of all steps", len(told.findings) + more, new


_OF: Mapping[str, Callable[[Report, Facts], Iterator[_Sum]]] = {
    "gpu_readiness": _readiness,
    "health_snapshot": _health,
    "threat_assessment": _threat,
    "commit_log": _commit_log,
    "security_review": _security,
    "code_review": _review,
    "pr_digest": _pulls,
    "evolution_report": _evolution,
    "morning_briefing": _briefing,
}


def _touched(facts: Facts) -> int | None:
    """Return how many changes of files the commit log lists, None without one."""
    log = read(facts.upstream.get("commit_log"), Commits)
    return None if log is None else sum(len(commit.files) for commit in log.commits)


def _rows(value: JsonValue) -> list[dict[str, JsonValue]]:
    rows = _list(value)
    if not all(isinstance(row, dict) for row in rows):
        raise TypeError("rows are no rows")
    return [row for row in rows if isinstance(row, dict)]


def _list(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise TypeError("a list is none")
    return value


def _number(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is none")
    return value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _ROUNDED)


def _shown(value: float | None) -> str:
    return "not told" if value is None else f"{value:,.10g}"
