"""Reading a test repository as Forge does, and as plain git does."""

from __future__ import annotations

from pathlib import Path

from forge_workers.git import Commit, Repository
from forge_workers.settings import Settings
from forge_workers.windows import Window
from tests.standins.repositories import Repo

ALWAYS = Window(0, 4e9)


def logged(repo: Repo, window: Window = ALWAYS) -> list[Commit]:
    """Return the commits of ``repo`` in ``window``, as Forge reads them."""
    return list(Repository.open(repo.path).log(window))


def plainly(repo: Repo, window: Window) -> set[str]:
    """Return the ids of the commits in ``window``, by plain ``git log`` and nothing else."""
    lines = repo.git("log", "--branches", "--remotes", "--tags", "HEAD", "--format=%H %ct").decode().splitlines()
    rows = (line.split() for line in lines)
    return {commit for commit, at in rows if window.start_at <= int(at) < window.end_at}


def settings(tmp_path: Path, *repositories: Path | str) -> Settings:
    """Return settings that watch ``repositories``."""
    return Settings(home=tmp_path / "forge", repositories=tuple(map(str, repositories)), timezone="UTC")
