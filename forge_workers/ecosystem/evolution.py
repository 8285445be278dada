"""The evolution report: how the watched code moves over 1, 7 and 28 nights.

Everything is read from git at the window's end and at the ends of earlier windows, never from a work tree, so a night
told again tells the same. Belongs here: reading the repositories at the moments compared. Does not belong here:
counting (``states.py``) or the words and the picture (``telling.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from forge_workers.code.commits import log_of
from forge_workers.code.paths import not_ours
from forge_workers.ecosystem.states import (
    COMPARED,
    DependencyChange,
    Evolution,
    HotFile,
    Manifests,
    RepositoryMoves,
    Size,
    compare,
    grown,
    known,
    manifests,
    size,
    total,
)
from forge_workers.ecosystem.telling import chart, headline, telling
from forge_workers.git import GitFailed, Repository, RepositoryUnavailable, watched
from forge_workers.report import Gap, Outcome, Report
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window, night_of, nights_before, window

_LONGEST = COMPARED[-1]
_HOT_FILES = 10


@dataclass
class _Notes:
    """What is gathered while the repositories are read."""

    gaps: list[Gap] = field(default_factory=list)
    moves: list[RepositoryMoves] = field(default_factory=list)
    changes: list[DependencyChange] = field(default_factory=list)
    touched: Counter[tuple[str, str]] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)


def evolution_report(request: Request, tools: Tools) -> Report:
    """Say how the watched code moved against the states 1, 7 and 28 nights ago.

    Returns:
        A report with one chart, whose data is an :class:`Evolution`; degraded when a repository cannot be read, skipped
        without a number when none can.
    """
    zone = tools.settings.zone
    repositories, missing = _repositories(request, tools)
    notes = _Notes(gaps=list(missing))
    unread: list[Gap] = []
    for repository in repositories:
        try:
            _moved(repository, request, zone, notes)
            _touched(repository, request, zone, notes)
        except GitFailed as error:
            unread.append(Gap(what=repository.name, why=f"its history cannot be read: {error}"))
    found = _evolution(request.night, notes)
    read = {repository.name for repository in repositories}
    unread += [gap for gap in missing if gap.what not in read]
    reasons = tuple(f"{gap.what} could not be read: {gap.why}" for gap in unread)
    seen = bool(found.repositories)
    return Report(
        asset="evolution_report",
        night=request.night,
        outcome=Outcome.SKIPPED if not seen else Outcome.DEGRADED if unread else Outcome.RAN,
        reasons=reasons if seen else ("no repository could be read", *reasons),
        headline=headline(found),
        markdown=telling(found),
        numbers=_numbers(found) if seen else {},
        gaps=tuple(dict.fromkeys((*notes.gaps, *unread))),
        data=found.model_dump(mode="json"),
        images=(chart(found),) if seen else (),
    )


def _repositories(request: Request, tools: Tools) -> tuple[tuple[Repository, ...], tuple[Gap, ...]]:
    """Take the repositories that the commit log read, whose own gaps it tells; without it, all the watched ones."""
    log = log_of(request)
    if log is None:
        return watched(tools.settings)
    opened: list[Repository] = []
    gaps: list[Gap] = []
    for row in log.repositories:
        try:
            opened.append(Repository.open(Path(row.path), row.name))
        except RepositoryUnavailable as error:
            gaps.append(Gap(what=row.path, why=str(error)))
    return tuple(opened), tuple(gaps)


def _moved(repository: Repository, request: Request, zone: ZoneInfo, notes: _Notes) -> None:
    """Measure one repository now and at each earlier moment; a state it has twice is measured once."""
    sizes: dict[str | None, Size] = {None: Size()}
    named: dict[str | None, Manifests] = {None: Manifests()}
    now = repository.before(request.window.end_at)
    before: dict[int, Size | None] = {}
    seen: set[tuple[str, str, str]] = set()
    starts_at = repository.starts_at()
    moments = {nights: window(nights_before(request.night, nights)[-1], zone).end_at for nights in COMPARED}
    commits = {0: now} | {nights: repository.before(moment) for nights, moment in moments.items()}
    for commit in {commit: None for commit in commits.values() if commit is not None}:
        sizes[commit], named[commit] = size(repository, commit), manifests(repository, commit)
    for nights, moment in moments.items():
        then = commits[nights]
        if then is None and starts_at is not None and starts_at >= moment:
            before[nights] = None
            why = f"its state {_ago(nights)} is not in this shallow clone"
            notes.gaps.append(Gap(what=repository.name, why=why))
            continue
        before[nights] = None if then is None else sizes[then]
        if then is None:
            continue
        for change in compare(repository.name, named[then], named[now], nights):
            if (change.manifest, change.name, change.change) not in seen:
                seen.add((change.manifest, change.name, change.change))
                notes.changes.append(change)
    held = {(path, name) for path, names in named[now].names.items() for name in names or ()}
    begins = None if starts_at is not None else _begins(repository, now, commits[_LONGEST], zone)
    notes.moves.append(
        RepositoryMoves(name=repository.name, now=sizes[now], before=before, begins=begins, dependencies=len(held))
    )
    notes.gaps += _manifest_gaps(repository.name, named[now])


def _begins(repository: Repository, now: str | None, earliest: str | None, zone: ZoneInfo) -> str | None:
    """Return the night of the first commit, or None when all compared states are there or there is no commit yet."""
    if now is None or earliest is not None:
        return None
    first = ("log", "-1", "--first-parent", "--max-parents=0", "--no-show-signature", "--format=%ct", now, "--")
    return night_of(float(repository.git(*first)), zone)


def _manifest_gaps(repository: str, found: Manifests) -> Iterator[Gap]:
    for path, why in found.unread.items():
        yield Gap(what=f"{repository}/{path}", why=f"its dependencies are not known: {why}")
    if found.left_out:
        yield Gap(
            what=repository, why=f"{found.left_out:,} of its dependency manifests were not read, which is too many"
        )


def _touched(repository: Repository, request: Request, zone: ZoneInfo, notes: _Notes) -> None:
    """Count the commits of the last 28 nights, by night and by file."""
    first = window(nights_before(request.night, _LONGEST - 1)[-1], zone)
    for commit in repository.log(Window(first.start_at, request.window.end_at)):
        notes.commits[night_of(commit.committed_at, zone)] += 1
        for file in commit.files:
            if file.status != "D" and not not_ours(file.path):
                notes.touched[repository.name, file.path] += 1


def _evolution(night: str, notes: _Notes) -> Evolution:
    nights = (*reversed(nights_before(night, _LONGEST - 1)), night)
    ranked = sorted(notes.touched.items(), key=lambda item: (-item[1], item[0]))
    hot = (
        HotFile(repository=name, path=path, commits=count) for (name, path), count in ranked[:_HOT_FILES] if count > 1
    )
    return Evolution(
        repositories=tuple(sorted(notes.moves, key=lambda moves: moves.name)),
        changes=tuple(sorted(notes.changes, key=lambda c: (c.nights, c.repository, c.manifest, c.change, c.name))),
        hot_files=tuple(hot),
        commits_by_night={key: notes.commits[key] for key in nights},
    )


def _numbers(found: Evolution) -> dict[str, float]:
    now = total(found)
    tonight = [change for change in found.changes if change.nights == COMPARED[0]]
    figures = {
        "lines": float(now.lines),
        "files": float(now.files),
        "test_ratio": round(now.test_ratio, 4),
        "dependencies": float(sum(moves.dependencies for moves in found.repositories)),
        "dependencies_added": float(sum(change.change == "added" for change in tonight)),
        "dependencies_removed": float(sum(change.change == "removed" for change in tonight)),
        "commits_28_nights": float(sum(found.commits_by_night.values())),
    }
    for nights in known(found.repositories):
        figures[f"lines_in_{nights}_night{'s' * (nights > 1)}"] = float(grown(found.repositories, nights))
    return figures


def _ago(nights: int) -> str:
    return "before the night" if nights == 1 else f"{nights} nights ago"
