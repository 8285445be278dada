"""Risk: the score is the table in the module's docstring, no more and no less."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from forge_workers.code.ranking import MOST_LINES, ranked
from forge_workers.code.risk import Past, floor_of, past_of, risk_of
from forge_workers.git import Commit, FileChange
from forge_workers.report import Severity


def change(path: str = "src/app.py", **facts: Any) -> FileChange:
    """Return a change of 5 lines of Python unless told otherwise."""
    return FileChange(**{"path": path, "status": "M", "added": 5, "language": "Python", **facts})


def commit(*files: FileChange, name: str = "c1", fix: bool = False) -> Commit:
    """Return a commit of ``files``."""
    return Commit(
        repository="r",
        id=name,
        parents=("p",),
        author="Ada",
        authored_at=1,
        committed_at=1,
        subject="s",
        fix=fix,
        files=files,
    )


@pytest.mark.parametrize(
    ("file", "past", "others", "fix", "points", "reasons"),
    [
        (change(), Past(), (), False, 0, ()),
        (change(added=10, removed=0), Past(), (change("tests/test_app.py"),), False, 1, ("10 lines changed",)),
        (change(added=10), Past(), (), False, 3, ("10 lines changed", "no test touched")),
        (change(added=300, removed=200), Past(), (), False, 6, ("500 lines changed", "no test touched")),
        (change(), Past(2, 0), (), False, 1, ("commits in the 28 nights before: 2",)),
        (
            change(),
            Past(10, 3),
            (),
            True,
            7,
            ("commits in the 28 nights before: 10", "fixes in the 28 nights before: 3", "mends something"),
        ),
        (change("src/auth/login.py"), Past(), (), False, 5, ("authentication",)),
        (change("src/LoginView.swift"), Past(), (), False, 5, ("authentication",)),
        (change("src/tls_setup.go"), Past(), (), False, 5, ("cryptography or secrets",)),
        (change(".github/workflows/ci.yml"), Past(), (), False, 5, ("continuous integration",)),
        (change("uv.lock"), Past(), (), False, 5, ("dependencies",)),
        (change("CLAUDE.md"), Past(), (), False, 5, ("settings that tools obey",)),
        (change("deploy/Dockerfile"), Past(), (), False, 5, ("deployment",)),
        (change("src/author.py"), Past(), (), False, 0, ()),
        (change("docs/authentication.md", added=600), Past(), (), False, 1, ("600 lines changed", "prose")),
        (change("tests/test_app.py", added=60), Past(), (), False, 0, ("60 lines changed", "a test")),
    ],
)
def test_the_score_is_the_stated_table(  # noqa: PLR0917 - the columns of the table
    file: FileChange, past: Past, others: tuple[FileChange, ...], fix: bool, points: int, reasons: tuple[str, ...]
) -> None:
    """Each row of the table adds its points and its reason, and a score is never below 0."""
    assert risk_of(file, commit(file, *others, fix=fix), past) == (points, reasons)


def test_a_files_history_counts_its_commits_and_fixes() -> None:
    """Every commit that touched a path counts, and those that mend something count again."""
    log = [commit(change("a.py"), fix=True), commit(change("a.py"), change("b.py"))]
    assert past_of(log) == {"a.py": Past(2, 1), "b.py": Past(1, 0)}


def test_a_renamed_file_keeps_its_history() -> None:
    """The history of the old name counts for the new one."""
    moved = change("new.py", old_path="old.py", status="R")
    (diff,) = ranked([commit(moved)], {("r", "old.py"): Past(9, 9)})
    assert diff.risk.points == 5


def test_the_order_does_not_depend_on_the_order_of_commits() -> None:
    """Riskiest first; ties by size, then by name: the same for every order in which git may list them."""
    commits = [
        commit(change("b.py"), change("a.py"), name="c1"),
        commit(change("b.py"), name="c2"),
        commit(change("auth.py"), change("z.py", added=9), name="c3"),
    ]
    orders = {tuple((d.change.path, d.commit.id) for d in ranked(some, {})) for some in permutations(commits)}
    assert orders == {(("auth.py", "c3"), ("z.py", "c3"), ("a.py", "c1"), ("b.py", "c1"), ("b.py", "c2"))}


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (change("a.png", binary=True, added=0), "binary"),
        (change("node_modules/x/i.js"), "vendored"),
        (change("api_pb2.py"), "generated"),
        (change("poetry.lock"), "a lock file"),
        (change(status="D", added=0, removed=9), "deleted"),
        (change("b.py", old_path="a.py", status="R", added=0), "renamed only, or only its mode changed"),
        (change(added=MOST_LINES + 1), "too large: more than 8,000 lines changed"),
        (change(), None),
    ],
)
def test_rules_spare_the_model_what_it_cannot_judge(file: FileChange, reason: str | None) -> None:
    """Each spared diff carries the rule's reason and still has its score."""
    (diff,) = ranked([commit(file)], {})
    assert diff.spared == reason


def test_a_finding_in_a_sensitive_place_weighs_at_least_medium() -> None:
    """The rules' floor holds in sensitive places, and nowhere else."""
    assert floor_of(change("src/auth.py")) is Severity.MEDIUM
    assert floor_of(change("src/app.py")) is floor_of(change("tests/test_auth.py")) is Severity.INFO
