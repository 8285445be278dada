"""Asking GitHub for pull requests, read only and only once.

Belongs here: the client, what is asked, and each way in which GitHub can fail to answer. Does not belong here: the
report (``pulls.py``).

A pull request waits for its reader when their review is requested and it is no draft, or when it is their own and the
last review of somebody else asks for changes. Requests to a whole team are not counted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from github import Auth, Github, RateLimitExceededException
from github.GithubException import BadAttributeException, GithubException, IncompletableObject
from github.PullRequest import PullRequest
from github.Repository import Repository

from forge_workers.report import Frozen, Gap
from forge_workers.settings_sections import GitHub
from forge_workers.windows import Window

#: Pull requests of one kind looked at in one repository, newest first.
MOST_PULLS = 500
#: Own pull requests whose reviews are asked for, one request each.
_MOST_OWN = 20
_PER_PAGE = 100
_DAY_S = 86_400.0
_TITLE_CHARS = 300
#: Statuses by which GitHub says that the rate limit is used up, when its headers say so too.
#: Source: GitHub REST API, "Rate limits for the REST API".
_LIMITING = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
#: What the client raises for an answer in another shape than GitHub's; its own checks are assertions.
_UNREADABLE = (
    AssertionError,
    AttributeError,
    BadAttributeException,
    IncompletableObject,
    KeyError,
    TypeError,
    ValueError,
)
_UNIX_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)


class Pull(Frozen):
    """One pull request.

    Attributes:
        repository: ``owner/name``.
        number: Its number there.
        title: Its title as its author wrote it; not to be trusted.
        author: Login of its author.
        url: Its page, put together from the host, the repository and the number.
        age_days: Days from its opening to the window's end.
        why: Why it is listed.
    """

    repository: str
    number: int
    title: str
    author: str
    url: str
    age_days: float
    why: str


class PullDigest(Frozen):
    """What the digest hands on; each list has the oldest first."""

    waiting: tuple[Pull, ...] = ()
    opened: tuple[Pull, ...] = ()
    merged: tuple[Pull, ...] = ()


class _Asked(NamedTuple):
    """What one repository is asked about."""

    repository: Repository
    name: str
    reader: str
    window: Window
    web: str


def connect(settings: GitHub, token: str) -> Github:
    """Make a client that asks once: the night has no time for a host that wants to be asked later."""
    return Github(
        auth=Auth.Token(token),
        base_url=settings.api_url,
        timeout=max(1, round(settings.timeout_s)),
        per_page=_PER_PAGE,
        retry=None,
        seconds_between_requests=None,
        user_agent="forge",
        lazy=True,
    )


class _Refused(Exception):
    """GitHub gave no answer; ``for_all`` when it would give none to another question either."""

    def __init__(self, why: str, *, for_all: bool = False) -> None:
        super().__init__(why)
        self.for_all = for_all


def ask_all(host: Github, names: tuple[str, ...], window: Window, web: str) -> tuple[PullDigest, tuple[Gap, ...]]:
    """Ask about each repository in turn; once GitHub would refuse everything, nothing more is asked.

    Args:
        host: The client.
        names: ``owner/name`` of each repository.
        window: The night's.
        web: Address of the host's pages.

    Returns:
        What was found, and what was not, with the reason.
    """
    found = PullDigest()
    gaps: list[Gap] = []
    reader, stopped = "", None
    try:
        with _answers():
            reader = host.get_user().login
    except _Refused as refused:
        stopped = refused if refused.for_all else None
        if stopped is None:
            gaps.append(Gap(what="pull requests waiting for you", why=f"whose the token is cannot be told: {refused}"))
    for name in names:
        if stopped is None:
            try:
                with _answers():
                    found = _joined(found, _ask(_Asked(host.get_repo(name), name, reader, window, web)))
            except _Refused as refused:
                gaps.append(Gap(what=name, why=str(refused)))
                stopped = refused if refused.for_all else None
        else:
            gaps.append(Gap(what=name, why=str(stopped)))
    return found, tuple(gaps)


@contextlib.contextmanager
def _answers() -> Iterator[None]:
    """Turn each way in which GitHub can fail to answer into one sentence; its own words are not repeated."""
    try:
        yield
    except _UNREADABLE:
        raise _Refused("GitHub's answer is not one that can be read") from None
    except GithubException as error:
        raise _refusal(error) from None
    except requests.Timeout:
        raise _Refused("GitHub did not answer in time") from None
    except requests.RequestException:
        raise _Refused("GitHub cannot be reached", for_all=True) from None


def _refusal(error: GithubException) -> _Refused:
    headers = error.headers or {}
    limited = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    if error.status == HTTPStatus.UNAUTHORIZED:
        return _Refused("GitHub refuses the token: make a new one", for_all=True)
    if isinstance(error, RateLimitExceededException) or (error.status in _LIMITING and limited):
        return _Refused(f"GitHub's rate limit is used up{_until(headers.get('x-ratelimit-reset', ''))}", for_all=True)
    if error.status == HTTPStatus.NOT_FOUND:
        return _Refused("GitHub knows no such repository, or the token may not see it")
    return _Refused(f"GitHub answered with status {error.status}")


def _until(reset: str) -> str:
    if not _UNIX_SECONDS.fullmatch(reset):
        return ""
    return f" until {datetime.fromtimestamp(int(reset), UTC):%H:%M} UTC"


def _ask(asked: _Asked) -> PullDigest:
    """Read one repository's open pull requests, then the closed ones back to the window's start."""
    waiting: list[Pull] = []
    opened: list[Pull] = []
    merged: list[Pull] = []
    own = 0
    for pull in _newest(asked, "open"):
        if pull.created_at.timestamp() >= asked.window.end_at:
            continue
        if asked.window.holds(pull.created_at.timestamp()):
            opened.append(_pull(asked, pull, "opened"))
        mine = _login(pull) == asked.reader != ""
        own += mine
        why = _why_waiting(pull, asked.reader, reviews=mine and own <= _MOST_OWN)
        if why:
            waiting.append(_pull(asked, pull, why))
    for pull in _newest(asked, "closed"):
        if pull.updated_at is None or pull.updated_at.timestamp() < asked.window.start_at:
            break
        if asked.window.holds(pull.created_at.timestamp()):
            opened.append(_pull(asked, pull, "opened"))
        if pull.merged_at is not None and asked.window.holds(pull.merged_at.timestamp()):
            merged.append(_pull(asked, pull, "merged"))
    return PullDigest(waiting=tuple(waiting), opened=tuple(opened), merged=tuple(merged))


def _newest(asked: _Asked, state: str) -> Iterator[PullRequest]:
    """Yield pull requests, last opened or last touched first.

    Raises:
        _Refused: There are more than are looked at; half a list would read as a whole one.
    """
    pulls = asked.repository.get_pulls(state=state, sort="created" if state == "open" else "updated", direction="desc")
    for number, pull in enumerate(pulls):
        if number >= MOST_PULLS:
            raise _Refused(f"it has more than {MOST_PULLS} {state} pull requests to look at")
        yield pull


def _why_waiting(pull: PullRequest, reader: str, *, reviews: bool) -> str | None:
    """Say why a pull request waits for its reader, or None when it does not."""
    if not pull.draft and reader and reader in {user.login for user in pull.requested_reviewers}:
        return "your review is requested"
    if reviews:
        last = {review.user.login: review.state for review in pull.get_reviews() if review.user is not None}
        if any(state == "CHANGES_REQUESTED" for login, state in last.items() if login != reader):
            return "changes are requested on yours"
    return None


def _pull(asked: _Asked, pull: PullRequest, why: str) -> Pull:
    age_s = asked.window.end_at - pull.created_at.timestamp()
    return Pull(
        repository=asked.name,
        number=pull.number,
        title=pull.title[:_TITLE_CHARS],
        author=_login(pull),
        url=f"{asked.web}/{asked.name}/pull/{int(pull.number)}",
        age_days=round(age_s / _DAY_S, 2),
        why=why,
    )


def _login(pull: PullRequest) -> str:
    """Return the author's login; GitHub says ``ghost`` for an account that is gone."""
    return pull.user.login if pull.user is not None else "ghost"


def _joined(one: PullDigest, other: PullDigest) -> PullDigest:
    def oldest_first(name: str) -> tuple[Pull, ...]:
        pulls = (*getattr(one, name), *getattr(other, name))
        return tuple(sorted(pulls, key=lambda pull: (-pull.age_days, pull.repository, pull.number)))

    return PullDigest(**{name: oldest_first(name) for name in PullDigest.model_fields})


def web_of(api_url: str) -> str:
    """Return where the host's pages are: ``https://github.com``, or the company's own host."""
    parts = urlsplit(api_url)
    return "https://github.com" if parts.hostname == "api.github.com" else f"{parts.scheme}://{parts.netloc}"
