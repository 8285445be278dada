"""Dramatiq as its users run it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.benchmarks.peers.handler import handle

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_URL"]))
noop = dramatiq.actor(handle, actor_name="noop")


def sender() -> Callable[[int], object]:
    """Return what enqueues one job."""
    return lambda number: noop.send(number, time.monotonic_ns())
