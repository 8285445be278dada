"""Versions: of every file the window touched, what it left behind, on each branch."""

from __future__ import annotations

from forge_workers.code.versions import versions
from forge_workers.git import Commit, FileChange


def commit(name: str, parents: str, *files: str, renamed: tuple[str, str] | None = None, status: str = "M") -> Commit:
    """Return a commit of one-letter name and parents."""
    changes = [FileChange.model_validate({"path": path, "status": status}) for path in files]
    if renamed:
        changes.append(FileChange(old_path=renamed[0], path=renamed[1], status="R"))
    return Commit(
        repository="r",
        id=name,
        parents=tuple(parents),
        author="a",
        authored_at=1.0,
        committed_at=float(ord(name)),
        subject="s",
        files=tuple(changes),
    )


def told(commits: list[Commit], tip: str | None) -> list[tuple[str, str, str]]:
    """Return commit, path and the name before the window."""
    return [(v.commit, v.path, v.base_path) for v in versions(commits, tip)]


def test_what_the_current_branch_holds_is_looked_at_as_of_its_tip() -> None:
    """However often a file was touched, its last state counts, a merged branch's too."""
    log = [commit("d", "cb"), commit("c", "a", "x"), commit("b", "a", "y"), commit("a", "0", "x", "y")]
    assert told(log, "d") == [("d", "x", "x"), ("d", "y", "y")]


def test_another_branch_is_looked_at_as_of_its_last_commit_for_each_file() -> None:
    """Only what no later commit of the same branch replaced."""
    log = [commit("c", "b", "x"), commit("b", "a", "x", "y"), commit("a", "0", "z")]
    assert told(log, "a") == [("a", "z", "z"), ("c", "x", "x"), ("b", "y", "y")]


def test_of_two_branches_each_keeps_its_own_state() -> None:
    """What one branch replaced still stands on the other."""
    log = [commit("c", "a", "x"), commit("b", "a", "y"), commit("a", "0", "x", "y")]
    assert told(log, None) == [("a", "x", "x"), ("c", "x", "x"), ("a", "y", "y"), ("b", "y", "y")]


def test_renames_lead_back_to_the_name_before_the_window() -> None:
    """Two renames in one night are followed in the order of the history, whatever order they are listed in."""
    log = [commit("a", "0", renamed=("one", "two")), commit("b", "a", renamed=("two", "three"))]
    assert told(log, "b") == [("b", "three", "one"), ("b", "two", "one")]


def test_a_file_that_another_branch_deleted_is_nothing_to_look_at() -> None:
    """Neither its last state nor the one before."""
    assert told([commit("b", "a", "x", status="D"), commit("a", "0", "x")], None) == []


def test_a_quiet_window_and_a_tip_before_it_are_fine() -> None:
    """No commits, no versions; commits of other branches are still seen when the tip is older."""
    assert told([], "t") == []
    assert told([commit("a", "0", "x")], "t") == [("a", "x", "x")]
