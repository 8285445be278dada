"""Which version of which file a night has to look at, told from the commits alone.

Belongs here: following commits, parents and renames, pure. Does not belong here: reading any content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from forge_workers.git import Commit


class Version(NamedTuple):
    """One file as one commit left it.

    Attributes:
        commit: Full id of the commit whose tree holds it.
        path: Its name there.
        base_path: Its name before the window, another one when the window's commits renamed it.
        committed_at: When that commit was made, UTC unix seconds.
    """

    commit: str
    path: str
    base_path: str
    committed_at: float


def versions(commits: Sequence[Commit], tip: str | None) -> tuple[Version, ...]:
    """Return what the window left behind of every file it touched.

    What HEAD's branch holds is looked at as of its tip. What other branches hold is looked at as of the last commits
    that touched it there; an earlier state that a later commit of the same branch replaced is passed over.

    Args:
        commits: The window's commits of one repository.
        tip: HEAD's commit at the end of the window.

    Returns:
        Those at the tip first, each part in order of path. A file may be gone from its commit by now.
    """
    by_id = {commit.id: commit for commit in commits}
    graph = {commit.id: [p for p in commit.parents if p in by_id] for commit in commits}
    oldest_first = [by_id[name] for name in TopologicalSorter(graph).static_order()]
    before = _names_before(oldest_first)
    on_head = _reachable(tip, graph)
    touched = {f.path for c in commits if c.id in on_head for f in c.files}
    found = [
        Version(c.id, path, before.get(path, path), c.committed_at)
        for c, path in _last_elsewhere(oldest_first, on_head)
    ]
    at_tip = [Version(tip, path, before.get(path, path), by_id[tip].committed_at) for path in touched if tip in on_head]
    return (*sorted(at_tip, key=lambda v: v.path), *sorted(found, key=lambda v: (v.path, v.commit)))


def _reachable(tip: str | None, graph: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the commits of the window that HEAD's branch holds; a clock that ran wrong may hide some."""
    seen: set[str] = set()
    waiting = [tip] if tip in graph else []
    while waiting:
        name = waiting.pop()
        if name is not None and name not in seen:
            seen.add(name)
            waiting.extend(graph[name])
    return frozenset(seen)


def _names_before(oldest_first: Sequence[Commit]) -> Mapping[str, str]:
    """Return the name before the window of every file that was renamed in it."""
    before: dict[str, str] = {}
    for commit in oldest_first:
        for file in commit.files:
            if file.status == "R" and file.old_path is not None:
                before[file.path] = before.get(file.old_path, file.old_path)
    return before


def _last_elsewhere(oldest_first: Sequence[Commit], on_head: frozenset[str]) -> list[tuple[Commit, str]]:
    """Return each commit outside HEAD's branch with the paths that no commit after it touched."""
    replaced: dict[str, set[str]] = {}
    found: list[tuple[Commit, str]] = []
    for commit in reversed(oldest_first):
        if commit.id in on_head:
            continue
        later = replaced.pop(commit.id, set())
        found += [(commit, f.path) for f in commit.files if f.status != "D" and f.path not in later]
        now = later.union(*((f.path, f.old_path or f.path) for f in commit.files))
        for parent in commit.parents:
            # With two children, only what both replaced is gone from every branch.
            replaced[parent] = replaced[parent] & now if parent in replaced else set(now)
    return found
