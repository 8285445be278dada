"""The desk ``repo_watch``: commits that are new in a watched repository become jobs.

New is what the present refs reach and the refs of the last look did not. The tips are written after the jobs are in
line: a crash in between puts them in line once more, under the same key. The first look at a repository only remembers
its tips. Merges are passed over, since they bring nothing that is not listed at its own commit, as by night. Belongs
here: which commits are new, and who is asked to look at them. Does not belong here: the cheap look that says when
(``refs.py``), or any review.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import has_magic
from pathlib import Path
from typing import NamedTuple, TypeVar

from forge_workers import files
from forge_workers.code import refs
from forge_workers.errors import BadArgs
from forge_workers.git import GitFailed, Repository, watched
from forge_workers.jobs.order import DayRequest
from forge_workers.log import event
from forge_workers.plain import markdown
from forge_workers.plural import count
from forge_workers.report import Gap, Outcome, Report
from forge_workers.tools import Request, Tools
from forge_workers.windows import night_of

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

ASSET = "repo_watch"
#: Who looks at a new commit.
_REVIEWERS = ("security_review", "code_review")
#: New commits of one repository that are looked at one by one; more of them come from a fetch or a new remote, and are
#: looked at by day.
_MOST_SINGLE = 50
#: Days, the newest ones, that are looked at then; and commits that are asked for their day.
_MOST_DAYS, _MOST_DATED = 7, 5_000
#: Repositories and places that are watched from the daemon; what is beyond is still looked at every few hours.
_MOST_LISTED = 1_000
#: Repositories not watched any more whose tips are kept, in case a disk comes back.
_MOST_UNWATCHED = 200
#: Longest key of a job that names its repository by path, characters.
_LONGEST_KEY = 200


class _Wanted(NamedTuple):
    """One job to ask for: a commit or a night of a repository."""

    repository: str
    what: str
    value: str

    @property
    def args(self) -> dict[str, str]:
        return {"repository": self.repository, self.what: self.value}

    @property
    def key(self) -> str:
        key = f"{self.repository}@{self.value}"
        if len(key) <= _LONGEST_KEY:
            return key
        return f"{hashlib.sha256(self.repository.encode('utf-8', 'surrogateescape')).hexdigest()}@{self.value}"


@dataclass
class _Look:
    """How the look goes."""

    gaps: list[Gap] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    commits: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    first: list[str] = field(default_factory=list)


def repo_watch(request: Request, tools: Tools) -> Report:
    """Have new commits of the watched repositories reviewed.

    Returns:
        What is new, in numbers; degraded when a repository cannot be read, skipped when none can. It has no findings.

    Raises:
        Transient: A job could not be put in line; the next look finds its commit again.
    """
    home = tools.settings.home
    listed, settings = refs.read_list(home), refs.mark_of_settings(home)
    opened, missing = watched(tools.settings)
    names = {repository.name for repository in opened}
    look = _Look(gaps=list(missing), unread=[gap.what for gap in missing if gap.what not in names])
    tips = _Tips(home)
    marks: dict[str, tuple[str, str, str]] = {}
    for repository in opened:
        place = str(repository.path)
        directories = str(repository.git_dir), str(repository.common_dir)
        mark = refs.mark_of_repository(*directories)  # before the refs are read: what moves after that is told again
        try:
            _arrived(repository, tips, tools, look)
        except GitFailed as error:
            look.unread.append(repository.name)
            look.gaps.append(Gap(what=repository.name, why=f"what is new in it cannot be read: {error}"))
            mark = ""
        marks[place] = *directories, mark
    if not (isinstance(request, DayRequest) and "repository" in request.args):
        look.gaps += _gone(listed, marks, missing)
        tips.forget_beyond(marks)
        others = _others(tools.settings.repositories, missing)
        refs.write_list(home, refs.Listed(settings, tools.now(), _first(marks), _first(others)))
    elif listed is not None:
        refs.write_list(home, replace(listed, repositories={**listed.repositories, **marks}))
    return _report(request, look, len(opened))


def _arrived(repository: Repository, tips: _Tips, tools: Tools, look: _Look) -> None:
    """Ask for reviews of what is new in one repository, then remember its tips."""
    place = str(repository.path)
    now, before = _tips_of(repository), tips.of(place)
    if before is None:
        look.first.append(repository.name)
    elif now != before:
        there = _there(repository, before)
        new = _new(repository, now, there)  # first: where nothing can be read, nothing was replaced either
        if there:
            for wanted in _wanted(repository, new, tools, look):
                _ask(wanted, tools, look)
            if new:
                event(_LOG, "commits.arrived", repository=repository.name, commits=len(new), jobs=look.jobs)
        else:
            why = "none of the commits it had at the last look is left, so all of it counts as seen"
            look.gaps.append(Gap(what=repository.name, why=why))
    tips.remember(place, now)


def _tips_of(repository: Repository) -> tuple[str, ...]:
    """Return every id that a branch, remote branch, tag or HEAD names, each once."""
    listed = repository.git("for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes", "refs/tags")
    with contextlib.suppress(GitFailed):  # a branch without a commit
        listed += repository.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return tuple(sorted(set(listed.decode("ascii").split())))


def _there(repository: Repository, ids: Sequence[str]) -> tuple[str, ...]:
    """Return those of ``ids`` that the repository still holds."""
    rows = repository.git("cat-file", "--batch-check=%(objectname)", stdin="\n".join(ids).encode("ascii"))
    return tuple(row for row in rows.decode("ascii").splitlines() if " " not in row)


class _New(NamedTuple):
    """A new commit: its full id and when it was committed, UTC unix seconds."""

    id: str
    committed_at: float


def _new(repository: Repository, now: Sequence[str], before: Sequence[str]) -> tuple[_New, ...]:
    """Return the commits that ``now`` reaches and ``before`` does not, newest first, merges left out."""
    ends = "\n".join((*now, *(f"^{end}" for end in before))).encode("ascii")
    asked = ("rev-list", "--no-merges", f"--max-count={_MOST_DATED}", "--timestamp", "--stdin")
    rows = (row.split() for row in repository.git(*asked, stdin=ends).decode("ascii").splitlines())
    return tuple(_New(name, float(at)) for at, name in rows)


def _wanted(repository: Repository, new: Sequence[_New], tools: Tools, look: _Look) -> Iterator[_Wanted]:
    """Yield what to review, oldest first: each commit, or of very many the newest days they were made on."""
    look.commits[repository.name] += len(new)
    place = str(repository.path)
    if len(new) <= _MOST_SINGLE:
        yield from (_Wanted(place, "commit", commit.id) for commit in reversed(new))
        return
    nights: set[str] = set()
    for commit in new:
        with contextlib.suppress(ValueError, OverflowError, OSError):  # a date that no calendar has
            nights.add(night_of(commit.committed_at, tools.settings.zone))
    chosen = sorted(nights)[-_MOST_DAYS:]
    said = f"{len(new):,}{' or more' if len(new) == _MOST_DATED else ''} commits came at once"
    older = f"; those before {chosen[0]} are not reviewed" if len(nights) > len(chosen) else ""
    look.gaps.append(Gap(what=repository.name, why=f"{said}, so they are reviewed by day and not one by one{older}"))
    yield from (_Wanted(place, "night", night) for night in chosen)


def _ask(wanted: _Wanted, tools: Tools, look: _Look) -> None:
    for worker in _REVIEWERS:
        try:
            tools.enqueue(worker, wanted.args, key=wanted.key, by=ASSET)
        except BadArgs as error:
            look.gaps.append(Gap(what=f"{wanted.repository} {wanted.value[:10]}", why=f"not reviewed: {error}"))
        else:
            look.jobs += 1


class _Tips:
    """What each repository's refs named at the last look: ``watch/tips.json``, path to ids."""

    def __init__(self, home: Path) -> None:
        self._path = home / "watch" / "tips.json"
        self._kept: dict[str, tuple[str, ...]] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            found = json.loads(self._path.read_bytes())
            self._kept = {place: tuple(map(str, ids)) for place, ids in found.items()}

    def of(self, place: str) -> tuple[str, ...] | None:
        return self._kept.get(place)

    def remember(self, place: str, ids: tuple[str, ...]) -> None:
        if self._kept.get(place) != ids:
            self._kept[place] = ids
            self._write()

    def forget_beyond(self, watched: Mapping[str, object]) -> None:
        """Let go of the repositories that are not watched any more, but for the newest."""
        gone = [place for place in self._kept if place not in watched][:-_MOST_UNWATCHED]
        for place in gone:
            del self._kept[place]
        if gone:
            self._write()

    def _write(self) -> None:
        files.replace(self._path, json.dumps(self._kept))


def _gone(listed: refs.Listed | None, marks: Mapping[str, object], missing: Sequence[Gap]) -> list[Gap]:
    told = {gap.what for gap in missing}
    before = listed.repositories if listed is not None else {}
    return [
        Gap(what=path, why="it was watched and is not there any more")
        for path in before
        if path not in marks and path not in told and not Path(path).exists()
    ]


def _others(patterns: Sequence[str], missing: Sequence[Gap]) -> dict[str, str]:
    """Return the places where a repository may begin: directories that a pattern looks into, and what was missing."""
    places = [gap.what for gap in missing if gap.what.startswith("/")]
    for pattern in patterns:
        with contextlib.suppress(RuntimeError):  # no such user
            folder = Path(pattern).expanduser().parent
            if has_magic(Path(pattern).name) and not has_magic(str(folder)):
                places.append(str(folder))
    return {place: refs.mark_of_place(place) for place in dict.fromkeys(places) if not has_magic(place)}


def _first(rows: Mapping[str, _T]) -> dict[str, _T]:
    return dict(list(rows.items())[:_MOST_LISTED])


def _report(request: Request, look: _Look, opened: int) -> Report:
    new = sum(look.commits.values())
    said = _headline(look, new, opened)
    lines = [f"- {markdown(name)}: {count(number, 'new commit')}" for name, number in look.commits.items() if number]
    lines += [f"- {markdown(name)}: watched from now on" for name in look.first]
    lines += [f"- {markdown(gap.what)}: {markdown(gap.why)}" for gap in look.gaps]
    outcome = Outcome.DEGRADED if look.unread else Outcome.RAN
    return Report(
        asset=ASSET,
        night=request.night,
        outcome=outcome if opened else Outcome.SKIPPED,
        reasons=tuple(f"{name} could not be read" for name in look.unread) or (() if opened else ("none is watched",)),
        headline=said,
        markdown="\n\n".join(("## New commits", said, "\n".join(lines))).rstrip() + "\n",
        numbers={"repositories": float(opened), "new_commits": float(new), "jobs": float(look.jobs)},
        gaps=tuple(look.gaps),
    )


def _headline(look: _Look, new: int, opened: int) -> str:
    if not opened:
        return "No watched repository could be read."
    read = count(opened, "repository", "repositories")
    if not new:
        return f"Nothing new in {read}."
    return f"{count(new, 'new commit')} in {read}: {count(look.jobs, 'review')} asked for."
