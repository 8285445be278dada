"""The check ``evidence_holds``: what a report points at is there, and says what the report says it does.

Looked at is a bounded sample, the weightiest first; how much was looked at is told. Belongs here: holding evidence
against committed content, and what is no code against the data it came from. Does not belong here: counting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forge_workers.audit.facts import SKEW_S, Facts, result
from forge_workers.briefing.findings import typed
from forge_workers.briefing.reading import Commits, Health, Pulls, read
from forge_workers.code.commits import CommitLog
from forge_workers.code.evidence import QUOTE_LENGTH, lines_of
from forge_workers.errors import ForgeError
from forge_workers.git import GitFailed, Repository
from forge_workers.plural import count
from forge_workers.redact import LABEL
from forge_workers.report import CheckResult, Evidence, Report

NAME = "evidence_holds"
#: Pieces of evidence, or commits of a commit log, that are looked at: some 200 ms of git.
MOST = 60
_MASK = re.compile(re.escape(LABEL) + r"[^\]]*\]?")


@dataclass
class _Looked:
    """What was looked at, what is wrong, and what could not be looked at."""

    total: int
    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def evidence_holds(report: Report, facts: Facts) -> CheckResult:
    """Check that the evidence exists: the commit in its repository, the quote on its line, the time as claimed.

    A commit log is held against git commit by commit, a look at the machine against its own checks, a pull request's
    address against its number, a briefing's findings against the reports they come from.
    """
    looked = _OF.get(report.asset, _of_findings)(report, facts)
    if looked.unseen and not looked.checked:
        looked.wrong.append(f"nothing could be looked at: {looked.unseen[0]}")
    left = f"; {len(looked.unseen)} could not be looked at" if looked.unseen else ""
    pieces = count(looked.total, "piece")
    well = f"{looked.checked:,} of {pieces} of evidence looked at, nothing wrong{left}"
    if not looked.total:
        well = "it has nothing that needs evidence"
    numbers = {"evidence": looked.total, "checked": looked.checked, "wrong": len(looked.wrong),
               "unseen": len(looked.unseen)}  # fmt: skip
    return result(NAME, looked.wrong, well, numbers, grave=True)


def sample(number: int, most: int = MOST) -> Sequence[int]:
    """Return which of ``number`` things are looked at: the first half of ``most``, the rest spread evenly."""
    if number <= most:
        return range(number)
    first = most // 2
    step = (number - first) / (most - first)
    return (*range(first), *(first + int(step * n) for n in range(most - first)))


def _of_findings(report: Report, facts: Facts) -> _Looked:
    """Hold each quote against the file at its commit; the commit's own date is the time that is claimed."""
    every = [one for finding in report.findings for one in finding.evidence]
    looked = _Looked(total=len(every))
    chosen = [every[n] for n in sample(len(every))]
    places = _places(facts)
    by_repository: dict[str, list[Evidence]] = {}
    for one in chosen:
        if one.repository is None or one.commit is None or one.path is None:
            looked.wrong.append(f"a finding names no commit and path: {one.source}")
        else:
            by_repository.setdefault(one.repository, []).append(one)
    for name, some in by_repository.items():
        try:
            repository = Repository.open(places[name], name)
            _held(repository, some, looked)
        except KeyError:
            looked.wrong.append(f"{name} is no repository that the night read")
        except ForgeError as error:
            looked.unseen += [f"{name}: {error}"] * len(some)
    return looked


def _held(repository: Repository, some: Sequence[Evidence], looked: _Looked) -> None:
    dates = _dates(repository, {one.commit or "" for one in some})
    by_commit: dict[str, list[Evidence]] = {}
    for one in some:
        looked.checked += 1
        at = dates.get(one.commit or "")
        if at is None:
            looked.wrong.append(f"{_where(one)}: there is no such commit")
        elif at != one.observed_at:
            looked.wrong.append(f"{_where(one)}: the commit has another date")
        else:
            by_commit.setdefault(one.commit or "", []).append(one)
    for commit, group in by_commit.items():
        contents = dict(repository.read_many(commit, sorted({one.path or "" for one in group})))
        for one in group:
            content = contents[one.path or ""]
            if content is None:
                looked.wrong.append(f"{_where(one)}: there is no such file at that commit")
            elif not quoted(one, content.decode("utf-8", "replace")):
                looked.wrong.append(f"{_where(one)}: the line says something else")


def quoted(evidence: Evidence, content: str) -> bool:
    """Whether the quote stands on its line of ``content``; a mask is any text, a cut quote the line's beginning."""
    lines = lines_of(content)
    if evidence.line is None:
        return evidence.quote is None
    if evidence.line > len(lines):
        return False
    quote = (evidence.quote or "").rstrip()
    cut = len(evidence.quote or "") >= QUOTE_LENGTH
    return _fits(_MASK.split(quote), lines[evidence.line - 1], open_end=cut)


def _fits(parts: Sequence[str], line: str, *, open_end: bool) -> bool:
    """Whether ``line`` is ``parts`` with any text between them, in time that grows with its length alone."""
    first, *rest = parts
    if not rest:
        return line.startswith(first) if open_end else line == first
    if not line.startswith(first):
        return False
    at = len(first)
    *middle, last = rest
    for part in middle if not open_end else rest:
        found = line.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return open_end or (line.endswith(last) and len(line) - len(last) >= at)


def _of_log(report: Report, facts: Facts) -> _Looked:
    """Hold the commits against git: each is there, and was committed when the log says."""
    log = read(report, Commits)
    commits = log.commits if log else ()
    looked = _Looked(total=len(commits))
    places = _places(Facts(facts.settings, facts.window, facts.now, {"commit_log": report}))
    by_repository: dict[str, list[tuple[str, float]]] = {}
    for n in sample(len(commits)):
        by_repository.setdefault(commits[n].repository, []).append((commits[n].id, commits[n].committed_at))
    for name, some in by_repository.items():
        try:
            dates = _dates(Repository.open(places[name], name), {commit for commit, _ in some})
        except KeyError:
            looked.wrong.append(f"{name} is no repository that the night read")
        except ForgeError as error:
            looked.unseen += [f"{name}: {error}"] * len(some)
        else:
            looked.checked += len(some)
            looked.wrong += [f"{name}@{commit[:10]} is not there" for commit, _ in some if commit not in dates]
            looked.wrong += [
                f"{name}@{commit[:10]} has another date" for commit, at in some if dates.get(commit, at) != at
            ]
    return looked


def _of_health(report: Report, facts: Facts) -> _Looked:
    """Hold each finding against the check of the same look that it tells."""
    health = read(report, Health)
    seen = {check.name: check for check in health.checks} if health else {}
    looked = _Looked(total=len(report.findings), checked=len(report.findings))
    for finding in report.findings:
        check = seen.get(finding.rule.partition(":")[2])
        if check is None or check.status not in {"warn", "fail"}:
            looked.wrong.append(f"{finding.rule} is no check that failed")
        elif check.detail and finding.evidence[0].quote != check.detail:
            looked.wrong.append(f"{finding.rule} quotes what its check did not see")
    ended = facts.now + SKEW_S
    looked.wrong += [f.rule + " was seen in the future" for f in report.findings if f.evidence[0].observed_at > ended]
    return looked


def _of_pulls(report: Report, _: Facts) -> _Looked:
    """Check that each address is the page of its own pull request."""
    pulls = read(report, Pulls) or Pulls()
    every = (*pulls.waiting, *pulls.opened, *pulls.merged)
    wrong = [
        f"{pull.repository}#{pull.number} points elsewhere"
        for pull in every
        if not pull.url.endswith(f"/{pull.repository}/pull/{pull.number}")
    ]
    return _Looked(total=len(every), checked=len(every), wrong=wrong)


def _of_briefing(report: Report, facts: Facts) -> _Looked:
    """Check that each finding that is told stands in the report of its step."""
    told = report.data.get("findings")
    rows = [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []
    there = {(asset, typed(f.fingerprint)) for asset, one in facts.upstream.items() for f in one.findings}
    wrong = [
        f"{row.get('asset')} has no finding {row.get('fingerprint')}"
        for row in rows
        if (row.get("asset"), row.get("fingerprint")) not in there
    ]
    return _Looked(total=len(rows), checked=len(rows), wrong=wrong)


_OF = {
    "commit_log": _of_log,
    "health_snapshot": _of_health,
    "pr_digest": _of_pulls,
    "morning_briefing": _of_briefing,
}


def _places(facts: Facts) -> Mapping[str, Path]:
    """Return where the repositories lie that the night's commit log read."""
    report = facts.upstream.get("commit_log")
    try:
        log = CommitLog.model_validate(dict(report.data)) if report else None
    except ValueError:
        return {}
    return {repository.name: Path(repository.path) for repository in log.repositories} if log else {}


def _dates(repository: Repository, commits: Iterable[str]) -> dict[str, float]:
    """Return when each of ``commits`` was committed; those that are not there are left out.

    Raises:
        GitFailed: The repository cannot be read.
    """
    wanted = [commit for commit in commits if re.fullmatch("[0-9a-f]{40,64}", commit)]
    kinds = repository.git("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join(wanted).encode())
    rows = (line.split() for line in kinds.decode("ascii", "replace").splitlines())
    there = [row[0] for row in rows if row[1:] == ["commit"]]
    if not there:
        return {}
    show = ("log", "--no-walk=unsorted", "--no-show-signature", "--format=%H %ct", "--stdin")
    told = repository.git(*show, stdin="\n".join(there).encode()).decode("ascii").split()
    if len(told) != 2 * len(there):
        raise GitFailed("git log does not tell every commit's date")
    return {commit: float(at) for commit, at in zip(told[::2], told[1::2], strict=True)}


def _where(one: Evidence) -> str:
    return f"{one.repository} {one.path}:{one.line}@{(one.commit or '')[:10]}"
