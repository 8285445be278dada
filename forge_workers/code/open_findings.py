"""Urgent findings that stay open over nights: found once, told until they are mended or dismissed.

Belongs here: what is carried from night to night, and looking whether the code still holds it. Does not belong here:
finding anything new (``security.py``), or how it is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from forge_workers.code.commits import CommitLog
from forge_workers.code.committed import read_sources
from forge_workers.code.hits import fingerprints
from forge_workers.code.inspection import inspect
from forge_workers.code.secret_scan import SecretScanner
from forge_workers.code.versions import Version
from forge_workers.errors import ForgeError
from forge_workers.git import GitFailed, Repository
from forge_workers.report import Finding, Frozen, Report, Severity
from forge_workers.windows import NightKey

#: From this severity on a finding is told until it is gone.
_URGENT = Severity.HIGH


class OpenFinding(Frozen):
    """An urgent finding that is neither mended nor dismissed.

    Attributes:
        fingerprint: The finding's own.
        rule: What noticed it.
        severity: High or critical.
        title: One plain sentence.
        repository: Name of the watched repository.
        path: The file that holds it.
        line: Line number from 1 at ``commit``.
        commit: Where it was seen last.
        since: The night that saw it first.
    """

    fingerprint: str
    rule: str
    severity: Severity
    title: str
    repository: str
    path: str
    line: int | None
    commit: str
    since: NightKey


_OPEN = TypeAdapter(tuple[OpenFinding, ...])


def carried(report: Report | None) -> tuple[OpenFinding, ...]:
    """Return what was open after an earlier night; of a report that does not say it, its own new urgent findings."""
    if report is None:
        return ()
    with contextlib.suppress(KeyError, ValidationError):
        return _OPEN.validate_python(report.data["open"])
    return tuple(_named(finding, report.night) for finding in report.findings if finding.is_new and _urgent(finding))


def still_open(
    found: Iterable[Finding],
    earlier: Sequence[OpenFinding],
    *,
    night: str,
    leaving: Collection[str],
) -> tuple[OpenFinding, ...]:
    """Join what was open with what this night's files hold, most severe first, then longest open.

    Args:
        found: What the rules say of this night's files, known or new; a place named first stands for the others.
        earlier: What was open before.
        night: The night's key.
        leaving: Fingerprints that a person dismissed since.
    """
    since = {one.fingerprint: one.since for one in earlier}
    joined: dict[str, OpenFinding] = {}
    for finding in found:
        if _urgent(finding):
            joined.setdefault(finding.fingerprint, _named(finding, since.get(finding.fingerprint, night)))
    for one in earlier:
        joined.setdefault(one.fingerprint, one)
    kept = (one for one in joined.values() if one.fingerprint not in leaving)
    return tuple(sorted(kept, key=lambda one: (-one.severity.rank, one.since, one.fingerprint)))


def unmended(
    earlier: Sequence[OpenFinding], log: CommitLog, unread: Collection[tuple[str, str]]
) -> tuple[OpenFinding, ...]:
    """Leave out what the code does not hold any more; what nobody could look at stays.

    1. A repository that cannot be read tonight: all of it stays.
    2. Seen in the history of HEAD's branch: it stays as long as the branch's tip holds it, so that a merge, which comes
       without files, mends it too.
    3. Seen on another branch: it stays until the window touches its file.

    Args:
        earlier: What was open before; what this night's files hold is added by :func:`still_open`.
        log: The night's commits.
        unread: Repository and path of the touched files that could not be looked at.
    """
    mended: set[str] = set()
    for watched in log.repositories:
        mine = [one for one in earlier if one.repository == watched.name and (watched.name, one.path) not in unread]
        if not mine or watched.tip is None:
            continue
        commits = [commit for commit in log.commits if commit.repository == watched.name]
        touched = {path for commit in commits for file in commit.files for path in (file.path, file.old_path)}
        with contextlib.suppress(ForgeError):  # 1
            repository = Repository.open(Path(watched.path), watched.name)
            on_head = [one for one in mine if _reaches(repository, one.commit, watched.tip)]
            mended.update(_mended_at(repository, watched.tip, on_head))  # 2
            mended.update(o.fingerprint for o in mine if o not in on_head and o.path in touched)  # 3
    return tuple(one for one in earlier if one.fingerprint not in mended)


def _mended_at(repository: Repository, tip: str, wanted: Sequence[OpenFinding]) -> Iterator[str]:
    """Yield the fingerprints that the files of ``wanted`` do not hold at ``tip``."""
    paths = sorted({one.path for one in wanted})
    reading = read_sources(repository, [Version(tip, path, path, 0.0) for path in paths])
    seen = inspect([(source.version.path, source.content) for source in reading.sources], SecretScanner())
    held: set[str] = set()
    unread = {path for path, _ in reading.left_aside}
    for source, inspected in zip(reading.sources, seen, strict=True):
        held.update(fingerprints(repository.name, source.version.path, inspected.hits))
        unread |= {source.version.path} if inspected.problems else set()
    yield from (one.fingerprint for one in wanted if one.fingerprint not in held and one.path not in unread)


def _reaches(repository: Repository, commit: str, tip: str) -> bool:
    """Whether ``commit`` is in the history of ``tip``; one that git does not know any more is not."""
    try:
        return not repository.git("rev-list", "--max-count=1", commit, f"^{tip}", "--").strip()
    except GitFailed:
        return False


def _urgent(finding: Finding) -> bool:
    return finding.severity.rank >= _URGENT.rank


def _named(finding: Finding, since: str) -> OpenFinding:
    at = finding.evidence[0]
    return OpenFinding(
        fingerprint=finding.fingerprint,
        rule=finding.rule,
        severity=finding.severity,
        title=finding.title,
        repository=at.repository or "",
        path=at.path or "",
        line=at.line,
        commit=at.commit or "",
        since=since,
    )
