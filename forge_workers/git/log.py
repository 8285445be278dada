"""Commits as values, and how they are read from git's log.

Belongs here: the values, the format asked of git, and the parser. The format has NUL between all fields and the parser
takes each field by its place, so nothing in a message or a file name can pass for another field. Does not belong here:
running git (``process.py``) or choosing what to read (``repository.py``).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from forge_workers.git.hardening import GitFailed
from forge_workers.git.languages import language
from forge_workers.report import Frozen

Status = Literal["A", "M", "D", "R", "C", "T"]

#: Arguments of ``git log`` for :func:`parse`. Merges carry no files: what they bring in is listed at its own commit.
LOG_ARGUMENTS = (
    "log",
    "-z",
    "--raw",
    "--numstat",
    "--no-abbrev",
    "--find-renames",
    "--root",
    "--diff-merges=off",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-decorate",
    "--no-notes",
    "--no-show-signature",
    "--encoding=UTF-8",
    "--format=%x01%H%x00%P%x00%at%x00%ct%x00%an%x00%s",
)

#: Files listed of one commit; the rest are only counted.
MOST_FILES = 20_000
_SUBJECT_CHARS = 300
_AUTHOR_CHARS = 200

#: A subject that says the commit mends something: Conventional Commits' ``fix:`` and the words of the SZZ heuristic
#: without "patch". Whole words only, so that "prefix" and "fixture" are none.
#: Source: J. Sliwerski, T. Zimmermann, A. Zeller, "When Do Changes Induce Fixes?", MSR 2005, section 2.
_FIX = re.compile(r"\b(?:(?:bug|hot)?fix(?:e[sd]|ing)?|bugs?|defects?|regressions?)\b", re.IGNORECASE)


class FileChange(Frozen):
    r"""What one commit did to one file.

    Attributes:
        path: Its name after the commit; bytes that are not UTF-8 are written ``\xe9``.
        old_path: Its name before, when it was renamed or copied.
        status: Git's letter: added, modified, deleted, renamed, copied, type changed.
        added: Lines added; 0 for a binary file.
        removed: Lines removed; 0 for a binary file.
        binary: Whether git takes it for binary.
        language: Display name of its language by its file name, None when the name tells nothing.
    """

    path: str
    old_path: str | None = None
    status: Status
    added: int = 0
    removed: int = 0
    binary: bool = False
    language: str | None = None


class Commit(Frozen):
    """One commit.

    Attributes:
        repository: Name of the watched repository.
        id: Its full id.
        parents: Full ids of its parents.
        author: The author's name as the commit gives it.
        authored_at: When it was written, UTC unix seconds, as its author's clock said.
        committed_at: When it was committed, UTC unix seconds; the windows go by this.
        subject: First paragraph of the message on one line, at most 300 characters.
        fix: Whether the subject says that it mends something.
        files: What it did; empty for a merge.
        unlisted: How many files more it touched than are listed.
    """

    repository: str
    id: str
    parents: tuple[str, ...] = ()
    author: str
    authored_at: float
    committed_at: float
    subject: str
    fix: bool = False
    files: tuple[FileChange, ...] = ()
    unlisted: int = 0

    @property
    def merge(self) -> bool:
        """Whether it has more than one parent."""
        return len(self.parents) > 1

    @property
    def added(self) -> int:
        """Lines added in the listed files."""
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        """Lines removed in the listed files."""
        return sum(file.removed for file in self.files)


class _Raw(NamedTuple):
    status: str
    path: bytes
    old_path: bytes | None


def parse(tokens: Iterator[bytes], repository: str) -> Iterator[Commit]:
    """Read the output of ``git log`` with :data:`LOG_ARGUMENTS`.

    Args:
        tokens: The pieces between NUL bytes.
        repository: Name for :attr:`Commit.repository`.

    Raises:
        GitFailed: The output ends early or is not in the format asked for.
    """
    try:
        start = next(tokens, None)
        while start is not None:
            header = [start, *itertools.islice(tokens, 5)]
            raws: list[_Raw] = []
            files: list[FileChange] = []
            count = 0
            start = None
            for token in tokens:
                if token.startswith(b"\x01"):
                    start = token
                    break
                if token.lstrip(b"\n").startswith(b":"):
                    raws.append(_raw(token, tokens))
                elif token.strip(b"\n"):
                    change = _change(token, tokens, raws[count])
                    count += 1
                    if count <= MOST_FILES:
                        files.append(change)
            yield _commit(header, tuple(files), count, repository)
    except (StopIteration, IndexError, ValueError):
        raise GitFailed("git log wrote something that is not in the format asked for") from None


def is_fix(subject: str) -> bool:
    """Whether the subject of a commit says that it mends something."""
    return _FIX.search(subject) is not None


def shown(path: bytes) -> str:
    r"""Return a file name as text; bytes that are not UTF-8 are written ``\xe9``."""
    return path.decode("utf-8", "backslashreplace")


def _raw(token: bytes, tokens: Iterator[bytes]) -> _Raw:
    status = chr(token.rpartition(b" ")[2][0])
    if status in "RC":
        old_path = next(tokens)
        return _Raw(status, next(tokens), old_path)
    return _Raw(status, next(tokens), None)


def _change(token: bytes, tokens: Iterator[bytes], raw: _Raw) -> FileChange:
    added, removed, path = token.lstrip(b"\n").split(b"\t", 2)
    if not path:
        next(tokens)
        path = next(tokens)
    if path != raw.path:
        raise ValueError
    name = shown(path)
    return FileChange(
        path=name,
        old_path=None if raw.old_path is None else shown(raw.old_path),
        status=raw.status,  # pydantic refuses any letter it does not know
        added=0 if added == b"-" else int(added),
        removed=0 if removed == b"-" else int(removed),
        binary=added == b"-",
        language=language(name),
    )


def _commit(header: list[bytes], files: tuple[FileChange, ...], count: int, repository: str) -> Commit:
    commit, parents, authored, committed, author, subject = header
    line = subject[: _SUBJECT_CHARS * 4].decode("utf-8", "replace")[:_SUBJECT_CHARS]
    return Commit(
        repository=repository,
        id=commit.lstrip(b"\x01").decode("ascii"),
        parents=tuple(parents.decode("ascii").split()),
        author=author.decode("utf-8", "replace")[:_AUTHOR_CHARS],
        authored_at=float(authored or 0),
        committed_at=float(committed or 0),
        subject=line,
        fix=is_fix(line),
        files=files,
        unlisted=max(0, count - MOST_FILES),
    )
