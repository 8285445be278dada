"""Reading starts nothing, whatever the repository asks for; each trap is shown to work first."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.git import GitFailed, Repository, watched
from forge_workers.windows import Window
from tests.git.reading import logged, settings
from tests.standins import traps
from tests.standins.repositories import DAY, MONDAY, Repo


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(traps.SPRINGS))
def test_each_trap_springs_under_plain_git(tmp_path: Path, name: str) -> None:
    """Control: the malicious repository really does start a program, one way each."""
    repo = traps.trapped(tmp_path / "r", tmp_path / "proof")
    if name == "external-diff":
        repo.git("config", "--unset", "diff.trap.command")
        repo.git("config", "--unset", "diff.other.textconv")
    for _ in range(2):
        try:
            traps.SPRINGS[name](repo)
        except AssertionError:
            continue  # git does not like what the trap answered
    assert name in traps.sprung(tmp_path / "proof")


def test_reading_a_malicious_repository_springs_no_trap(tmp_path: Path) -> None:
    """Every question leaves no proof behind, and the answers are right all the same."""
    repo = traps.trapped(tmp_path / "r", tmp_path / "proof")
    for proof in (tmp_path / "proof").iterdir():
        proof.unlink()  # of the making
    opened = Repository.open(repo.path)
    head = repo.head()
    with pytest.raises(GitFailed):
        opened.read(head, "lost.txt")  # a promised content is not fetched
    assert opened.read(head, "a.py") == b"3\n"
    assert "+3" in opened.diff(head, "a.py")
    assert opened.before(4e9) == head
    assert len(list(opened.log(Window(MONDAY - DAY, MONDAY + 1)))) == 2
    assert opened.remotes()
    assert opened.starts_at() is None
    assert watched(settings(tmp_path, repo.path))[1] == ()
    assert traps.sprung(tmp_path / "proof") == set()


def test_replaced_and_grafted_history_is_read_as_it_was_committed(tmp_path: Path) -> None:
    """Neither replace refs nor grafts change what is read. Control: plain git obeys the replacement."""
    repo = Repo(tmp_path / "r")
    first = repo.commit({"a": "1"}, "First", at=MONDAY)
    second = repo.commit({"a": "2"}, "Second", at=MONDAY + 1)
    repo.switch("aside", create=True)
    other = repo.commit({"a": "3"}, "Lie", at=MONDAY + 2)
    repo.switch("main")
    repo.git("branch", "-D", "aside")
    repo.git("replace", second, other)
    (repo.path / ".git" / "info" / "grafts").write_text(f"{second}\n")
    assert [(commit.subject, commit.parents) for commit in logged(repo)] == [("Second", (first,)), ("First", ())]
    assert b"Lie" in repo.git("log", "--format=%s")


def test_git_sees_nothing_of_the_callers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables by which a caller's git could be led elsewhere do not reach it."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"})
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_CONFIG"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "touch pwned")
    assert len(Repository.open(tmp_path / "r").tree(logged(repo)[0].id)) == 1
