"""Huey as its users run it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from huey import RedisHuey

from tests.benchmarks.peers.handler import handle

huey = RedisHuey("bench", url=os.environ["BENCH_URL"])
noop = huey.task(name="noop")(handle)


def sender() -> Callable[[int], object]:
    """Return what enqueues one job."""
    return lambda number: noop(number, time.monotonic_ns())
