"""A year of nights: whether the grid, the index and Dagster's partition page still answer at once.

Belongs here: measuring them on a store and an event log of 365 nights. Does not belong here: making the store, which is
``tests/standins/many_nights.py``.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from playwright.sync_api import Page, sync_playwright

from forge_assets.instance import prepare
from forge_workers.briefing import index
from forge_workers.night import BRIEFING, STEPS
from forge_workers.store import NightStore
from tests.benchmarks.figures import reached, table
from tests.standins.dagster import code_server, web_server
from tests.standins.forge import forge_in
from tests.standins.many_nights import LAST, many_nights

_NIGHTS, _ROUNDS = 365, 3
_MOST_S = 2.0


def run() -> str:
    """Return the table as Markdown."""
    with tempfile.TemporaryDirectory() as folder, forge_in(Path(folder)) as forge:
        store = forge.home / "nights"
        keys = many_nights(store, _NIGHTS)
        newest = NightStore(store)
        pages = forge.home / "briefings"
        rows = {
            "`forge nights`, a fresh process": _middle(lambda: _grid(forge.run)),
            "the index made anew, nothing of it there yet": _once(lambda: index.refresh(pages, newest)),
            "the index made again after a night": _middle(lambda: index.refresh(pages, newest)),
        }
        with _Browser() as page:
            address = (pages / index.PAGE).as_uri()
            rows["the index opened in a browser"] = _middle(lambda: page.goto(address, wait_until="load"))
            rows |= _dagsters_pages(Path(folder), forge.environ, keys, page)
    lines = [
        f"## A year: {_NIGHTS} nights in the store",
        "",
        f"Medians of {_ROUNDS}; pages in headless Chromium until they show their content.",
        "",
        *table(("", "s"), [(name, f"{seconds:.2f}") for name, seconds in rows.items()]),
        "",
        *(reached(name, seconds, most=_MOST_S, unit=" s") for name, seconds in rows.items()),
    ]
    return "\n".join((*lines, ""))


def _grid(run: Callable[..., object]) -> None:
    done = run("nights", "--to", LAST)
    if getattr(done, "returncode", 1):
        raise RuntimeError("forge nights failed")


def _dagsters_pages(folder: Path, environ: dict[str, str], keys: tuple[str, ...], page: Page) -> dict[str, float]:
    """Materialise every step of every night in Dagster's event log and open the pages that show them."""
    environ = {**environ, "DAGSTER_HOME": str(folder / "forge" / "dagster"), "HOME": str(folder)}
    with forge_in(folder, **environ) as forge:
        prepare(forge.settings)
    with dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance:
        for asset in (*STEPS, BRIEFING):
            for key in keys:
                instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))
    with code_server(folder, environ) as workspace, web_server(folder, environ, workspace) as port:
        base = f"http://127.0.0.1:{port}"

        def partitions() -> None:
            page.goto(f"{base}/assets/commit_log?view=partitions", wait_until="commit")
            page.get_by_text(keys[-1]).first.wait_for()

        partitions()  # the first visit loads the page's own code
        return {"Dagster's partition page of one asset": _middle(partitions)}


class _Browser:
    """The system's Chromium, headless."""

    def __enter__(self) -> Page:
        """Open a blank page."""
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if found is None:
            raise RuntimeError("this benchmark needs Chromium: on Debian, apt-get install chromium")
        self._playwright = sync_playwright().start()
        unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._browser = self._playwright.chromium.launch(executable_path=found, args=unboxed)
        return self._browser.new_page()

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._browser.close()
        self._playwright.stop()


def _once(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _middle(act: Callable[[], object]) -> float:
    return statistics.median(_once(act) for _ in range(_ROUNDS))
