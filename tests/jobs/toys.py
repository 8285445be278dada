"""Handlers for the process of a job: a good one, and one for each way to misbehave. ``path`` is where they leave marks.

Belongs here: what they do. Does not belong here: what is expected of the process, which the tests say.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from forge_workers.errors import LeaseLost, Permanent, Snooze, Transient
from forge_workers.jobs.order import DayRequest
from forge_workers.report import Report
from forge_workers.tools import Tools

NO_FUNCTION = "a text"


def hello(request: DayRequest, tools: Tools) -> Report:
    """Return a report that says what was asked for and which models it could use."""
    seen = {"args": dict(request.args), "job_id": request.job_id, "upstream": list(request.upstream)}
    engine = tools.models.probe()
    return Report(asset="hello", night=request.night, headline="Hello.", data={**seen, "no_model": engine})


def numbers(request: DayRequest, tools: Tools) -> Report:
    """Return numbers that JSON cannot hold."""
    odd = {"nan": float("nan"), "endless": float("inf"), "one": 1.0}
    return Report(asset="numbers", night=request.night, headline="Numbers.", numbers=odd)


def raises(request: DayRequest, tools: Tools) -> Report:
    """Raise what ``what`` names."""
    errors: dict[str, BaseException] = {
        "snooze": Snooze(7.5, "not now"),
        "permanent": Permanent("it never works"),
        "transient": Transient("it may work later"),
        "lease_lost": LeaseLost(),
        "exit": SystemExit(3),
        "value": ValueError("no luck\nsecond line"),
        "silent": Silent(),
        "deep": RecursionError("x" * 1_000_000),
        "secret": ValueError(f"cannot log in with {os.environ.get('FORGE_SLACK_TOKEN', '')}"),
    }
    raise errors[request.args["what"]]


class Silent(Exception):
    """Cannot even say what is wrong."""

    def __str__(self) -> str:
        raise ValueError


def nonsense(request: DayRequest, tools: Tools) -> Any:
    """Return what is no report."""
    return {"not": "a report"}


def hang(request: DayRequest, tools: Tools) -> Report:
    """Leave a process of the same group behind, and hang."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    Path(request.args["path"]).write_text(f"{child}", encoding="utf-8")
    time.sleep(60)
    raise Transient


def abort(request: DayRequest, tools: Tools) -> Report:
    """Abort from C."""
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    os.abort()


def leave(request: DayRequest, tools: Tools) -> Report:
    """Leave without a word."""
    os._exit(5)


def close_files(request: DayRequest, tools: Tools) -> Report:
    """Close the files a handler may know of, and open others in their place."""
    os.closerange(0, 1_000)
    for _ in range(20):
        os.open(request.args["path"], os.O_WRONLY | os.O_CREAT)
    return Report(asset="closed", night=request.night, headline="Closed.")


def print_much(request: DayRequest, tools: Tools) -> Report:
    """Print 50 MB to both outputs."""
    block = "x" * 999_999 + "\n"
    for _ in range(25):
        sys.stdout.write(block)
        sys.stderr.write(block)
    return Report(asset="printed", night=request.night, headline="Printed.")


def fork(request: DayRequest, tools: Tools) -> Report:
    """Fork, and return in both processes."""
    os.fork()
    return Report(asset="forked", night=request.night, headline="Forked.")


def stray(request: DayRequest, tools: Tools) -> Report:
    """Leave a thread behind that never ends."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    return Report(asset="stray", night=request.night, headline="Left a thread.")


def read_input(request: DayRequest, tools: Tools) -> Report:
    """Read the standard input to its end."""
    return Report(asset="read", night=request.night, headline=f"Read {len(sys.stdin.read())} characters.")
