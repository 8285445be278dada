"""Watching a night: what was told becomes one line per step."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from forge_workers.progress import Progress
from forge_workers.report import Outcome
from forge_workers.settings import environment
from forge_workers.watch import Watched, board, log_path, run
from tests.standins.forge import NOBODY
from tests.standins.repositories import Repo


def told(*lines: Progress) -> Watched:
    """Return what a watcher knows after ``lines``."""
    watched = Watched()
    for line in lines:
        watched.hear(line)
    return watched


def drawn(watched: Watched, now: float = 100.0, width: int = 60) -> list[str]:
    """Return the board as lines of plain text."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as shown:
        console.print(board(watched, now))
    return shown.get().splitlines()


STEPS = ("commit_log", "code_review", "pr_digest", "morning_briefing")
PLAN = Progress(kind="plan", at=0, assets=STEPS)


def test_each_step_is_one_line_with_its_state() -> None:
    """Done with its seconds, at work since when, done before a stop, and still to come."""
    ended = Progress(kind="ended", at=3, asset="commit_log", outcome=Outcome.RAN, seconds=2.34, text="15 commits")
    started = Progress(kind="started", at=97.0, asset="code_review")

    kept = Progress(kind="ended", at=0, asset="pr_digest", outcome=Outcome.SKIPPED, text="done before the stop")

    lines = drawn(told(PLAN, kept, ended, started))

    assert lines[0].split() == ["✓", "commit_log", "2.3", "s", "15", "commits"]
    assert lines[1].split()[1:] == ["code_review", "3.0", "s", "at", "work"]
    assert lines[2].split(maxsplit=4) == ["–", "pr_digest", "0.0", "s", "done before the stop"]
    assert lines[3].split() == ["·", "morning_briefing"]


def test_a_long_or_hostile_text_stays_on_its_line() -> None:
    """Square brackets are no markup, and what does not fit is cut."""
    ended = Progress(kind="ended", at=3, asset="commit_log", outcome=Outcome.FAILED, text="[red]x[/red] " * 40)

    lines = drawn(told(PLAN, ended))

    assert len(lines) == 4
    assert "[red]x[/red]" in lines[0]
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.slow
def test_a_long_log_is_put_aside_before_a_night(tmp_path: Path) -> None:
    """The log of the nights never grows beyond two files of its size."""
    Repo(tmp_path / "app").commit({"a.py": "1\n"})
    log = log_path(tmp_path / "home")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 5_000_001)
    environ = environment(
        FORGE_HOME=str(tmp_path / "home"), FORGE_REPOSITORIES=str(tmp_path / "app"), FORGE_MODELS_OLLAMA_URL=NOBODY
    )

    code, watched = run("not a night", Console(quiet=True), home=tmp_path / "home", environ=environ)

    assert code == 2
    assert watched.last is not None
    assert watched.last.kind == "refused"
    assert log.with_suffix(".log.1").stat().st_size == 5_000_001
    assert log.stat().st_size < 100_000
