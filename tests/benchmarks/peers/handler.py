"""What every worker that is measured runs: one short record appended to a file, with the time on the monotonic clock.

Belongs here: that record, written and read, for whatever way a queue calls its jobs. Does not belong here: any queue.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from forge_workers.jobs.doing import Context
    from forge_workers.report import Report
    from forge_workers.tools import Request, Tools

_RECORD = struct.Struct("<qqqq")
_STARTED, _ENDED = 0, 1
#: Where records go, and how many seconds a job takes; told by variables because the queues start the processes.
_FILE = os.open(os.environ.get("BENCH_RECORDS", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_SECONDS = float(os.environ.get("BENCH_SECONDS", "0"))


class Record(NamedTuple):
    """A job that started or ended.

    Attributes:
        ended: It ended; only jobs that take time say so.
        number: Which job.
        sent_ns: When its producer began to enqueue it, nanoseconds on the monotonic clock.
        at_ns: When this was written, on the same clock.
    """

    ended: bool
    number: int
    sent_ns: int
    at_ns: int


def handle(number: int, sent_ns: int) -> None:
    """Do a job."""
    _write(_STARTED, number, sent_ns)
    if _SECONDS:
        time.sleep(_SECONDS)
        _write(_ENDED, number, sent_ns)


async def handle_async(number: int, sent_ns: int) -> None:
    """Do a job in an event loop."""
    import asyncio  # noqa: PLC0415  loaded where this runs; elsewhere it would be counted as the worker's memory

    _write(_STARTED, number, sent_ns)
    if _SECONDS:
        await asyncio.sleep(_SECONDS)
        _write(_ENDED, number, sent_ns)


def inline(context: Context) -> None:
    """Do a job of Forge's."""
    handle(context.args["number"], context.args["sent_ns"])


def desk(request: Request, tools: Tools) -> Report:
    """Do a job of Forge's in a process of its own; such a one is told its night, not its number."""
    from forge_workers.report import Report  # noqa: PLC0415  only there it is loaded anyway

    handle(0, 0)
    return Report(asset="bench", night=request.night, headline="done", markdown="done")


def read(path: Path) -> list[Record]:
    """Return the whole records in ``path``."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: len(data) // _RECORD.size * _RECORD.size]
    return [Record(bool(ended), *rest) for ended, *rest in _RECORD.iter_unpack(whole)]


def count(path: Path) -> int:
    """Return how many whole records ``path`` has, without reading them."""
    return path.stat().st_size // _RECORD.size if path.exists() else 0


def _write(what: int, number: int, sent_ns: int) -> None:
    os.write(_FILE, _RECORD.pack(what, number, sent_ns, time.monotonic_ns()))
