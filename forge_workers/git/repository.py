"""What can be read from one repository: committed content only, never the work tree.

Attributes files of the work tree play no part; links and submodules are never followed. Belongs here: each question
asked of a repository. Does not belong here: running git (``process.py``), the format of its log (``log.py``), or what
a desk makes of the answers.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from forge_workers.errors import BadArgs, ForgeError
from forge_workers.git.hardening import GitFailed, Place
from forge_workers.git.log import LOG_ARGUMENTS, Commit, parse, shown
from forge_workers.git.process import answer, started
from forge_workers.windows import Window

#: Largest committed file that is read, in bytes.
FILE_BYTES = 2_000_000
#: Largest diff of one file that is returned whole, in bytes.
DIFF_BYTES = 4_000_000
#: Longest a walk over the history may take, in seconds.
_LOG_S = 600.0
#: Longest a first look may take, in seconds; a pipe in the place of a file would be waited for without end.
_OPEN_S = 20.0
_ID = re.compile(r"[0-9a-f]{7,64}")
_LOCKS = ("HEAD.lock", "config.lock", "index.lock", "packed-refs.lock", "shallow.lock")
_PLAIN_FILE = b"100"


class RepositoryUnavailable(ForgeError):
    """The repository cannot be read."""


@dataclass(frozen=True)
class Repository:
    """One repository, open for reading.

    Attributes:
        name: What it is called in reports; unique among the watched ones.
        path: Its top directory, without symbolic links.
        git_dir: Its git directory; that of a linked work tree is its own.
        common_dir: The git directory that holds its history.
    """

    name: str
    path: Path
    git_dir: Path
    common_dir: Path

    @classmethod
    def open(cls, path: Path, name: str | None = None) -> Repository:
        """Open the repository whose top directory is ``path``.

        Raises:
            RepositoryUnavailable: It is missing, no repository, bare, empty, unreadable, or belongs to somebody else;
                the message says which without the path.
        """
        real = _directory(path)
        try:
            git_dir = _found(real, "--absolute-git-dir")
            if git_dir == real:
                raise RepositoryUnavailable("it is bare, a git directory without a work tree: watch a clone of it")
            repository = cls(name or real.name, real, git_dir, _found(real, "--git-common-dir"))
            if not repository._has_commits():
                raise RepositoryUnavailable("it has no commits yet")
        except GitFailed as error:
            raise RepositoryUnavailable(_why(str(error))) from None
        return repository

    def git(self, *args: str, stdin: bytes | None = None) -> bytes:
        """Run one git command that only reads, and return what it wrote, at most 64 MB.

        Raises:
            GitFailed: Git refused, took too long, or wrote more.
        """
        return answer(self._place, args, stdin=stdin)

    def log(self, window: Window) -> Generator[Commit]:
        """Yield every commit of every branch, remote branch, tag and HEAD, newest first as git orders them.

        The committer date decides, and each commit is asked for its own: clocks differ, so an old date says nothing
        about the commits before it. Merges come without files.

        Args:
            window: Half-open, in UTC unix seconds.

        Raises:
            GitFailed: The history cannot be read to its end; commits yielded before are right.
        """
        first, last = max(0, math.ceil(window.start_at)), math.ceil(window.end_at) - 1
        if last < first:
            return
        dates = (f"--since-as-filter=@{first} +0000", f"--until=@{last} +0000")
        refs = ("--branches", "--remotes", "--tags", *(("HEAD",) if self._head() else ()), "--")
        with started(self._place, (*LOG_ARGUMENTS, *dates, *refs), timeout_s=_LOG_S) as running:
            yield from parse(running.tokens(), self.name)

    def before(self, moment: float) -> str | None:
        """Return the commit that HEAD's branch stood at just before ``moment``, or None.

        Only first parents are followed, so that a commit which was merged later does not count before its merge.

        Args:
            moment: UTC unix seconds.

        Raises:
            GitFailed: The history cannot be read.
        """
        last = math.ceil(moment) - 1
        if last < 0 or not self._head():
            return None
        until = ("-1", "--first-parent", f"--until=@{last} +0000")
        return self.git("rev-list", *until, "HEAD", "--").decode("ascii").strip() or None

    def tree(self, commit: str) -> Mapping[str, str]:
        """Return the blob id of every regular file at ``commit`` by its path; no links, no submodules.

        Raises:
            GitFailed: The commit is missing.
        """
        listed = self.git("ls-tree", "-r", "-z", "--full-tree", _checked(commit), "--")
        rows = (row.partition(b"\t") for row in listed.split(b"\0") if row.startswith(_PLAIN_FILE))
        return {shown(path): facts.split(b" ")[2].decode("ascii") for facts, _, path in rows}

    def read(self, commit: str, path: str) -> bytes | None:
        """Return the content of ``path`` at ``commit``; None when it is no regular file there or above 2 MB.

        Raises:
            GitFailed: The commit or the content is missing.
        """
        with contextlib.closing(self.read_many(commit, (path,))) as contents:
            return next(contents)[1]

    def read_many(self, commit: str, paths: Iterable[str]) -> Generator[tuple[str, bytes | None]]:
        """Yield each path with what :meth:`read` would return, by one git process for all.

        Raises:
            GitFailed: The commit or a content is missing.
        """
        tree = self.tree(commit)
        with started(self._place, ("cat-file", "--batch-command"), stdin=subprocess.PIPE, timeout_s=_LOG_S) as running:
            for path in paths:
                blob = tree.get(path, "").encode("ascii")
                if not blob:
                    yield path, None
                    continue
                running.ask(b"info " + blob)
                size = _size(running.out.readline())
                if size > FILE_BYTES:
                    yield path, None
                    continue
                running.ask(b"contents " + blob)
                running.out.readline()
                yield path, running.out.read(size + 1)[:-1]

    def diff(self, commit: str, path: str, old_path: str | None = None) -> str:
        """Return what ``commit`` did to ``path`` against its first parent, as a unified diff.

        Args:
            commit: Full id.
            path: Name after the commit, or before it when the commit deleted the file.
            old_path: Name before, to show a rename as one.

        Returns:
            The diff, at most 4 MB; a longer one ends with a line that says so. Bytes that are not UTF-8 are replaced.

        Raises:
            GitFailed: The commit is missing.
        """
        change = ("-r", "--root", "--no-commit-id", "--diff-merges=first-parent", "--no-ext-diff", "--no-textconv")
        names = [name for name in (old_path, path) if name is not None]
        wanted: list[bytes] = [name.encode("utf-8", "surrogateescape") for name in names]
        if any("\\x" in name for name in names):
            touched = self.git("diff-tree", *change, "--name-only", "-z", _checked(commit), "--").split(b"\0")
            wanted = [raw for raw in touched if shown(raw) in names] or wanted
        args: tuple[str | bytes, ...] = (
            "diff-tree",
            *change,
            "-p",
            "--find-renames",
            "--no-color",
            _checked(commit),
            "--",
            *wanted,
        )
        written = answer(self._place, args, most_bytes=DIFF_BYTES, cut=True)
        text = written.decode("utf-8", "replace")
        return text if len(written) < DIFF_BYTES else f"{text}\n\\ Diff cut after {DIFF_BYTES // 10**6} MB\n"

    def line_counts(self, commit: str) -> Mapping[str, int]:
        """Return the number of lines of every text file at ``commit``; no binaries, links or submodules.

        Raises:
            GitFailed: The commit is missing.
        """
        files = self.tree(commit)
        empty = self.git("hash-object", "-t", "tree", "--stdin", stdin=b"").decode("ascii").strip()
        plain_diff = ("-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv")
        rows = self.git("diff-tree", *plain_diff, empty, _checked(commit), "--").split(b"\0")
        counted = (row.split(b"\t", 2) for row in rows if row)
        lines = {shown(path): int(added) for added, _, path in counted if added != b"-"}
        return {path: count for path, count in lines.items() if path in files}

    def remotes(self) -> tuple[str, ...]:
        """Return the addresses of its remotes, sorted; they may hold a password, so never show them."""
        try:
            listed = self.git("config", "-z", "--get-regexp", r"^remote\..*\.url$")
        except GitFailed:  # git's way of saying that there is none
            return ()
        return tuple(sorted({shown(row.partition(b"\n")[2]) for row in listed.split(b"\0") if row}))

    def starts_at(self) -> float | None:
        """Return the date before which a shallow clone lacks history, UTC unix seconds; None for a whole one."""
        path = self.common_dir / "shallow"
        try:
            listed = path.read_text("ascii").split() if path.is_file() else []  # a pipe of that name would never end
        except (OSError, UnicodeDecodeError):
            return None
        ids = [line for line in listed if _ID.fullmatch(line)]
        if not ids:
            return None
        show = ("log", "--no-walk=unsorted", "--no-show-signature", "--format=%ct", "--stdin")
        dates = self.git(*show, stdin="\n".join(ids).encode("ascii"))
        return max((float(date) for date in dates.split()), default=None)

    def lock(self) -> str | None:
        """Return the name of a lock that another git holds, or left behind, or None."""
        return next((name for name in _LOCKS for top in (self.git_dir, self.common_dir) if (top / name).exists()), None)

    @property
    def _place(self) -> Place:
        return Place(self.git_dir, self.git_dir)

    def _head(self) -> str | None:
        """Return the commit of HEAD, or None on a branch that has none yet."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii").strip()
        except GitFailed:
            return None

    def _has_commits(self) -> bool:
        refs = ("refs/heads", "refs/remotes", "refs/tags")
        return bool(self._head() or self.git("for-each-ref", "--count=1", "--format=%(refname)", *refs))


def _directory(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
        if not real.is_dir():
            raise RepositoryUnavailable("it is a file, not a directory")
        next(real.iterdir(), None)
    except FileNotFoundError:
        raise RepositoryUnavailable("it does not exist") from None
    except (OSError, RuntimeError) as error:
        raise RepositoryUnavailable(
            f"it cannot be entered: {getattr(error, 'strerror', None) or 'link loop'}"
        ) from None
    return real


def _found(directory: Path, question: str) -> Path:
    """Ask git where the repository of ``directory`` keeps something; here it refuses what belongs to somebody else."""
    written = answer(Place(directory), ("rev-parse", "--path-format=absolute", question), timeout_s=_OPEN_S)
    return Path(os.fsdecode(written.removesuffix(b"\n"))).resolve()


def _why(complaint: str) -> str:
    if "not a git repository" in complaint:
        return "it is not a git repository"
    if "dubious ownership" in complaint or "unsafe repository" in complaint:
        return "it belongs to another user, so git does not read it"
    return f"it cannot be read: {complaint}"


def _checked(commit: str) -> str:
    if not _ID.fullmatch(commit):
        raise BadArgs(f"{commit!r:.80} is no commit id")
    return commit


def _size(header: bytes) -> int:
    """Read the size from an answer of ``git cat-file``: ``<id> blob <size>``."""
    facts = header.split()
    if len(facts) != len(("id", "type", "size")):
        raise GitFailed("git cat-file failed: a file's content is missing from the repository")
    return int(facts[2])
