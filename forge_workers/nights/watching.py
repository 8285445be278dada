"""Starting the process that talks to Dagster about a backfill, and showing what it tells.

Belongs here: the child process and its lines. Does not belong here: what is run (``repair.py``), or Dagster.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.status import Status

from forge_workers.nights import drawing
from forge_workers.nights.repair import Order, Told
from forge_workers.plural import count


def log_path(home: Path) -> Path:
    """Return where the process's own output goes."""
    return home / "logs" / "backfill.log"


def run(order: Order, console: Console, *, home: Path, environ: Mapping[str, str]) -> tuple[int, Told | None]:
    """Have ``order`` done, show what is told, and return the exit code with the last thing told.

    Raises:
        KeyboardInterrupt: Somebody pressed Ctrl-C; what Dagster was asked for goes on.
    """
    path = log_path(home)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "forge_assets.backfill"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(environ),
            start_new_session=True,
        )
    try:
        if child.stdin is not None:
            with child.stdin as pipe:
                pipe.write(order.model_dump_json().encode())
        last = _follow(child, console)
    except BrokenPipeError:  # it ended before it read what to do
        last = None
    finally:
        if child.poll() is None:
            child.terminate()
        code = child.wait()
    return code, last


def _follow(child: subprocess.Popen[bytes], console: Console) -> Told | None:
    """Show each line as it comes, on a terminal the progress in one line that changes; return the last."""
    last = None
    if child.stdout is None:
        return last
    with console.status("asking Dagster") as status:
        for line in child.stdout:
            try:
                last = Told.model_validate_json(line)
            except ValidationError:
                continue  # no line of ours: a library printed before the process took its output over
            _show(last, console, status)
    return last


def _show(told: Told, console: Console, status: Status) -> None:
    if told.kind == "plan":
        console.print(drawing.plan(told.repairs))
    elif told.kind in {"left_out", "asked"}:
        console.print(told.text, markup=False, soft_wrap=True)
    elif told.kind == "progress":
        status.update(progress(told))
        if not console.is_terminal:
            console.print(progress(told), markup=False, soft_wrap=True)


def progress(told: Told) -> str:
    """Say in one line how far the backfill is."""
    left = told.nights - told.done - told.failed - len(told.at_work)
    parts = [f"{told.done} of {count(told.nights, 'night')} whole"]
    parts += [f"{told.failed} failed"] if told.failed else []
    parts += [f"at work: {', '.join(told.at_work)}"] if told.at_work else []
    parts += [f"{left} to come"] if left else []
    return "; ".join((*parts, *filter(None, [told.text])))
