"""One night for the code desk: a real commit log over real repositories, and the tools of a step."""

from __future__ import annotations

from pathlib import Path

from forge_workers.code.commits import commit_log
from forge_workers.models.gateway import Gateway, open_gateway
from forge_workers.report import Report
from forge_workers.settings import Settings
from forge_workers.settings_sections import Models
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window
from tests.standins.repositories import DAY, MONDAY, Repo

NIGHT = "2026-03-02"
WINDOW = Window(MONDAY, MONDAY + DAY)
#: Nobody listens at the discard port.
NOBODY = Models(ollama_url="http://127.0.0.1:9", timeout_s=2.0, load_timeout_s=2.0)


def tools_for(home: Path, *repos: Repo | Path, models: Models = NOBODY, gateway: Gateway | None = None) -> Tools:
    """Return the tools of a step that watches ``repos``."""
    paths = tuple(str(repo.path if isinstance(repo, Repo) else repo) for repo in repos)
    settings = Settings(home=home, repositories=paths, timezone="UTC", models=models)
    chosen = gateway or open_gateway(settings, lease=None)
    return Tools(settings=settings, models=chosen, history=NightStore(home / "nights"), now=lambda: MONDAY + DAY)


def request_for(tools: Tools, night: str = NIGHT, window: Window = WINDOW) -> Request:
    """Return the request of ``night`` with its commit log."""
    bare = Request(night=night, window=window)
    return Request(night=night, window=window, upstream={"commit_log": commit_log(bare, tools)})


def stored(tools: Tools, report: Report) -> str:
    """Save ``report`` and return everything that was written for it, as one text."""
    folder = tools.history.save(report)
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in sorted(folder.rglob("*")))
