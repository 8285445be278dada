"""RQ as its users run it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import redis
import rq

from tests.benchmarks.peers.handler import handle


def forking_sender() -> Callable[[int], object]:
    """Return what enqueues one job for the worker that forks."""
    return _sender("forking")


def simple_sender() -> Callable[[int], object]:
    """Return what enqueues one job for the worker that does not."""
    return _sender("simple")


def _sender(queue_name: str) -> Callable[[int], object]:
    queue = rq.Queue(queue_name, connection=redis.Redis.from_url(os.environ["BENCH_URL"]))
    return lambda number: queue.enqueue(handle, number, time.monotonic_ns())
