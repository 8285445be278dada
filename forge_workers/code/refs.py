"""A cheap look at the refs of the watched repositories: has anything moved since somebody read them?

It runs in the idle daemon every two seconds, so it starts no git and imports next to nothing. Git changes a ref by
renaming a lock file over it, which changes the time of the directory: while no directory of refs, no ``HEAD`` and no
``packed-refs`` has another time, nothing is read. A time that is only seconds old is not trusted, since a second change
may have the same one. A ref that something else than git writes in place is noticed with the next change beside it.

``$FORGE_HOME/watch/repositories.json`` says what to look at and in which state it was read last::

    {"settings": <mark>, "full_at": <unix seconds>,
     "repositories": {<path>: [<git dir>, <common dir>, <mark>]}, "others": {<path>: <mark>}}

where ``others`` are places that may become repositories and ``full_at`` is when the whole list was made.
``arrivals.py`` writes it after it has read the repositories. Belongs here: that file, and the look. Does not belong
here: what moved, which git is asked for (``arrivals.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from forge_workers import files

#: Seconds a file's time must be old to be trusted: file systems count in steps of up to two seconds.
_SETTLED_S = 3.0
#: Seconds after which everything is looked at in full although nothing seems to have moved.
_FULL_LOOK_S = 6 * 3600.0
#: Seconds after which a move that nobody has read yet is told again.
_AGAIN_S = 600.0
#: Entries read of one repository's refs, or of one directory of repositories.
_MOST_ENTRIES = 20_000
#: Bytes read of one file; a packed-refs of 1,000,000 refs has 64 MB.
_MOST_BYTES = 64 * 1024 * 1024
#: The mark of what is not there.
GONE = "gone"

Fact = tuple[int, int, int] | None


@dataclass(frozen=True)
class Listed:
    """What is looked at, and how it was when it was read last.

    Attributes:
        settings: Mark of the settings under which it was listed.
        full_at: When the whole list was made, UTC unix seconds.
        repositories: Git directory, common directory and mark, by path.
        others: Mark of a place that may become a repository, by path.
    """

    settings: str
    full_at: float
    repositories: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


def list_file(home: Path) -> Path:
    """Return where the list is kept."""
    return home / "watch" / "repositories.json"


def read_list(home: Path) -> Listed | None:
    """Return the list, or None when there is none that can be read."""
    try:
        found = json.loads(_content(str(list_file(home))))
        repositories = {path: (str(a), str(b), str(mark)) for path, (a, b, mark) in found["repositories"].items()}
        others = {path: str(mark) for path, mark in found["others"].items()}
        return Listed(str(found["settings"]), float(found["full_at"]), repositories, others)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_list(home: Path, listed: Listed) -> None:
    """Keep the list.

    Raises:
        OSError: The disk is full or refuses; the list before it is untouched.
    """
    files.replace(list_file(home), json.dumps(asdict(listed), indent=1))


def mark_of_settings(home: Path) -> str:
    """Return a mark that changes with what decides which repositories are watched."""
    return _Look(lambda: _settings(home)).mark(0.0)


def mark_of_repository(git_dir: str, common_dir: str) -> str:
    """Return a mark that changes with every ref of a repository, and with ``HEAD`` when it is on no branch."""
    return _Look(lambda: _refs(git_dir, common_dir)).mark(0.0)


def mark_of_place(path: str) -> str:
    """Return a mark that changes when a repository begins to be at ``path`` or right below it."""
    return _Look(lambda: _place(path)).mark(0.0)


class Refs:
    """Looks again and again, and remembers what it has told.

    Args:
        clock: UTC unix seconds, the clock of the file system.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._looks: dict[tuple[str, ...], _Look] = {}
        self._told: dict[str, tuple[str, float]] = {}
        self._list_fact: Fact = None
        self._list: Listed | None = None

    def moved(self, home: Path) -> list[dict[str, str]]:
        """Return the arguments of the jobs of ``repo_watch`` that are to be done, each told once.

        1. There is no list, it was made under other settings, or it is old: one full look, ``{}``.
        2. A listed repository is gone, or a place has become one: the same.
        3. Otherwise ``{"repository": path}`` for each repository whose refs are not as they were read last.
        """
        now = self._clock()
        listed, settings = self._listed(home), self._look("settings", str(home)).mark(now)
        if listed is None or listed.settings != settings or now > listed.full_at + _FULL_LOOK_S:
            return [{}] if self._untold("", settings, now) else []  # 1
        self._told.pop("", None)
        full, found = False, []
        for path, known in listed.others.items():
            mark = self._look("place", path).mark(now)
            full |= mark != known and self._untold(path, mark, now)
        for path, (git_dir, common_dir, known) in listed.repositories.items():
            mark = self._look("refs", git_dir, common_dir).mark(now)
            if mark != known and self._untold(path, mark, now):
                full |= mark == GONE
                found.append({"repository": path})
        return [{}] if full else found  # 2, 3

    def _listed(self, home: Path) -> Listed | None:
        fact = _fact(str(list_file(home)))
        if fact != self._list_fact or fact is None:
            self._list, self._list_fact = read_list(home), fact
            wanted = self._wanted(home)
            self._looks = {key: look for key, look in self._looks.items() if key in wanted}
        return self._list

    def _wanted(self, home: Path) -> set[tuple[str, ...]]:
        listed = self._list or Listed("", 0.0)
        repositories = {("refs", a, b) for a, b, _ in listed.repositories.values()}
        return {("settings", str(home)), *repositories, *(("place", path) for path in listed.others)}

    def _untold(self, path: str, mark: str, now: float) -> bool:
        """Whether this move is news, and remember it."""
        before, at = self._told.get(path, ("", 0.0))
        if before == mark and now < at + _AGAIN_S:
            return False
        self._told[path] = mark, now
        return True

    def _look(self, kind: str, *where: str) -> _Look:
        key = (kind, *where)
        if key not in self._looks:
            reads: dict[str, Callable[[], _Reading]] = {
                "settings": lambda: _settings(Path(where[0])),
                "refs": lambda: _refs(where[0], where[1]),
                "place": lambda: _place(where[0]),
            }
            self._looks[key] = _Look(reads[kind])
        return self._looks[key]


class _Reading:
    """What was read, as a digest, and the time of everything it was read from, taken before it was read."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self._digest = hashlib.sha256()

    def file(self, path: str) -> bytes | None:
        """Take the content of a file for the digest, and return it; None when there is none that can be read."""
        self.facts[path] = _fact(path)
        try:
            content = _content(path)
        except OSError:
            return None
        self.add(path, content)
        return content

    def entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        """Yield what is in a directory, by name."""
        self.facts[path] = _fact(path)
        with contextlib.suppress(OSError), os.scandir(path) as found:
            yield from sorted(found, key=lambda entry: entry.name)[:_MOST_ENTRIES]

    def add(self, name: str, content: bytes = b"") -> None:
        """Take something for the digest."""
        for part in (os.fsencode(name), content):
            self._digest.update(b"%d:" % len(part) + part)

    def mark(self) -> str:
        """Return the digest."""
        return self._digest.hexdigest()[:32]


class _Look:
    """One thing, read again only when a time has changed."""

    def __init__(self, read: Callable[[], _Reading]) -> None:
        self._read = read
        self._facts: dict[str, Fact] = {}
        self._mark: str | None = None

    def mark(self, now: float) -> str:
        """Return the mark of the present state."""
        if self._mark is None or any(_fact(path) != fact for path, fact in self._facts.items()):
            reading = self._read()
            newest = max((fact[0] for fact in reading.facts.values() if fact is not None), default=0)
            self._facts, mark = reading.facts, reading.mark() if newest else GONE
            self._mark = mark if newest / 1e9 < now - _SETTLED_S else None
            return mark
        return self._mark


def _settings(home: Path) -> _Reading:
    """Read what decides which repositories are watched."""
    reading = _Reading()
    reading.file(str(home / "forge.toml"))
    reading.facts[str(home)] = _fact(str(home))  # there may be no file yet
    reading.add("FORGE_REPOSITORIES", os.environ.get("FORGE_REPOSITORIES", "").encode("utf-8", "surrogateescape"))
    return reading


def _refs(git_dir: str, common_dir: str) -> _Reading:
    """Read every ref that a night reads: branches, remote branches, tags, and a HEAD on no branch."""
    reading = _Reading()
    head = f"{git_dir}/HEAD"
    reading.facts[head] = _fact(head)
    with contextlib.suppress(OSError):
        content = _content(head)
        reading.add(head, b"" if content.startswith(b"ref:") else content)
    if reading.facts[head] is None:
        reading.facts = {head: None}
        return reading
    reading.file(f"{common_dir}/packed-refs")
    if os.path.isdir(f"{common_dir}/reftable"):  # noqa: PTH112  a Path costs ten times the call
        reading.file(f"{common_dir}/reftable/tables.list")
    waiting = [f"{common_dir}/refs/{kind}" for kind in ("heads", "remotes", "tags")]
    left = _MOST_ENTRIES
    while waiting and left > 0:
        for entry in reading.entries(waiting.pop()):
            left -= 1
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.name.endswith(".lock"):
                with contextlib.suppress(OSError):
                    reading.add(entry.path, _content(entry.path))
    return reading


def _place(path: str) -> _Reading:
    """Read whether something at ``path``, or right below it, is a repository, and of one that is, its refs."""
    reading = _Reading()
    reading.facts[path] = _fact(path)
    own = f"{path}/.git"
    reading.facts[own] = _fact(own)
    if reading.facts[own] is not None:
        refs = _refs(own, own)
        reading.facts |= refs.facts
        reading.add(own, refs.mark().encode())
        return reading
    for entry in reading.entries(path):
        if entry.is_dir() and os.path.lexists(f"{entry.path}/.git"):
            reading.add(entry.path)
    return reading


def _fact(path: str) -> Fact:
    try:
        found = os.stat(path)  # noqa: PTH116  a Path costs ten times the call
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: str) -> bytes:
    """Return the beginning of a regular file; a pipe in its place is not waited for.

    Raises:
        OSError: There is no such file, or it is none.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file")
        return os.read(file, min(found.st_size, _MOST_BYTES))
    finally:
        os.close(file)


#: The look of this process; ``catalog.py`` names it.
moved: Callable[[Path], list[dict[str, Any]]] = Refs().moved
