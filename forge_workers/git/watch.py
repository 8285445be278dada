"""Which repositories are watched.

Belongs here: from the settings' paths and patterns to open repositories and named gaps. Does not belong here: what is
read from one (``repository.py``).
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from forge_workers.git.hardening import GitFailed
from forge_workers.git.repository import Repository, RepositoryUnavailable
from forge_workers.report import Gap
from forge_workers.settings import Settings


def watched(settings: Settings) -> tuple[tuple[Repository, ...], tuple[Gap, ...]]:
    """Open every repository the settings name, in their order, each once.

    A pattern takes the repositories among what it matches and passes over the other directories; a plain path must be a
    repository. A shallow or locked one is read as far as it goes, and a gap says so.

    Returns:
        The repositories, and what is missing.
    """
    opened: dict[Path, Repository] = {}
    gaps: list[Gap] = []
    for pattern in settings.repositories:
        places = _places(pattern)
        if not places:
            gaps.append(Gap(what=pattern, why="nothing matches it that is a git repository"))
        for place in places:
            try:
                found = Repository.open(place)
            except RepositoryUnavailable as error:
                gaps.append(Gap(what=str(place), why=str(error)))
            else:
                opened.setdefault(found.common_dir, found)
    repositories = _named(list(opened.values()))
    return repositories, (*gaps, *(gap for repository in repositories for gap in _notes(repository)))


def _places(pattern: str) -> list[Path]:
    """Expand ``~`` and a glob; a pattern without one is itself, whether it exists or not."""
    try:
        expanded = str(Path(pattern).expanduser())
    except RuntimeError:  # no such user
        expanded = pattern
    if not glob.has_magic(expanded) or Path(expanded).exists():
        return [Path(expanded)]
    matches = (Path(match) for match in sorted(glob.glob(expanded)))  # noqa: PTH207  # Path.glob takes no absolute one
    return [match for match in matches if (match / ".git").exists() or (match / "HEAD").is_file()]


def _named(repositories: list[Repository]) -> tuple[Repository, ...]:
    """Call each by the last part of its path, or by as many parts as tell it from the others."""
    names = {r.path: r.path.name for r in repositories}
    for parts in range(2, max((len(r.path.parts) for r in repositories), default=0) + 1):
        taken = Counter(names.values())
        names = {p: "/".join(p.parts[-parts:]) if taken[name] > 1 else name for p, name in names.items()}
    return tuple(replace(r, name=names[r.path]) for r in repositories)


def _notes(repository: Repository) -> Iterator[Gap]:
    try:
        starts_at = repository.starts_at()
    except GitFailed as error:
        yield Gap(what=repository.name, why=f"it is a shallow clone whose start cannot be read: {error}")
    else:
        if starts_at is not None:
            day = datetime.fromtimestamp(starts_at, UTC).date().isoformat()
            yield Gap(what=repository.name, why=f"it is a shallow clone: history before {day} is missing")
    lock = repository.lock()
    if lock is not None:
        yield Gap(what=repository.name, why=f"another git works in it or died there ({lock}): read as it stands")
