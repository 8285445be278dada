"""Composing the briefing: from receipts and reports to one frozen value.

Pure: no clock, no file, no network. The briefing is made from receipts, so it cannot claim what did not happen: a step
that failed or is missing is named, a skipped one says why, and what nobody looked at is never called clean. Belongs
here: the sections. Does not belong here: the verdict (``verdict.py``), what fell short (``shortfalls.py``), escaping
and layout (the renderers).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from forge_workers.briefing import words
from forge_workers.briefing.figures import told_of
from forge_workers.briefing.findings import in_tests, typed
from forge_workers.briefing.model import (
    Briefing,
    CodeChange,
    CommitLine,
    Figure,
    NewFinding,
    Proof,
    PullRequest,
)
from forge_workers.briefing.opinions import heard
from forge_workers.briefing.reading import Commit, Commits, OpenFinding, Pull, Pulls, Security, read
from forge_workers.briefing.shortfalls import shortfalls
from forge_workers.briefing.told import Told, linkable, proof, tell
from forge_workers.briefing.verdict import judge, needs_you, quiet
from forge_workers.feedback import Views
from forge_workers.night import Step
from forge_workers.plain import plain
from forge_workers.report import Finding, Report, Severity, by_weight
from forge_workers.windows import Window

#: Findings told one by one; what a person can read in a morning. The rest, and all remarks, are counted by severity.
_FINDINGS = 20
#: Newest commits told per repository.
_COMMITS = 6
#: Steps whose numbers add up the watched repositories: they compare only with a night that watched the same ones.
_OVER_REPOSITORIES = frozenset({"commit_log", "security_review", "code_review", "evolution_report"})
#: Pull requests told per state.
_PULLS = 12


def compose(
    steps: tuple[Step, ...],
    *,
    night: str,
    window: Window,
    timezone: ZoneInfo,
    earlier: Mapping[str, Report],
    now: float,
    before: Briefing | None = None,
    caught_up: tuple[str, ...] = (),
    publishes: bool = True,
    views: Views | None = None,
) -> Briefing:
    """Compose the briefing of one night.

    Args:
        steps: The steps before the briefing; one that is expected and not given counts as missing.
        night: The night's key.
        window: Its stretch of time. While ``now`` lies before its end, the briefing says that the day is not over.
        timezone: In which times are shown.
        earlier: The newest report before this night, by asset; numbers are compared with it.
        now: UTC unix seconds.
        before: The edition of this night before this one, if there is one.
        caught_up: What became of earlier nights since the last briefing, plain sentences.
        publishes: Whether it tells its night in its morning, and not long after.
        views: What people think of findings, and which they snoozed.
    """
    told = tell(steps, now)
    # What the health desk finds are its checks: they are told under what needs a person, and cannot be dismissed.
    desks = {asset: report for asset, report in told.reports.items() if asset != "health_snapshot"}
    new = tuple((asset, f) for asset, report in desks.items() for f in by_weight(report.findings) if f.is_new)
    new = tuple(sorted(new, key=lambda pair: -pair[1].severity.rank))
    left = _left(told, earlier, new)
    said = heard(new, left, views or Views(), before=window.end_at, now=now)
    shown = [pair for pair in said.new if pair[1].severity is not Severity.INFO][:_FINDINGS]
    counted = Counter(finding.severity for _, finding in new) - Counter(finding.severity for _, finding in shown)
    verdict, needs = judge(told, new, left), needs_you(told, said.new, said.left, night)
    return Briefing(
        night=night,
        start_at=window.start_at,
        end_at=window.end_at,
        timezone=timezone.key,
        made_at=now,
        verdict=verdict,
        needs_you=needs,
        findings=tuple(_finding(told, asset, finding) for asset, finding in shown),
        findings_more=tuple(sorted(counted.items(), key=lambda pair: -pair[0].rank)),
        findings_note=" ".join(filter(None, (_findings_note(told, new), said.note(timezone)))),
        code=_code(told),
        code_note=_code_note(told),
        pull_requests=_pulls(told),
        pull_requests_note=_pulls_note(told),
        figures=_figures(told, earlier),
        shortfalls=shortfalls(told),
        steps=tuple(line for line in told.lines if line.outcome != "at work"),
        quiet=quiet(told, verdict, new, needs) and not caught_up and not said.until,
        edition=_edition(told, before),
        at_work=told.at_work,
        caught_up=caught_up,
        backfilled_at=None if publishes else now,
    )


def _edition(told: Told, before: Briefing | None) -> int:
    """Count editions: a new one when something came of a step that was at work when the one before left."""
    if before is None:
        return 1
    arrived = {line.asset for line in told.lines if line.outcome not in {"missing", "at work"}}
    return before.edition + bool(arrived & set(before.at_work))


def _left(told: Told, earlier: Mapping[str, Report], new: tuple[tuple[str, Finding], ...]) -> tuple[OpenFinding, ...]:
    """Return what earlier nights left open and tonight's own findings do not tell; without a review, the last known."""
    kept = read(told.reports.get("security_review") or earlier.get("security_review"), Security) or Security()
    tonight = {finding.fingerprint for _, finding in new}
    return tuple(one for one in kept.open if one.fingerprint not in tonight)


def _finding(told: Told, asset: str, finding: Finding) -> NewFinding:
    return NewFinding(
        asset=asset,
        fingerprint=typed(finding.fingerprint),
        rule=plain(finding.rule, 80),
        severity=finding.severity,
        title=plain(finding.title),
        detail=plain(finding.detail, 600),
        proofs=tuple(proof(evidence) for evidence in finding.evidence[:3]),
        mark=told.mark(asset),
        in_tests=in_tests(finding),
        repository=plain(finding.evidence[0].repository or "", 80),
        commit=plain(finding.evidence[0].commit or "", 64),
    )


def _findings_note(told: Told, new: tuple[tuple[str, Finding], ...]) -> str:
    """Say what is only counted, and who did not look."""
    desks = [report for asset, report in told.reports.items() if asset != "health_snapshot"]
    known = sum(r.known + sum(not f.is_new for f in r.findings) for r in desks)
    dismissed = sum(report.dismissed for report in told.reports.values())
    parts = [] if new else ["Nothing new was found"]
    if known or dismissed:
        parts.append(f"{known:,} known and {dismissed:,} dismissed are only counted")
    absent = [a for a in ("security_review", "code_review") if not told.done(a)]
    parts += [f"{words.title(asset)}: nobody looked, the step {_fate(told, asset)}" for asset in absent]
    if not new and len(absent) == 2:  # noqa: PLR2004 - both of the two
        parts = parts[1:]
    return ". ".join(parts) + ("." if parts else "")


def _fate(told: Told, asset: str) -> str:
    line = told.line(asset)
    done = {"failed": "failed", "missing": "left no result", "skipped": "was skipped", "at work": "is still at work"}[
        line.outcome
    ]
    return f"{done} ({words.clause(line.reasons[0]).rstrip('.')})" if line.reasons else done


def _code(told: Told) -> tuple[CodeChange, ...]:
    log = read(told.reports.get("commit_log"), Commits)
    if log is None:
        return ()
    tips = {repository.name: repository.tip for repository in log.repositories}
    by_repository: dict[str, list[Commit]] = {}
    for commit in log.commits:
        by_repository.setdefault(commit.repository, []).append(commit)
    changes = (_change(told, name, commits, tips.get(name)) for name, commits in by_repository.items())
    return tuple(sorted(changes, key=lambda change: (-change.commits, change.repository)))


def _change(told: Told, name: str, commits: list[Commit], tip: str | None) -> CodeChange:
    newest = sorted(commits, key=lambda commit: -commit.committed_at)
    files = [file for commit in commits for file in commit.files]
    languages: Counter[str] = Counter()
    for file in files:
        languages[plain(file.language or "", 30)] += file.added + file.removed
    languages.pop("", None)
    repository = plain(name, 80)
    head = f"{repository}@{plain(tip, 64)[:10]}" if tip else f"{repository}, {told.receipt('commit_log').where}"
    return CodeChange(
        repository=repository,
        commits=len(commits),
        merges=sum(len(commit.parents) > 1 for commit in commits),
        authors=len({commit.author for commit in commits}),
        files=len({file.path for file in files}),
        added=sum(file.added for file in files),
        removed=sum(file.removed for file in files),
        languages=tuple(language for language, _ in languages.most_common(4)),
        latest=tuple(_commit(commit) for commit in newest[:_COMMITS]),
        more=len(newest[_COMMITS:]),
        proof=Proof(where=head, at=newest[0].committed_at),
    )


def _commit(commit: Commit) -> CommitLine:
    where = f"{plain(commit.repository, 80)}@{plain(commit.id, 64)[:10]}"
    return CommitLine(
        subject=plain(commit.subject) or "(no subject)",
        author=plain(commit.author, 60),
        merge=len(commit.parents) > 1,
        added=sum(file.added for file in commit.files),
        removed=sum(file.removed for file in commit.files),
        proof=Proof(where=where, at=commit.committed_at),
    )


def _code_note(told: Told) -> str:
    if not told.done("commit_log"):
        return f"Nobody counted commits: the step {_fate(told, 'commit_log')}."
    log = read(told.reports.get("commit_log"), Commits)
    if log is None:
        return "The commit log cannot be read."
    busy = {commit.repository for commit in log.commits}
    still = [plain(r.name, 80) for r in log.repositories if r.name not in busy]
    named = words.listed(still) if len(still) <= _COMMITS else words.count(len(still), "repository", "repositories")
    return f"No commits in {named}." if still else "" if busy else "No repository could be read."


def _pulls(told: Told) -> tuple[PullRequest, ...]:
    pulls = read(told.reports.get("pr_digest"), Pulls) or Pulls()
    oldest = tuple(sorted(pulls.waiting, key=lambda pull: -pull.age_days))
    states: tuple[tuple[Literal["waiting", "opened", "merged"], tuple[Pull, ...]], ...] = (
        ("waiting", oldest), ("opened", pulls.opened), ("merged", pulls.merged))  # fmt: skip
    return tuple(_pull(told, state, pull) for state, some in states for pull in some[:_PULLS])


def _pull(told: Told, state: Literal["waiting", "opened", "merged"], pull: Pull) -> PullRequest:
    url = linkable(pull.url, f"/{pull.repository}/pull/{pull.number}")
    repository = plain(pull.repository, 80)
    return PullRequest(
        state=state,
        repository=repository,
        number=pull.number,
        title=plain(pull.title),
        author=plain(pull.author, 60),
        age_days=pull.age_days if math.isfinite(pull.age_days) else 0.0,
        why=plain(pull.why, 120),
        proof=Proof(where=f"{repository}#{pull.number}", at=told.at("pr_digest"), url=url),
    )


def _pulls_note(told: Told) -> str:
    if not told.done("pr_digest"):
        return f"Nobody looked at pull requests: the step {_fate(told, 'pr_digest')}."
    pulls = read(told.reports.get("pr_digest"), Pulls)
    if pulls is None:
        return "The pull request digest cannot be read."
    rest = {"waiting": pulls.waiting, "opened": pulls.opened, "merged": pulls.merged}
    more = [f"{len(some) - _PULLS} more {state}" for state, some in rest.items() if len(some) > _PULLS]
    return f"Not shown: {words.listed(more)}." if more else "" if any(rest.values()) else "No pull request moved."


def _comparable(asset: str, told: Told, earlier: Mapping[str, Report]) -> Report | None:
    """Return the earlier report of ``asset`` that tonight's numbers may be held against, or None."""
    before, log = earlier.get(asset), earlier.get("commit_log")
    if before is None or asset not in _OVER_REPOSITORIES:
        return before
    then = read(log, Commits) if log is not None and log.night == before.night else None
    now = read(told.reports.get("commit_log"), Commits)
    if now is None or then is None:
        return None
    return before if {r.name for r in now.repositories} == {r.name for r in then.repositories} else None


def _figures(told: Told, earlier: Mapping[str, Report]) -> tuple[Figure, ...]:
    figures = []
    for asset, report in told.reports.items():
        before = _comparable(asset, told, earlier)
        known = {name: value for name, value in report.numbers.items() if math.isfinite(value)}
        for name, label in told_of(asset, known) if told.done(asset) else ():
            then = None if before is None else before.numbers.get(name)
            then = then if then is not None and math.isfinite(then) else None
            last_is = before.night if before is not None and then is not None else None
            figures.append(
                Figure(
                    asset=asset,
                    name=plain(name, 60),
                    label=plain(label, 60),
                    tonight=known[name],
                    last_night=then,
                    last_is=last_is,
                    at=told.at(asset),
                )
            )
    return tuple(figures)
