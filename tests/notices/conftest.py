"""Fixtures of the tests of notices."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.slack import SlackServer, slack_server

ROOT = Path(__file__).parents[2]


class Killer:
    """The process that forks and kills."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, how: str, home: Path, url: str, step: int) -> int:
        """Start a fork that dies at ``step`` and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{how} {home} {url} {step}\n")
        self._process.stdin.flush()
        return self._number()

    def ended(self) -> bool:
        """Wait for the fork; whether it was killed."""
        status = self._number()
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@pytest.fixture(scope="session")
def killer() -> Iterator[Killer]:
    """The process that forks and kills, loaded once."""
    command = [sys.executable, "-m", "tests.notices.killing"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def server() -> Iterator[SlackServer]:
    """A stand-in for Slack."""
    with slack_server() as running:
        yield running
