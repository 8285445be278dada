"""What whole nights are run against: a day to digest, a model that answers, and a count made without Forge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.standins.forge import Forge, forge_in
from tests.standins.ollama import Body, OllamaStandIn
from tests.standins.repositories import Repo

#: The day before ``repositories.MONDAY``.
SUNDAY = "2026-03-01"


def answered(body: Body) -> str:
    """Answer any schema of the night with nothing found, and any other question with words."""
    nothing = {"findings": [], "explanation": "All is well.", "level": "GREEN"}
    return json.dumps(nothing) if body.get("format") else "Fine."


@contextmanager
def with_model(folder: Path, repo: Repo, **environ: str) -> Iterator[tuple[Forge, OllamaStandIn]]:
    """Give a Forge whose model server answers, and the server."""
    with (
        OllamaStandIn(answer=answered) as ollama,
        forge_in(folder, repo.path, FORGE_MODELS_OLLAMA_URL=ollama.url, **environ) as forge,
    ):
        yield forge, ollama


def git_log_count(repository: Path, night: str) -> int:
    """Count the day's commits (in UTC) as a person would, with git log alone."""
    asked = ["git", "log", "--branches", "--remotes", "--tags", "HEAD", "--format=%cd", "--date=format-local:%Y-%m-%d"]
    environ = {"TZ": "UTC", "PATH": "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin"}
    out = subprocess.run(asked, cwd=repository, env=environ, capture_output=True, text=True, check=True)
    return out.stdout.split().count(night)
