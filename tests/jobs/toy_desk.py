"""Handlers that misbehave in every way a handler can, run by the real daemon in real processes.

Each writes a line with its process number to ``TOY_PATH`` when it starts, inline ones to the job's ``path``. Belongs
here: what they do. Does not belong here: what is expected of the daemon.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from forge_workers.errors import Permanent, Snooze, Transient
from forge_workers.jobs.doing import Context
from forge_workers.report import Report
from forge_workers.tools import Request, Tools


def note(path: str, text: str) -> None:
    """Append a line in one write."""
    with Path(path).open("ab", 0) as file:
        file.write(text.encode() + b"\n")


def inline(context: Context) -> str | None:
    """Do what an inline job asks for."""
    note(context.args["path"], f"{context.args.get('n', 0)} {os.getpid()}")
    if "seconds" in context.args:
        time.sleep(context.args["seconds"])
    if context.args.get("what") == "raise":
        raise ValueError("no luck")
    if context.args.get("what") == "abort":
        os.abort()
    return None


def _began() -> None:
    note(os.environ["TOY_PATH"], f"0 {os.getpid()}")


def report(request: Request, tools: Tools) -> object:
    """Take ``TOY_SECONDS`` and return a report."""
    _began()
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    return Report(asset="toy", night=request.night, headline="it is done")


def print_much(request: Request, tools: Tools) -> object:
    """Print 50 MB, then fail."""
    _began()
    block = "x" * 1_000_000
    for _ in range(50):
        sys.stdout.write(block)
    raise Transient("printed 50 MB")


def leave_a_child(request: Request, tools: Tools) -> object:
    """Leave a process behind, which says its number."""
    _began()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(os.environ["TOY_PATH"], f"child {child.pid}")
    raise Transient("left a child behind")


def close_files(request: Request, tools: Tools) -> object:
    """Close every file there may be."""
    _began()
    os.closerange(0, 256)
    raise Transient("closed every file")


def hold_the_interpreter(request: Request, tools: Tools) -> object:
    """Keep the interpreter's lock in C for ten minutes."""
    _began()
    ctypes.PyDLL(None).usleep(600_000_000)  # PyDLL keeps the interpreter's lock while in C
    return None


def fail(request: Request, tools: Tools) -> object:
    """Raise what is no error of Forge's, in two lines."""
    _began()
    raise ValueError("no luck\nsecond line")


def never(request: Request, tools: Tools) -> object:
    """Say that another attempt would end the same way."""
    _began()
    raise Permanent("it never works")


def snooze(request: Request, tools: Tools) -> object:
    """Ask for another time."""
    _began()
    raise Snooze(3_600.0, "not now")


def abort(request: Request, tools: Tools) -> object:
    """Abort the process from C."""
    _began()
    os.abort()


def leave(request: Request, tools: Tools) -> object:
    """End the process without a word."""
    _began()
    os._exit(3)


def nonsense(request: Request, tools: Tools) -> object:
    """Return what is no report."""
    _began()
    return {"not": "a report"}


def deaf(request: Request, tools: Tools) -> object:
    """Hang, and do not listen to SIGTERM."""
    _began()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    return None
