"""Which steps of a night are being done now, by whatever process: one small note per step.

Belongs here: writing the note when a step begins, and judging it. It is never removed: it counts while its process
lives and nothing has come of the step since. Does not belong here: what came of a step, which the store keeps.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import psutil

_NOTE = "at_work.json"


def begin(folder: Path) -> None:
    """Note that this process begins the step whose reports ``folder`` keeps; no step fails because it cannot.

    Durable is not wanted: after a crash of the machine nobody works on it.
    """
    note = {"pid": os.getpid(), "born_at": psutil.Process().create_time()}
    beside = folder / f".{_NOTE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.write_text(json.dumps(note), encoding="utf-8")
        beside.chmod(0o600)
        beside.replace(folder / _NOTE)


def since(folder: Path, ended: tuple[Path, ...]) -> float | None:
    """Return when the step began that is being done now, UTC unix seconds, or None when none is.

    Args:
        folder: Where the step's reports are kept.
        ended: Files that are written when the step ends; one that is younger than the note ends it.
    """
    path = folder / _NOTE
    try:
        began_at = path.stat().st_mtime
        note = json.loads(path.read_bytes())
        pid, born_at = int(note["pid"]), float(note["born_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if any(_not_before(file, began_at) for file in ended) or not _lives(pid, born_at):
        return None
    return began_at


def _not_before(file: Path, began_at: float) -> bool:
    """Whether ``file`` was written at or after ``began_at``."""
    with contextlib.suppress(OSError):
        return file.stat().st_mtime >= began_at
    return False


def _lives(pid: int, born_at: float) -> bool:
    """Whether the process of the note lives, and is not another that has its number now."""
    try:
        return abs(psutil.Process(pid).create_time() - born_at) < 1.0
    except psutil.Error:
        return False
