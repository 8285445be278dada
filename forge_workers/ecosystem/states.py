"""The size of a repository at one moment, and what two moments differ in; committed content only.

Belongs here: the values, counting and comparing. Does not belong here: finding the moments (``evolution.py``), or what
the reader is told (``telling.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from forge_workers.code.manifests import is_manifest, read_manifest
from forge_workers.code.paths import is_test, not_ours
from forge_workers.git import Repository, language
from forge_workers.report import Frozen
from forge_workers.windows import NightKey

#: How many nights back the code is compared; the first is the state before the night.
COMPARED = (1, 7, 28)
#: Manifests read of one repository at one moment; more are a sign of vendored code under another name.
MOST_MANIFESTS = 100


class Size(Frozen):
    """How big the code is. Vendored, generated and lock files, binaries, links and submodules are left out.

    Attributes:
        lines: Lines of all text files.
        files: Text files.
        test_lines: Lines of those that are tests.
        languages: Lines by language; ``other`` where the name tells none.
    """

    lines: int = 0
    files: int = 0
    test_lines: int = 0
    languages: Mapping[str, int] = {}

    @property
    def test_ratio(self) -> float:
        """Lines of tests among all lines, from 0 to 1; 0 without a line."""
        return self.test_lines / self.lines if self.lines else 0.0

    def __add__(self, other: Size) -> Size:
        """Return the size of both together."""
        return Size(
            lines=self.lines + other.lines,
            files=self.files + other.files,
            test_lines=self.test_lines + other.test_lines,
            languages=dict(sorted((Counter(self.languages) + Counter(other.languages)).items())),
        )


class DependencyChange(Frozen):
    """One dependency that came or went.

    Attributes:
        repository: Where.
        manifest: Path of the file that names it.
        name: Its name.
        change: What happened.
        nights: The shortest of the compared stretches in which it happened.
    """

    repository: str
    manifest: str
    name: str
    change: Literal["added", "removed"]
    nights: int


class Manifests(Frozen):
    """The dependencies of one repository at one moment.

    Attributes:
        names: Names of the dependencies by the manifest's path; None for a manifest that cannot be read.
        unread: Why each of those cannot be read.
        left_out: How many manifests there are beyond the first :data:`MOST_MANIFESTS`.
    """

    names: Mapping[str, frozenset[str] | None] = {}
    unread: Mapping[str, str] = {}
    left_out: int = 0


class HotFile(Frozen):
    """A file that many commits of the last 28 nights touched."""

    repository: str
    path: str
    commits: int


class RepositoryMoves(Frozen):
    """How one repository moved.

    Attributes:
        name: Its name.
        now: Its size at the window's end.
        before: Its size so many nights earlier, by 1, 7 and 28; None where its history does not reach.
        begins: The night of its first commit, when that is later than the earliest state compared.
        dependencies: How many its manifests name at the window's end.
    """

    name: str
    now: Size
    before: Mapping[int, Size | None]
    begins: NightKey | None = None
    dependencies: int


class Evolution(Frozen):
    """What the evolution report hands on.

    Attributes:
        repositories: By name.
        changes: Dependencies that came or went in 28 nights, the most recent stretch first.
        hot_files: Most touched first.
        commits_by_night: Commits of each of the last 28 nights by its key, oldest first.
    """

    repositories: tuple[RepositoryMoves, ...]
    changes: tuple[DependencyChange, ...]
    hot_files: tuple[HotFile, ...]
    commits_by_night: Mapping[str, int]


def size(repository: Repository, commit: str) -> Size:
    """Count the lines of ``repository`` at ``commit``.

    Raises:
        GitFailed: The commit cannot be read.
    """
    counts = {path: count for path, count in repository.line_counts(commit).items() if not not_ours(path)}
    languages = Counter[str]()
    for path, count in counts.items():
        languages[language(path) or "other"] += count
    return Size(
        lines=sum(counts.values()),
        files=len(counts),
        test_lines=sum(count for path, count in counts.items() if is_test(path)),
        languages=dict(sorted(languages.items())),
    )


def manifests(repository: Repository, commit: str) -> Manifests:
    """Read the dependencies that ``repository`` names at ``commit``.

    Raises:
        GitFailed: The commit cannot be read.
    """
    paths = sorted(path for path in repository.tree(commit) if _is_manifest(path))
    names: dict[str, frozenset[str] | None] = {}
    unread: dict[str, str] = {}
    for path, content in repository.read_many(commit, paths[:MOST_MANIFESTS]):
        try:
            names[path] = _names(path, content)
        except ValueError as error:
            names[path], unread[path] = None, str(error)
    return Manifests(names=names, unread=unread, left_out=max(0, len(paths) - MOST_MANIFESTS))


def compare(repository: str, before: Manifests, after: Manifests, nights: int) -> Iterator[DependencyChange]:
    """Yield what came and went from ``before`` to ``after``; a manifest unread in either tells nothing."""
    for path in sorted(before.names.keys() | after.names.keys()):
        old, new = before.names.get(path, frozenset()), after.names.get(path, frozenset())
        if old is None or new is None:
            continue
        for name in sorted(old ^ new):
            change: Literal["added", "removed"] = "added" if name in new else "removed"
            yield DependencyChange(repository=repository, manifest=path, name=name, change=change, nights=nights)


def total(found: Evolution) -> Size:
    """Return the size of all repositories together at the window's end."""
    return sum((moves.now for moves in found.repositories), Size())


def grown(repositories: Iterable[RepositoryMoves], nights: int) -> int:
    """Return by how many lines the code grew; a repository whose earlier state is unknown counts for nothing."""
    states = ((moves.now, moves.before.get(nights)) for moves in repositories)
    return sum(now.lines - then.lines for now, then in states if then is not None)


def known(repositories: Iterable[RepositoryMoves]) -> tuple[int, ...]:
    """Return the stretches of :data:`COMPARED` whose earlier state at least one repository has."""
    every = tuple(repositories)
    return tuple(nights for nights in COMPARED if any(moves.before.get(nights) is not None for moves in every))


def _is_manifest(path: str) -> bool:
    name = path.rpartition("/")[2]
    again = name.endswith(".in") or name.startswith("constraints")  # its .txt says the same; a bound installs nothing
    return is_manifest(path) and not again and not not_ours(path) and not is_test(path)


def _names(path: str, content: bytes | None) -> frozenset[str]:
    if content is None:
        raise ValueError("it is larger than 2 MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    manifest = read_manifest(path, text)
    return frozenset(manifest.dependencies) if manifest else frozenset()
