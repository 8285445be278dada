"""Which repositories are watched, and what is said of the others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from forge_workers.git import Repository, RepositoryUnavailable, watched
from tests.git.reading import ALWAYS, settings
from tests.standins import repositories
from tests.standins.repositories import MONDAY, Repo


def test_each_kind_of_bad_place_is_a_gap_that_names_it(tmp_path: Path) -> None:
    """Missing, a file, no repository, bare, empty and unmatched are told; the good one is read."""
    good = Repo(tmp_path / "good")
    good.commit({"a": "1"})
    (tmp_path / "file").touch()
    (tmp_path / "good" / "sub").mkdir()
    repositories.empty(tmp_path / "empty")
    repositories.bare(tmp_path / "bare")
    names = ("missing", "file", "good/sub", "empty", "bare", "none-*")
    found, gaps = watched(settings(tmp_path, *(tmp_path / name for name in names), tmp_path / "good"))
    assert [repository.name for repository in found] == ["good"]
    assert [(Path(gap.what).name, gap.why.split(":")[0]) for gap in gaps] == [
        ("missing", "it does not exist"),
        ("file", "it is a file, not a directory"),
        ("sub", "it is not a git repository"),
        ("empty", "it has no commits yet"),
        ("bare", "it is bare, a git directory without a work tree"),
        ("none-*", "nothing matches it that is a git repository"),
    ]


def test_shallow_and_locked_ones_are_read_and_the_gap_says_what_is_missing(tmp_path: Path) -> None:
    """They are read as far as they go."""
    repositories.shallow(tmp_path / "shallow")
    repositories.locked(tmp_path / "locked")
    found, gaps = watched(settings(tmp_path, tmp_path / "shallow", tmp_path / "locked"))
    assert [len(list(repository.log(ALWAYS))) for repository in found] == [2, 1]
    assert [(gap.what, gap.why) for gap in gaps] == [
        ("shallow", "it is a shallow clone: history before 2026-03-01 is missing"),
        ("locked", "another git works in it or died there (index.lock): read as it stands"),
    ]


def test_patterns_are_expanded_in_order_and_nothing_is_watched_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A glob passes over what is no repository; links, work trees and ``~`` lead to the same repository once."""
    for name in ("code/b", "code/a", "other/a"):
        Repo(tmp_path / name).commit({"a": "1"})
    (tmp_path / "code" / "notes").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "code" / "a")
    Repo(tmp_path / "code/b").git("worktree", "add", "--detach", str(tmp_path / "tree"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found, gaps = watched(settings(tmp_path, "~/code/*", tmp_path / "link", tmp_path / "tree", "~/other/a"))
    assert [repository.name for repository in found] == ["code/a", "b", "other/a"]
    assert gaps == ()


def test_a_linked_work_tree_is_read_like_any_other(tmp_path: Path) -> None:
    """Its ``.git`` is a file that names the git directory, and its HEAD is its own."""
    main = Repo(tmp_path / "main")
    main.commit({"a": "1"})
    main.git("worktree", "add", "-b", "topic", str(tmp_path / "tree"))
    made = Repo(tmp_path / "tree").commit({"b": "1"}, "Aside", at=MONDAY + 1)
    opened = Repository.open(tmp_path / "tree")
    assert opened.before(4e9) == made
    assert len(list(opened.log(ALWAYS))) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_repository_of_somebody_else_is_not_read(tmp_path: Path) -> None:
    """Git's own rule on ownership holds: its settings could be theirs."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"})
    for path in (repo.path, repo.path / ".git"):
        os.chown(path, 65_534, 65_534)
    with pytest.raises(RepositoryUnavailable, match="belongs to another user"):
        Repository.open(repo.path)


def test_a_broken_configuration_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    """What git cannot parse is told in one line."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"})
    (repo.path / ".git" / "config").write_text("[core\n")
    with pytest.raises(RepositoryUnavailable, match="it cannot be read: git rev-parse failed: "):
        Repository.open(repo.path)


def test_remotes_are_listed_and_none_is_fine(tmp_path: Path) -> None:
    """Addresses come from the repository's own configuration."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"})
    assert Repository.open(repo.path).remotes() == ()
    repo.git("remote", "add", "origin", "git@github.com:acme/app.git")
    assert Repository.open(repo.path).remotes() == ("git@github.com:acme/app.git",)


def test_plain_git_is_what_the_tests_compare_with() -> None:
    """The git at hand is new enough for what is asked of it."""
    version = subprocess.run(["git", "version"], capture_output=True, check=True).stdout.split()[2].split(b".")
    assert (int(version[0]), int(version[1])) >= (2, 37)
