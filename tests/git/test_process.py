"""One git process: limited, explained when it fails, never left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from forge_workers.git import GitFailed, Repository
from forge_workers.git.hardening import Place
from forge_workers.git.process import answer, started
from tests.git.reading import ALWAYS, logged
from tests.standins import repositories
from tests.standins.repositories import MONDAY, Repo


def test_a_command_that_takes_too_long_is_killed_and_named(tmp_path: Path) -> None:
    """The error says which command took longer than what."""
    repo = Repo(tmp_path / "r")
    place = Place(repo.path / ".git", repo.path / ".git")
    with (
        pytest.raises(GitFailed, match=r"git cat-file took longer than 0\.2 s"),
        started(place, ("cat-file", "--batch"), stdin=subprocess.PIPE, timeout_s=0.2) as running,
    ):
        running.out.read()


def test_an_answer_beyond_its_limit_is_refused_or_cut(tmp_path: Path) -> None:
    """Memory is bounded: too much is an error, or the beginning where that was asked for."""
    repo = repositories.hostile(tmp_path / "h")
    place = Place(repo.path / ".git", repo.path / ".git")
    with pytest.raises(GitFailed, match="more than 0 MB"):
        answer(place, ("show", "HEAD"), most_bytes=100)
    assert answer(place, ("show", "HEAD"), most_bytes=100, cut=True).startswith(b"commit ")


def test_a_reader_that_stops_early_leaves_no_process(tmp_path: Path) -> None:
    """Closing the iteration ends git."""
    repo = repositories.hostile(tmp_path / "h")
    commits = Repository.open(repo.path).log(ALWAYS)
    next(commits)
    commits.close()
    assert [child for child in psutil.Process().children() if child.name() == "git"] == []


def test_a_damaged_history_is_one_plain_sentence(tmp_path: Path) -> None:
    """A missing commit ends the reading with git's own reason on one line; what came before is kept."""
    repo = Repo(tmp_path / "r")
    first = repo.commit({"a": "1"}, "First", at=MONDAY)
    repo.commit({"a": "2"}, "Second", at=MONDAY + 1)
    (repo.path / ".git" / "objects" / first[:2] / first[2:]).unlink()
    with pytest.raises(GitFailed, match="git log failed: ") as failure:
        logged(repo)
    assert "\n" not in str(failure.value)
