"""What is read from a repository is what was committed, at the commit that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.errors import BadArgs
from forge_workers.git import Repository
from tests.git.reading import logged
from tests.standins import repositories
from tests.standins.repositories import HOSTILE_NAMES, HOUR, MONDAY, Repo


def test_content_is_the_committed_one_never_the_work_trees(tmp_path: Path) -> None:
    """Edited, deleted and untracked files of the work tree change nothing that is read."""
    repo = Repo(tmp_path / "r")
    commit = repo.commit({"a.py": "committed\n", "b.py": "committed\n"})
    repo.checkout()
    (repo.path / "a.py").write_text("edited\n")
    (repo.path / "b.py").unlink()
    (repo.path / "c.py").write_text("untracked\n")
    opened = Repository.open(repo.path)
    assert dict(opened.read_many(commit, ("a.py", "b.py", "c.py"))) == {
        "a.py": b"committed\n",
        "b.py": b"committed\n",
        "c.py": None,
    }


def test_links_and_submodules_are_not_files(tmp_path: Path) -> None:
    """A link out of the repository and another repository inside it are neither listed nor read."""
    repo = Repo(tmp_path / "r")
    first = repo.commit({"a.py": "1\n"})
    target = repo.git("hash-object", "-w", "--stdin", stdin=b"/etc/passwd").decode().strip()
    rows = f"120000 {target}\tlink\0160000 {first}\tmodule\0"
    repo.git("update-index", "-z", "--index-info", stdin=rows.encode())
    commit = repo.commit({})
    opened = Repository.open(repo.path)
    assert set(opened.tree(commit)) == {"a.py"}
    assert opened.read(commit, "link") is None
    assert opened.read(commit, "module/a.py") is None
    assert dict(opened.line_counts(commit)) == {"a.py": 1}


def test_a_file_that_is_too_large_is_passed_over(tmp_path: Path) -> None:
    """Above 2 MB there is no content, and the next file is still read."""
    repo = Repo(tmp_path / "r")
    commit = repo.commit({"big.bin": b"x" * 2_000_001, "fits.bin": b"x" * 2_000_000, "z": "1"})
    opened = Repository.open(repo.path)
    read = dict(opened.read_many(commit, ("big.bin", "fits.bin", "z")))
    assert (read["big.bin"], len(read["fits.bin"] or b""), read["z"]) == (None, 2_000_000, b"1")


def test_a_diff_is_against_the_first_parent_and_shows_renames(tmp_path: Path) -> None:
    """The first commit, a rename and a merge each have their diff; a huge one is cut and says so."""
    repo = Repo(tmp_path / "r")
    text = "".join(f"line {n}\n" for n in range(20))
    first = repo.commit({"a.py": text})
    renamed = repo.commit({"a.py": None, "b.py": text + "more\n"})
    huge = repo.commit({"huge.txt": ("y" * 79 + "\n") * 60_000})
    opened = Repository.open(repo.path)
    assert opened.diff(first, "a.py").count("\n+line") == 20
    diff = opened.diff(renamed, "b.py", "a.py")
    assert "rename from a.py" in diff
    assert diff.count("\n+") == 2  # the header's and the line's
    assert opened.diff(huge, "huge.txt").endswith("\n\\ Diff cut after 4 MB\n")
    assert opened.diff(first, "none.py") == ""


def test_lines_are_those_of_numstat_against_the_empty_tree(tmp_path: Path) -> None:
    """Every text file counts; binaries have no lines."""
    repo = repositories.hostile(tmp_path / "h")
    counts = Repository.open(repo.path).line_counts(repo.head())
    assert sum(counts.values()) == len(HOSTILE_NAMES) + 1 + 100_000
    assert "logo.png" not in counts


def test_attributes_of_the_work_tree_bend_nothing(tmp_path: Path) -> None:
    """A ``.gitattributes`` that calls code binary hides no line. Control: plain git believes it."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "1\n2\n", ".gitattributes": "*.py -diff\n"})
    repo.checkout()
    assert logged(repo)[0].added == 3
    assert b"-\t-\ta.py" in repo.git("log", "--numstat", "--format=")


def test_before_follows_the_branch_and_not_what_was_merged_later(tmp_path: Path) -> None:
    """At midnight the branch stood where it stood, though an earlier commit came in by a later merge."""
    repo = Repo(tmp_path / "r")
    base = repo.commit({"a": "1"}, at=MONDAY - 2 * HOUR)
    repo.switch("topic", create=True)
    topic = repo.commit({"b": "1"}, at=MONDAY - HOUR)
    repo.switch("main")
    merge = repo.merge("topic", at=MONDAY + HOUR)
    opened = Repository.open(repo.path)
    assert [opened.before(MONDAY + x) for x in (-2 * HOUR, 0, HOUR, HOUR + 1)] == [None, base, base, merge]
    control = repo.git("rev-list", "-1", f"--until=@{int(MONDAY) - 1} +0000", "HEAD").decode().strip()
    assert control == topic


@pytest.mark.parametrize("commit", ["--output=/tmp/x", "HEAD", "", "abc123\n", "../../etc"])
def test_only_a_commit_id_is_taken_for_one(tmp_path: Path, commit: str) -> None:
    """What could be an option or a name is refused before git sees it."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"})
    with pytest.raises(BadArgs):
        Repository.open(repo.path).tree(commit)
