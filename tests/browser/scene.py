"""A Forge with three nights behind it, its pages served by Dagster, and a browser to look at them.

Two of the nights failed in one step: something lay where the report of ``pr_digest`` should go. The newest has what
people and attackers write into commits. Pictures of every page are kept beside this file, in ``.screenshots``.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Dialog, Page, sync_playwright

from forge_workers.windows import window
from tests.standins.dagster import asked
from tests.standins.forge import Forge, forge_in
from tests.standins.repositories import HOUR, Repo, synthetic
from tests.test_ui import pages

#: Where the pictures of the last run are; not in the repository.
PICTURES = Path(__file__).parent / ".screenshots"
SIZES = {"laptop": (1280, 900), "phone": (390, 844)}
#: What an attacker writes into a commit's subject, each a link, a picture or a program wherever it is believed.
HOSTILE = (
    "Add ![x](http://127.0.0.1:9/x.png) <img src=x onerror=alert(1)> [go](javascript:alert(2)) "
    "http://evil.example/a www.evil.example me@evil.example"
)
SECRET = "AKIA" + "QYLPMN5HFIQR7B3D"
_SHELL = "import subprocess\n\n\ndef go(line):\n    subprocess.call(line, shell=True)\n"
_STATUSES = """
query($path: [String!]!) { assetNodeOrError(assetKey: {path: $path}) { ... on AssetNode {
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }
"""


@dataclass
class Scene:
    """What a scene is played with.

    Attributes:
        forge: The Forge.
        port: Where Dagster's pages are.
        page: The browser's page.
        failed: The two nights in which ``pr_digest`` failed.
        whole: The night that went well.
        shouted: What a page said through an alert: nothing, unless a program of the data's ran.
    """

    forge: Forge
    port: int
    page: Page
    failed: tuple[str, str]
    whole: str
    shouted: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Open a page of Dagster's, or a file."""
        url = path if path.startswith("file:") else f"http://127.0.0.1:{self.port}{path}"
        self.page.goto(url, wait_until="domcontentloaded")
        return self.page

    def picture(self, name: str) -> None:
        """Keep the page as it looks now: light and dark, as wide as a laptop and as a phone."""
        PICTURES.mkdir(exist_ok=True)
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            for size, (width, height) in SIZES.items():
                self.page.set_viewport_size({"width": width, "height": height})
                self.page.wait_for_timeout(250)
                self.page.screenshot(path=PICTURES / f"{name}-{theme}-{size}.png")
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": SIZES["laptop"][0], "height": SIZES["laptop"][1]})

    def asked(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask Dagster's GraphQL."""
        return asked(self.port, query, **variables)

    def statuses(self, asset: str) -> dict[str, str]:
        """Return the status of each night of ``asset`` that has one, by night."""
        ranges = self.asked(_STATUSES, path=[asset])["assetNodeOrError"]["assetPartitionStatuses"]["ranges"]
        return {
            night: one["status"]
            for one in ranges
            for night in (*self.failed, self.whole)
            if one["startKey"] <= night <= one["endKey"]
        }

    def mend(self) -> None:
        """Take away what lay in the way of the failed nights."""
        for night in self.failed:
            blocked(self.forge, night).unlink(missing_ok=True)


def blocked(forge: Forge, night: str) -> Path:
    """Return where the reports of ``pr_digest`` go."""
    return forge.home / "nights" / night / "pr_digest"


def chromium() -> str:
    """Return the system's Chromium; without one the test is skipped, and fails where everything must run."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing = "there is no Chromium: on Debian, apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextmanager
def played(folder: Path) -> Iterator[Scene]:
    """Make the nights, serve the pages, open the browser; end all of it."""
    browser_path = chromium()
    today = datetime.fromtimestamp(time.time(), UTC).date()
    first, second, whole = ((today - timedelta(days=n)).isoformat() for n in (12, 11, 10))
    repo = _repository(folder / "app", whole)
    with forge_in(folder, repo.path) as forge:
        for night in (first, second):
            blocked(forge, night).parent.mkdir(parents=True)
            blocked(forge, night).write_text("something in the way")
        ended = [forge.run("night", "--date", night).returncode for night in (first, second, whole)]
        assert ended == [1, 1, 0]
        with pages(forge) as (port, _), sync_playwright() as playwright:
            unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=browser_path, args=[*unboxed, "--disable-gpu"])
            try:
                width, height = SIZES["laptop"]
                page = browser.new_page(viewport={"width": width, "height": height})
                page.set_default_timeout(30_000)
                scene = Scene(forge, port, page, (first, second), whole)
                page.on("dialog", lambda dialog: _heard(dialog, scene))
                yield scene
            finally:
                browser.close()


def _heard(dialog: Dialog, scene: Scene) -> None:
    scene.shouted.append(dialog.message)
    dialog.dismiss()


def _repository(path: Path, night: str) -> Repo:
    ended = window(night, ZoneInfo("UTC")).end_at
    repo = synthetic(path, commits=90, until=ended - 3 * HOUR, days=5)
    repo.commit({"src/run.py": _SHELL}, HOSTILE, at=ended - 2 * HOUR)
    repo.commit({"src/b.py": "x = 1\n"}, f"Use {SECRET} in the test", at=ended - HOUR)
    return repo
