"""Which diffs of a night deserve a look first, and which none at all, told from the commit log.

Belongs here: the order and the rules that spare a model the call, pure. Does not belong here: the score (``risk.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from forge_workers.code.paths import not_ours
from forge_workers.code.risk import Past, Risk, risk_of
from forge_workers.feedback import Leaning
from forge_workers.git import Commit, FileChange

#: Lines changed in one file from which its diff is not loaded at all: 20 times what a reviewer takes in at one sitting.
#: Source: SmartBear, "Best Practices for Code Review", 2006 study at Cisco: 400 lines at most.
MOST_LINES = 8_000


class Diff(NamedTuple):
    """What one commit did to one file.

    Attributes:
        commit: The commit.
        change: The file.
        risk: Its score and why.
        spared: Why no model needs to look at it, or None.
    """

    commit: Commit
    change: FileChange
    risk: Risk
    spared: str | None


def ranked(
    commits: Iterable[Commit], past: Mapping[tuple[str, str], Past], leaning: Leaning | None = None
) -> tuple[Diff, ...]:
    """Return every diff, riskiest first.

    Of two with the same score that comes first of whose file's reviews people think better, then the larger, then by
    repository, path and commit.

    Args:
        commits: The window's commits.
        past: What the nights before did, by repository and path.
        leaning: What people think of earlier reviews; it never changes a score.
    """
    leaning = leaning or Leaning()
    diffs = [
        Diff(c, f, risk_of(f, c, past.get((c.repository, f.old_path or f.path), Past())), _spared(f))
        for c in commits
        for f in c.files
    ]
    return tuple(sorted(diffs, key=lambda diff: _place(diff, leaning)))


def _place(diff: Diff, leaning: Leaning) -> tuple[int, int, int, str, str, str]:
    size, liked = diff.change.added + diff.change.removed, leaning.of_file(diff.commit.repository, diff.change.path)
    return -diff.risk.points, -liked, -size, diff.commit.repository, diff.change.path, diff.commit.id


def _spared(change: FileChange) -> str | None:
    """Say which rule spares the call: 1. no text, 2. not written here, 3. nothing left to quote, 4. too much."""
    if change.binary:
        return "binary"  # 1
    if aside := not_ours(change.path):
        return aside  # 2
    if change.status == "D":
        return "deleted"  # 3
    if not change.added and not change.removed:
        return "renamed only, or only its mode changed"  # 3
    if change.added + change.removed > MOST_LINES:
        return f"too large: more than {MOST_LINES:,} lines changed"  # 4
    return None
