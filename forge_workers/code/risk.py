"""How much a change to one file deserves a second pair of eyes: a stated score, pure arithmetic.

=============================================  ======
what is seen                                   points
=============================================  ======
lines changed: 10, 50, 200, 500 or more        1 2 3 4
commits to the file in the 28 nights before:   1 2 3
2, 5, 10 or more
of those, commits that mend something: 1, 3    2 3
the commit itself mends something              1
code changed by 10 lines or more and no test   2
a sensitive place (``paths.sensitive``)        5
the file is a test                             -2
the file is prose and no tool obeys it         -3
=============================================  ======

A score is never below 0. What counts follows the literature on defects; the weights are ours, chosen so that a
sensitive place outweighs any one habit and size alone never leads. Belongs here: the score. Does not belong here: the
order it gives (``ranking.py``).

Source: N. Nagappan, T. Ball, "Use of Relative Code Churn Measures to Predict System Defect Density", ICSE 2005 (churn);
S. Kim et al., "Predicting Faults from Cached History", ICSE 2007 (earlier fixes); Y. Kamei et al., "A Large-Scale
Empirical Study of Just-in-Time Quality Assurance", IEEE TSE 39(6), 2013 (size, purpose, history of one change).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from forge_workers.code.paths import is_prose, is_test, sensitive
from forge_workers.git import Commit, FileChange
from forge_workers.report import Severity

#: Nights before the window whose commits count as a file's history.
HISTORY_NIGHTS = 28

_SIZE = ((500, 4), (200, 3), (50, 2), (10, 1))
_CHURN = ((10, 3), (5, 2), (2, 1))
_FIXES = ((3, 3), (1, 2))
#: Lines of code from which a change without a test is remarked on.
_UNTESTED_LINES = 10


class Past(NamedTuple):
    """What the nights before did to one file.

    Attributes:
        commits: Commits that touched it.
        fixes: Those of them that mend something.
    """

    commits: int = 0
    fixes: int = 0


class Risk(NamedTuple):
    """How much a change deserves a look, and why; the reasons are plain words in the order of the table."""

    points: int
    reasons: tuple[str, ...]


def past_of(commits: Iterable[Commit]) -> Mapping[str, Past]:
    """Count for every path how often ``commits`` touched it and how often to mend something."""
    found: dict[str, Past] = {}
    for commit in commits:
        for file in commit.files:
            before = found.get(file.path, Past())
            found[file.path] = Past(before.commits + 1, before.fixes + commit.fix)
    return found


def risk_of(change: FileChange, commit: Commit, past: Past) -> Risk:
    """Score what ``commit`` did to one file.

    Args:
        change: The file, one of ``commit.files``.
        commit: The whole commit; whether it also touched a test and whether it mends something counts.
        past: The file's history before the window, under its old name if it was renamed.
    """
    lines = change.added + change.removed
    test, prose, place = is_test(change.path), is_prose(change.path), sensitive(change.path)
    untested = lines >= _UNTESTED_LINES and not test and not prose and change.language is not None
    told = (
        (_step(lines, _SIZE), f"{lines} lines changed"),
        (_step(past.commits, _CHURN), f"commits in the {HISTORY_NIGHTS} nights before: {past.commits}"),
        (_step(past.fixes, _FIXES), f"fixes in the {HISTORY_NIGHTS} nights before: {past.fixes}"),
        (1 if commit.fix else 0, "mends something"),
        (2 if untested and not any(is_test(f.path) for f in commit.files) else 0, "no test touched"),
        (5 if place else 0, str(place)),
        (-2 if test else 0, "a test"),
        (-3 if prose and not place else 0, "prose"),
    )
    return Risk(max(0, sum(points for points, _ in told)), tuple(reason for points, reason in told if points))


def floor_of(change: FileChange) -> Severity:
    """Return the least severity of a finding in this file: a model may weigh one higher, never lower."""
    return Severity.MEDIUM if sensitive(change.path) and not is_test(change.path) else Severity.INFO


def _step(value: int, steps: Iterable[tuple[int, int]]) -> int:
    """Return the points of the highest step that ``value`` reaches; the steps come highest first."""
    return next((points for least, points in steps if value >= least), 0)
