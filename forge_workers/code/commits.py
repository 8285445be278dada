"""The commit log: every commit of the night's window in every watched repository.

Belongs here: what was committed, in numbers and as the data that the steps below read. Does not belong here: any
judgement of it (``security.py``, ``review.py``) or how git is read (``forge_workers/git``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from forge_workers.git import Commit, GitFailed, Repository, watched
from forge_workers.plain import code, markdown
from forge_workers.plural import count
from forge_workers.report import Frozen, Gap, Outcome, Report
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window

#: Commits shown of one repository; the data holds all.
_SHOWN = 30
#: Authors and languages named of one repository.
_NAMED = 5
_OWNER_NAME = re.compile(r"/?([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
_SCP_ADDRESS = re.compile(r"(?:[^@/:]+@)?([^@/:]+):(.+)")


class WatchedRepository(Frozen):
    """One repository that was read.

    Attributes:
        name: Its name, unique among the watched ones.
        path: Its top directory.
        base: Where HEAD's branch stood before the window, None before its first commit.
        tip: Where it stood at the window's end, None before its first commit.
        remotes: ``owner/name`` of its remotes at GitHub, or at the company's own.
    """

    name: str
    path: str
    base: str | None
    tip: str | None
    remotes: tuple[str, ...] = ()


class CommitLog(Frozen):
    """What the commit log hands on: the repositories, and their commits, newest first."""

    repositories: tuple[WatchedRepository, ...]
    commits: tuple[Commit, ...]


def commit_log(request: Request, tools: Tools) -> Report:
    """List every commit of the window on every branch, remote branch and tag of the watched repositories.

    Returns:
        A report whose data is a :class:`CommitLog`; degraded when a repository cannot be read, and without numbers when
        none can: nobody looked is not nothing happened. It has no findings.
    """
    opened, missing = watched(tools.settings)
    gaps = list(missing)
    unread = [gap for gap in missing if gap.what not in {repository.name for repository in opened}]
    repositories: list[WatchedRepository] = []
    commits: list[Commit] = []
    for repository in opened:
        try:
            repositories.append(_watched(repository, request.window, tools.settings.github.api_url))
            for commit in repository.log(request.window):
                commits.append(commit)  # what came before a failure is kept
                if commit.unlisted:
                    gaps.append(_unlisted(commit))
        except GitFailed as error:
            unread.append(Gap(what=repository.name, why=f"its history cannot be read to the end: {error}"))
            gaps.append(unread[-1])
    log = CommitLog(
        repositories=tuple(repositories), commits=tuple(sorted(commits, key=lambda commit: -commit.committed_at))
    )
    return Report(
        asset="commit_log",
        night=request.night,
        outcome=Outcome.DEGRADED if unread or not log.repositories else Outcome.RAN,
        reasons=(*_nobody(log, tools), *(f"{gap.what} could not be read: {gap.why}" for gap in unread)),
        headline=_headline(log),
        markdown=_markdown(log, tools.settings.zone),
        numbers=_numbers(log) if log.repositories else {},
        gaps=tuple(gaps),
        data=log.model_dump(mode="json"),
    )


def log_of(request: Request) -> CommitLog | None:
    """Return what the commit log handed on to a step below it, or None when there is nothing that can be read."""
    report = request.upstream.get("commit_log")
    try:
        return CommitLog.model_validate(report.data) if report else None
    except ValidationError:
        return None


def unseen(log: CommitLog | None) -> str | None:
    """Say why the steps below the commit log have nothing to look at, in words to begin a sentence with, or None."""
    if log is None:
        return "There is no commit log of this night"
    return None if log.repositories else "No repository could be read"


def _nobody(log: CommitLog, tools: Tools) -> tuple[str, ...]:
    if log.repositories:
        return ()
    named = "" if tools.settings.repositories else ": none is named under repositories in forge.toml"
    return (f"no repository could be read{named}",)


def _watched(repository: Repository, window: Window, api_url: str) -> WatchedRepository:
    return WatchedRepository(
        name=repository.name,
        path=str(repository.path),
        base=repository.before(window.start_at),
        tip=repository.before(window.end_at),
        remotes=github_names(repository.remotes(), api_url),
    )


def github_names(addresses: Iterable[str], api_url: str) -> tuple[str, ...]:
    """Return ``owner/name`` of each remote address at github.com or at the host of ``api_url``, sorted.

    Nothing else of an address is kept: it may hold a password.
    """
    hosts = {"github.com", "ssh.github.com", (urlsplit(api_url).hostname or "").removeprefix("api.")}
    found: set[str] = set()
    for address in addresses:
        host, path = _address(address)
        match = _OWNER_NAME.fullmatch(path)
        if host in hosts and match:
            found.add(f"{match[1]}/{match[2]}")
    return tuple(sorted(found))


def _address(address: str) -> tuple[str, str]:
    """Split a remote's address, a URL or ``git@host:owner/name.git``, into host and path."""
    if "://" not in address:
        match = _SCP_ADDRESS.fullmatch(address)
        return (match[1].lower(), match[2]) if match else ("", "")
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    return parts.hostname or "", parts.path


def _unlisted(commit: Commit) -> Gap:
    listed = len(commit.files)
    return Gap(
        what=f"{commit.repository} {commit.id[:10]}",
        why=f"the commit touches {listed + commit.unlisted:,} files: only the first {listed:,} are listed",
    )


def _numbers(log: CommitLog) -> dict[str, float]:
    touched = {(commit.repository, file.path) for commit in log.commits for file in commit.files}
    return {
        "commits": float(len(log.commits)),
        "merges": float(sum(commit.merge for commit in log.commits)),
        "files": float(len(touched)),
        "lines_added": float(sum(commit.added for commit in log.commits)),
        "lines_removed": float(sum(commit.removed for commit in log.commits)),
        "authors": float(len({commit.author for commit in log.commits})),
        "repositories": float(len(log.repositories)),
    }


def _headline(log: CommitLog) -> str:
    if not log.repositories:
        return "No watched repository could be read."
    read = count(len(log.repositories), "repository", "repositories")
    if log.commits:
        people = count(len({commit.author for commit in log.commits}), "author")
        return f"{count(len(log.commits), 'commit')} by {people} in {read}, {_lines(log.commits)}."
    if all(repository.tip is None for repository in log.repositories):
        return f"0 commits: the night is before the first commit of {read} on the current branch."
    return f"0 commits in {read}."


def _markdown(log: CommitLog, zone: ZoneInfo) -> str:
    parts = ["## Commits", _headline(log)]
    for repository in log.repositories:
        commits = [commit for commit in log.commits if commit.repository == repository.name]
        parts.append(f"### {markdown(repository.name)}")
        parts.append("\n".join(_section(repository, commits, zone)))
    return "\n\n".join(parts) + "\n"


def _section(repository: WatchedRepository, commits: list[Commit], zone: ZoneInfo) -> Iterator[str]:
    if not commits:
        yield "0 commits." if repository.tip else "0 commits: the night is before the branch's first commit."
        return
    merges = sum(commit.merge for commit in commits)
    yield f"{count(len(commits), 'commit')}, {count(merges, 'merge')} among them; {_lines(commits)}.  "
    yield f"By {_most(Counter(commit.author for commit in commits))}.  "
    languages = Counter[str]()
    for file in (file for commit in commits for file in commit.files):
        languages[file.language or "other"] += file.added + file.removed
    yield f"Lines by language: {_most(languages) or 'none'}."
    yield ""
    yield from (_line(commit, zone) for commit in commits[:_SHOWN])
    if len(commits) > _SHOWN:
        yield f"- … and {len(commits) - _SHOWN:,} more"


def _line(commit: Commit, zone: ZoneInfo) -> str:
    moment = datetime.fromtimestamp(commit.committed_at, zone).strftime("%H:%M")
    did = "merge" if commit.merge else _lines([commit])
    said = markdown(commit.subject, 100) or "(no message)"
    return f"- {code(commit.id[:10])} {moment} {said} ({markdown(commit.author, 40)}, {did})"


def _lines(commits: Iterable[Commit]) -> str:
    every = list(commits)
    return f"+{sum(commit.added for commit in every):,} \u2212{sum(commit.removed for commit in every):,} lines"


def _most(counts: Counter[str]) -> str:
    ranked = sorted((item for item in counts.items() if item[1]), key=lambda item: (-item[1], item[0]))
    named = [f"{markdown(name, 40)} {count:,}" for name, count in ranked[:_NAMED]]
    return ", ".join([*named, f"{len(ranked) - _NAMED} more"] if len(ranked) > _NAMED else named)
