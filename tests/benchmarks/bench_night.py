"""What a night costs: seconds, peak memory, Dagster's own share, a second run, and set-up from a clean clone."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.standins.forge import ROOT, Forge, forge_in
from tests.standins.ollama import OllamaStandIn
from tests.standins.repositories import DAY, MONDAY, synthetic

_COMMITS = 1500
_NIGHT = "2026-03-01"
_ROUNDS = 3


class Cost(NamedTuple):
    """What one process cost: wall and CPU seconds, and the peak of its resident memory in MiB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run() -> str:
    """Return both tables as Markdown."""
    return _nights() + "\n" + _clean_clone()


def _nights() -> str:
    with tempfile.TemporaryDirectory() as folder, OllamaStandIn() as ollama:
        repository = Path(folder) / "repository"
        repo = synthetic(repository, commits=_COMMITS, until=MONDAY - DAY / 24)
        commits = repo.git("rev-list", "--count", "--all").decode().strip()
        dagster, plain, again = [], [], []
        for turn in range(_ROUNDS):  # side by side, in turns, so that a busy moment meets both
            with _forge(Path(folder) / f"dagster{turn}", repository, ollama.url) as forge:
                dagster.append(_cost(forge, "forge_assets.run"))
                asked = len(ollama.requests)
                again.append(_cost(forge, "forge_assets.run"))
                calls = sum(request.path == "/api/generate" for request in ollama.requests[asked:])
            with _forge(Path(folder) / f"plain{turn}", repository, ollama.url) as forge:
                plain.append(_cost(forge, "tests.benchmarks.plain_night"))
    rows = (
        ("first run, through Dagster", _middle(dagster), ""),
        ("the same functions called plainly", _middle(plain), ""),
        ("second run of the same night", _middle(again), f"{calls} model calls"),
    )
    base = _middle(plain)
    lines = [
        f"## One night: 9 assets on a repository of {commits} commits, a model stand-in answering at once",
        "",
        f"Median of {_ROUNDS} rounds, each a fresh process from start to exit, imports included.",
        "",
        "| | wall s | × plain | CPU s | peak MiB | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {name} | {c.wall_s:.1f} | {c.wall_s / base.wall_s:.2f} | {c.cpu_s:.1f} | {c.peak_mb:.0f} | {note} |"
        for name, c, note in rows
    ]
    return "\n".join(lines) + "\n"


def _forge(folder: Path, repository: Path, url: str):
    folder.mkdir()
    return forge_in(folder, repository, FORGE_MODELS_OLLAMA_URL=url)


def _cost(forge: Forge, module: str) -> Cost:
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", module, _NIGHT],
        env=forge.environ,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{module} ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is bytes on macOS, KiB on Linux
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 2**20)


def _middle(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def _clean_clone() -> str:
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "forge", Path(folder) / "home"
        home.mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        seconds = []
        for command in (["make", ".ready"], ["make", "night"]):
            began = time.monotonic()
            subprocess.run(command, cwd=clone, env=environ, check=True, capture_output=True)
            seconds.append(time.monotonic() - began)
        subprocess.run([".venv/bin/forge", "down"], cwd=clone, env=environ, check=True, capture_output=True)
    setup, night = seconds
    return "\n".join(
        (
            "## From a clean clone with an empty home to the briefing: `make night`",
            "",
            "| set-up s | night s | together s |",
            "|---:|---:|---:|",
            f"| {setup:.0f} | {night:.1f} | {setup + night:.0f} |",
            "",
        )
    )
