"""Forge as a user starts it: real processes, a home of its own, nothing taken over from whoever runs the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forge_workers import redis_server
from forge_workers.night import BRIEFING
from forge_workers.progress import Progress
from forge_workers.report import Report
from forge_workers.settings import Settings, load
from forge_workers.store import NightStore

ROOT = Path(__file__).parents[2]
#: Nothing listens here: port 9 is the discard service, which no machine runs any more.
NOBODY = "http://127.0.0.1:9"


class Forge:
    """One home and the commands typed in it."""

    def __init__(self, home: Path, *repositories: Path, **environ: str) -> None:
        self.home = home
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "FORGE_HOME": str(home),
            "FORGE_REPOSITORIES": os.pathsep.join(str(path) for path in repositories),
            "FORGE_TIMEZONE": "UTC",
            "FORGE_MODELS_OLLAMA_URL": NOBODY,
            "COLUMNS": "120",
            **environ,
        }
        if not repositories:
            del self.environ["FORGE_REPOSITORIES"]

    @property
    def settings(self) -> Settings:
        """The settings its commands run with."""
        return load(self.environ, cwd=ROOT)

    def run(self, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Type ``forge`` with ``arguments`` and wait."""
        return subprocess.run(
            [sys.executable, "-m", "forge_workers", *arguments],
            env=self.environ,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Type ``forge`` with ``arguments`` and go on."""
        command = [sys.executable, "-m", "forge_workers", *arguments]
        return subprocess.Popen(
            command, env=self.environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def start_night(self, night: str) -> subprocess.Popen[str]:
        """Start only the process that runs the night; its progress lines are on its standard output."""
        with (self.home.parent / "night.err").open("a") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "forge_assets.run", night],
                env=self.environ,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def report(self, asset: str, night: str) -> Report:
        """Return a stored report."""
        report = NightStore(self.home / "nights").load(asset, night)
        assert report is not None, f"{asset} has no report for {night}"
        return report

    def briefing(self, night: str) -> str:
        """Return the stored briefing as Markdown."""
        return self.report(BRIEFING, night).markdown


def told(night: subprocess.Popen[str]) -> Iterator[Progress]:
    """Yield what a night's process tells, until it ends."""
    assert night.stdout is not None
    for line in night.stdout:
        yield Progress.model_validate_json(line)


@contextmanager
def forge_in(folder: Path, *repositories: Path, **environ: str) -> Iterator[Forge]:
    """Give a Forge with its home in ``folder`` and stop its Redis at the end."""
    forge = Forge(folder / "forge", *repositories, **environ)
    try:
        yield forge
    finally:
        with contextlib.suppress(OSError):
            redis_server.stop(forge.home)
