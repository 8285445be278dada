"""From a job to what a desk is handed: the request with its night, and its upstream reports.

Belongs here: what the arguments of a job mean. Does not belong here: the process it is done in (``child.py``), the
model (``models.py``), or any work. A day's request differs from a night's in two things only: it may be narrowed to one
repository, and to one commit, which is then the stretch that is looked at: what its parent had already is not new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from forge_workers.catalog import resolve
from forge_workers.errors import BadArgs, ConfigError, Permanent
from forge_workers.git import Commit, GitFailed, Repository, watched
from forge_workers.git.lookup import find_commit, read_commit
from forge_workers.plain import plain
from forge_workers.report import Gap, Report
from forge_workers.settings import Settings
from forge_workers.tools import Request, Tools
from forge_workers.windows import night_of, window

#: The upstream report that a job can narrow.
_COMMIT_LOG = "commit_log"
#: Repositories named in a refusal; the rest are counted.
_NAMED = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What the keeper wants done.

    Attributes:
        worker: The row's name.
        function: ``module:name`` of the row's function.
        upstream: Reports it needs, by asset, with the function that makes each.
        job_id: 32 hexadecimal digits.
        args: The job's arguments, already checked against the row.
        queued_at: When the job was first asked for, UTC unix seconds.
        home: ``FORGE_HOME``.
        gpu: The keeper holds the GPU lease for it.
        term: Of that lease.
        device: Of that lease.
    """

    worker: str
    function: str
    upstream: Mapping[str, str]
    job_id: str
    args: Mapping[str, Any]
    queued_at: float
    home: str
    gpu: bool
    term: int | None
    device: str | None

    @classmethod
    def read(cls, line: bytes) -> Order:
        """Return the order in one line of JSON.

        Raises:
            Permanent: It holds none.
        """
        try:
            found = json.loads(line)
            job = found["job"]
            return cls(
                worker=found["worker"],
                function=found["function"],
                upstream=found["upstream"],
                job_id=job["id"],
                args=job["args"],
                queued_at=float(job["queued_at"]),
                home=found["home"],
                gpu=bool(found["gpu"]),
                term=found["term"],
                device=found["device"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Permanent(f"the order cannot be read: {type(error).__name__} {plain(str(error), 100)}") from None


@dataclass(frozen=True)
class DayRequest(Request):
    """A request by day, for the few desks that ask what a job said beside its stretch of time.

    Attributes:
        args: The job's arguments.
        job_id: The job's id.
        queued_at: When it was first asked for, UTC unix seconds.
    """

    args: Mapping[str, Any] = field(default_factory=dict)
    job_id: str = ""
    queued_at: float = 0.0


class Focus(NamedTuple):
    """What a job is narrowed to: one watched place, which may be one that cannot be read now, and one commit in it."""

    place: str | None = None
    repository: Repository | None = None
    commit: Commit | None = None


def focus_of(args: Mapping[str, Any], settings: Settings) -> Focus:
    """Find what the arguments narrow the job to.

    1. Neither repository nor commit: nothing; no repository is opened.
    2. A repository: it must be a watched one.
    3. A commit: exactly one of the watched repositories, or the one that is named, must hold it.

    Raises:
        BadArgs: The repository is not watched; the message names those that are.
        Permanent: The commit is unknown, or several are meant.
        GitFailed: The commit is there and cannot be read.
    """
    if "repository" not in args and "commit" not in args:
        return Focus()  # 1
    every, gaps = watched(settings)
    place = args.get("repository")
    opened = tuple(repository for repository in every if place in {None, str(repository.path)})
    if place is not None and not opened and place not in {gap.what for gap in gaps}:
        there = f"choose one of {_paths(every)}" if every else "none can be read: see `forge doctor`"
        raise BadArgs(f"{plain(place)} is not watched: {there}")
    if "commit" not in args:
        return Focus(place, opened[0] if opened else None)  # 2
    return _holding(args["commit"], opened, place, gaps)  # 3


def _paths(repositories: Sequence[Repository]) -> str:
    named = ", ".join(plain(str(repository.path)) for repository in repositories[:_NAMED])
    return f"{named} and {len(repositories) - _NAMED} more" if len(repositories) > _NAMED else named


def _holding(prefix: str, opened: tuple[Repository, ...], place: str | None, gaps: tuple[Gap, ...]) -> Focus:
    found: list[tuple[Repository, str]] = []
    unread = [gap.why for gap in gaps if gap.what == place]
    for repository in opened:
        try:
            full = find_commit(repository, prefix)
        except GitFailed as error:  # another one may hold it
            unread.append(f"{repository.name} cannot be read: {error}")
        else:
            found += [] if full is None else [(repository, full)]
    if len(found) > 1:
        named = _paths([repository for repository, _ in found])
        raise Permanent(f"the commit {prefix} is in several repositories: say repository= as one of {named}")
    if not found:
        where = plain(place) if place else "the watched repositories"
        raise Permanent(f"there is no commit {prefix} in {where}{f': {unread[0]}' if unread else ''}")
    repository, full = found[0]
    return Focus(str(repository.path), repository, read_commit(repository, full))


def request_of(order: Order, focus: Focus, settings: Settings) -> DayRequest:
    """Return the request without upstream reports.

    The night is the one that is named, or the day of the commit, or the day on which the job was asked for: a job that
    waits over midnight still means its own day.

    Raises:
        BadArgs: A night is named and the commit is of another.
        Permanent: The commit's date is no day of the calendar.
    """
    named = order.args.get("night")
    moment = order.queued_at if focus.commit is None else focus.commit.committed_at
    try:
        night = named if named and focus.commit is None else night_of(moment, settings.zone)
    except (ValueError, OverflowError, OSError):
        raise Permanent(f"{moment:g} is no moment of any day, so there is no night to look at") from None
    if named and night != named:
        raise BadArgs(f"the commit {order.args['commit']} is of {night}, not of {named}: leave night out")
    stretch = window(night, settings.zone)
    return DayRequest(night=night, window=stretch, args=order.args, job_id=order.job_id, queued_at=order.queued_at)


def narrowed(settings: Settings, focus: Focus) -> Settings:
    """Return the settings that watch only what the job is narrowed to."""
    return settings if focus.place is None else settings.model_copy(update={"repositories": (focus.place,)})


def with_upstream(order: Order, request: DayRequest, tools: Tools, focus: Focus, say: Say) -> DayRequest:
    """Make the upstream reports, each with those before it.

    Raises:
        Permanent: One of the functions is missing, or returned no report.
    """
    for asset, function in order.upstream.items():
        say(asset)
        report = report_by(function, request, tools, row=order.worker)
        if asset == _COMMIT_LOG:
            report = _focused(report, focus)
        request = replace(request, upstream={**request.upstream, asset: report})
    return request


def report_by(function: str, request: Request, tools: Tools, *, row: str) -> Report:
    """Call one function of ``row`` and return its report.

    Raises:
        ConfigError: The row names no function, or one that is not there.
        Permanent: It returned something else.
    """
    if not function.partition(":")[2]:
        raise ConfigError(f"the row {row} names no function: write module:name")
    try:
        desk = resolve(function)
    except ConfigError as error:
        raise ConfigError(f"the row {row}: {error}") from None
    if not callable(desk):
        raise ConfigError(f"the row {row}: {function} is no function")
    report = desk(request, tools)
    if not isinstance(report, Report):
        raise Permanent(f"{function} returned {type(report).__name__}, not a Report")
    return report


def _focused(report: Report, focus: Focus) -> Report:
    """Narrow the commit log, under the name that its repository has among all the watched ones.

    The name is part of every fingerprint, so what a night told is the same finding by day.
    """
    if focus.repository is None:
        return report
    name = focus.repository.name
    rows: Any = report.data.get("repositories", [])
    commits: Any = report.data.get("commits", [])
    rows = [{**row, "name": name} for row in rows]
    commits = [{**commit, "repository": name} for commit in commits]
    if focus.commit is not None:
        parents = focus.commit.parents
        rows = [{**row, "base": parents[0] if parents else None} for row in rows]
        commits = [focus.commit.model_dump(mode="json")]
    return report.model_copy(update={"data": {**report.data, "repositories": rows, "commits": commits}})
