"""The processes of one home, as the kernel knows them.

Belongs here: finding them. Does not belong here: what they say of themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

#: What the command line of each kind of process holds.
KINDS = (
    "forge_workers.fleet.supervising",
    "forge_workers.jobs.daemon",
    "forge_workers.fleet.redis",
    "valkey-server",
    "forge_assets",
)


def of_home(home: Path) -> list[psutil.Process]:
    """Return every process that was started for ``home`` and has not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            said = " ".join(process.cmdline())
            if process.status() == psutil.STATUS_ZOMBIE or not any(kind in said for kind in KINDS):
                continue
            if process.environ().get("FORGE_HOME") == str(home) or str(home) in said:
                found.append(process)
        except psutil.Error:
            continue
    return found


def daemons(home: Path) -> dict[str, int]:
    """Return the process of each worker; a worker with two processes fails the test."""
    found: dict[str, int] = {}
    for process in of_home(home):
        try:
            words = process.cmdline()
        except psutil.NoSuchProcess:  # it left while we looked
            continue
        if "forge_workers.jobs.daemon" in words:
            worker = words[words.index("forge_workers.jobs.daemon") + 1]
            assert worker not in found, f"{worker} runs twice: {found[worker]} and {process.pid}"
            found[worker] = process.pid
    return found


def until(what: str, within_s: float, look: Callable[[], object]) -> None:
    """Wait until ``look`` returns something true."""
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.1)
