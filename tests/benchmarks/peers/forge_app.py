"""Forge's real daemon on rows of its own: ``python -m tests.benchmarks.peers.forge_app <row> <slot>``.

Belongs here: those rows and their producers. Does not belong here: what their jobs do (``handler.py``).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from forge_workers.address import home_of
from forge_workers.catalog import Arg, Worker
from forge_workers.jobs.daemon import start
from forge_workers.jobs.queue import Queue
from forge_workers.jobs.spool import Producer
from forge_workers.wire import Wire

ROW = Worker(
    "bench",
    "Notes when it was called.",
    "tests.benchmarks.peers.handler:inline",
    args={
        "number": Arg("which job", kind=int, required=True),
        "sent_ns": Arg("when it was sent", kind=int, required=True),
    },
    concurrency=2,
    inline=True,
)
#: The same, each job in a process of its own, as the desks' jobs are done.
APART = replace(ROW, name="bench_apart", function="tests.benchmarks.peers.handler:desk", inline=False)
_ROWS = {row.name: row for row in (ROW, APART)}


def through_producer() -> Callable[[int], object]:
    """Return what enqueues one job as workers do, spool included."""
    return _through_producer(ROW)


def apart_through_producer() -> Callable[[int], object]:
    """Return the same for the row whose jobs have processes of their own."""
    return _through_producer(APART)


def through_queue() -> Callable[[int], object]:
    """Return what enqueues one job on the queue itself."""
    queue = Queue(Wire(os.environ["BENCH_URL"]), ROW)
    return lambda number: queue.enqueue({"number": number, "sent_ns": time.monotonic_ns()}, by="bench")


def _through_producer(row: Worker) -> Callable[[int], object]:
    producer = Producer(Wire(os.environ["BENCH_URL"]), home_of(os.environ), _ROWS)
    return lambda number: producer.enqueue(row.name, {"number": number, "sent_ns": time.monotonic_ns()}, by="bench")


if __name__ == "__main__":
    sys.exit(start(_ROWS[sys.argv[1]], int(sys.argv[2])))
