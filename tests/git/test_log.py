"""The log: every commit of a night, and every byte of what it did."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.git import GitFailed, Repository
from forge_workers.git.log import is_fix, parse
from forge_workers.windows import Window
from tests.git.reading import logged, plainly
from tests.standins import repositories
from tests.standins.repositories import DAY, HOSTILE_NAMES, HOUR, MONDAY, Repo


@pytest.mark.slow
def test_every_window_holds_what_plain_git_log_holds(tmp_path: Path) -> None:
    """Nights of a history with merges and two branches have the commits that plain git gives them, each once."""
    repo = repositories.synthetic(tmp_path / "s", commits=400, days=30)
    nights = [Window(MONDAY - n * DAY, MONDAY - (n - 1) * DAY) for n in range(-1, 32)]
    found = [[commit.id for commit in logged(repo, night)] for night in nights]
    assert [set(ids) for ids in found] == [plainly(repo, night) for night in nights]
    assert sum(map(len, found)) == 400


def test_branches_remote_branches_tags_and_a_detached_head_are_all_read(tmp_path: Path) -> None:
    """A commit counts wherever it is reachable from, and once."""
    repo = Repo(tmp_path / "r")
    base = repo.commit({"a": "1"})
    for number, ref in enumerate(("refs/heads/b", "refs/remotes/origin/c", "refs/tags/d")):
        repo.git("update-ref", ref, repo.commit({"a": str(number)}, ref))
        repo.git("update-ref", "refs/heads/main", base)
    repo.git("update-ref", "--no-deref", "HEAD", base)
    repo.git("update-ref", "refs/stash", repo.git("commit-tree", f"{base}^{{tree}}", "-m", "stash").decode().strip())
    assert sorted(commit.subject for commit in logged(repo)) == [
        "Change something",
        "refs/heads/b",
        "refs/remotes/origin/c",
        "refs/tags/d",
    ]


def test_a_window_takes_its_first_second_and_leaves_its_last(tmp_path: Path) -> None:
    """Windows are half-open, so neighbouring nights share no commit and lose none."""
    repo = Repo(tmp_path / "r")
    for second in (-1, 0, int(DAY) - 1, int(DAY)):
        repo.commit({"a": str(second)}, str(second), at=MONDAY + second)
    assert {commit.subject for commit in logged(repo, Window(MONDAY, MONDAY + DAY))} == {"0", str(int(DAY) - 1)}
    assert logged(repo, Window(MONDAY, MONDAY)) == []


def test_a_clock_that_was_wrong_hides_no_commit(tmp_path: Path) -> None:
    """A commit dated years back does not end the search. Control: plain ``--since`` stops there."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"}, "tonight", at=MONDAY + HOUR)
    for number in range(10):
        repo.commit({"a": f"old {number}"}, "wrong clock", at=MONDAY - 3000 * DAY)
    repo.commit({"a": "2"}, "tonight too", at=MONDAY + 2 * HOUR)
    night = Window(MONDAY, MONDAY + DAY)
    assert [commit.subject for commit in logged(repo, night)] == ["tonight too", "tonight"]
    control = repo.git("log", f"--since=@{int(MONDAY)} +0000", "--format=%s").decode().splitlines()
    assert control == ["tonight too"]


def test_nights_before_the_first_commit_and_in_the_future_are_empty(tmp_path: Path) -> None:
    """No commit is an answer, not an error."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"}, at=MONDAY)
    assert logged(repo, Window(MONDAY - DAY, MONDAY)) == []
    assert logged(repo, Window(MONDAY + 9000 * DAY, MONDAY + 9001 * DAY)) == []


def test_renames_binaries_deletions_and_modes_are_told_apart(tmp_path: Path) -> None:
    """Each change has git's own letter, and a binary file has no lines."""
    repo = Repo(tmp_path / "r")
    text = "".join(f"line {n}\n" for n in range(20))
    repo.commit({"old.py": text, "gone.py": "gone\n", "pic.png": b"\0\1"})
    repo.commit({"old.py": None, "new.py": text + "more\n", "gone.py": None, "pic.png": b"\0\2", "add.rs": "1\n2\n"})
    changes = {file.path: file for file in logged(repo)[0].files}
    assert {path: file.status for path, file in changes.items()} == {
        "add.rs": "A",
        "gone.py": "D",
        "new.py": "R",
        "pic.png": "M",
    }
    assert changes["new.py"].old_path == "old.py"
    assert (changes["new.py"].added, changes["new.py"].removed) == (1, 0)
    assert (changes["gone.py"].added, changes["gone.py"].removed) == (0, 1)
    assert changes["pic.png"].binary
    assert [changes[path].language for path in ("add.rs", "new.py", "pic.png")] == ["Rust", "Python", None]


@pytest.mark.slow
def test_numbers_are_those_of_plain_numstat(tmp_path: Path) -> None:
    """Lines added and removed agree with plain ``git log --numstat`` over a whole history."""
    repo = repositories.synthetic(tmp_path / "s", commits=200)
    rows = [
        line.split("\t") for line in repo.git("log", "--branches", "--numstat", "-M", "--format=").decode().split("\n")
    ]
    counts = [(int(row[0]), int(row[1])) for row in rows if len(row) == 3]
    commits = logged(repo)
    assert sum(commit.added for commit in commits) == sum(added for added, _ in counts)
    assert sum(commit.removed for commit in commits) == sum(removed for _, removed in counts)
    assert sum(len(commit.files) for commit in commits) == len(counts)


def test_a_merge_has_parents_and_no_files(tmp_path: Path) -> None:
    """What a merge brings in is counted at its own commits only."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1\n"})
    repo.switch("topic", create=True)
    repo.commit({"b": "1\n"}, "topic", at=MONDAY + 1)
    repo.switch("main")
    repo.merge("topic", at=MONDAY + 2)
    merge, topic, _ = logged(repo)
    assert (merge.merge, len(merge.parents), merge.files) == (True, 2, ())
    assert not topic.merge


def test_hostile_names_come_through_byte_for_byte(tmp_path: Path) -> None:
    """Names with newlines, tabs, quotes, options and other encodings are listed and read; each has its own diff."""
    repo = repositories.hostile(tmp_path / "h")
    first = logged(repo)[-1]
    expected = {name.decode("utf-8", "backslashreplace") for name in HOSTILE_NAMES}
    assert {file.path for file in first.files} == expected
    opened = Repository.open(repo.path)
    assert dict(opened.read_many(first.id, expected)) == dict.fromkeys(expected, b"value = 1\n")
    assert all(opened.diff(first.id, path).count("+value = 1") == 1 for path in expected)
    assert not list(tmp_path.rglob("pwned*"))


def test_messages_of_any_size_and_encoding_become_short_text(tmp_path: Path) -> None:
    """1 MB on one line is cut to 300 characters; a declared encoding is decoded; wrong bytes are replaced."""
    commits = logged(repositories.hostile(tmp_path / "h"))
    assert [len(commit.subject) for commit in commits if commit.subject.startswith("x")] == [300]
    subjects = [commit.subject for commit in commits]
    assert "caf\u00e9 in Latin-1" in subjects
    assert "caf\ufffd \ufffd\ufffd \x1b[31mred" in subjects
    assert commits[0].added == 100_000


def test_a_tab_of_numbers_in_a_message_is_still_a_message(tmp_path: Path) -> None:
    """A message that looks like git's own output adds no file."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1\n"}, "1\t1\tfake.py\n\n:100644 100644 0 0 M\n\x01" + "0" * 40)
    (commit,) = logged(repo)
    assert [file.path for file in commit.files] == ["a"]


@given(
    st.lists(st.sampled_from([b"", b"\x01a", b":1 2 3 M", b"\n:1 2 3 R9", b"1\t2\tp", b"1\t2\t", b"p", b"\xff", b"9"]))
)
def test_the_parser_refuses_what_git_never_writes(tokens: list[bytes]) -> None:
    """Any tokens give commits or one named error."""
    try:
        list(parse(iter(tokens), "r"))
    except GitFailed as error:
        assert "format" in str(error)  # noqa: PT017  # either end is fine


@pytest.mark.parametrize(
    ("subject", "fix"),
    [
        ("Fix the parser", True),
        ("fix(api): wrong sum", True),
        ("Hotfix", True),
        ("Resolve bug in lexer", True),
        ("Fixes #12", True),
        ("Guard against a regression", True),
        ("Add test fixture", False),
        ("Use a prefix", False),
        ("Debug output", False),
        ("", False),
    ],
)
def test_a_fix_says_so_in_whole_words(subject: str, fix: bool) -> None:
    """The documented words decide, never parts of others."""
    assert is_fix(subject) is fix
