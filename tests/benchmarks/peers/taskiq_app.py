"""Taskiq on a Redis stream, which keeps jobs, and on a list, which does not."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable

from taskiq_redis import ListQueueBroker, RedisStreamBroker

from tests.benchmarks.peers.handler import handle_async

_URL = os.environ["BENCH_URL"]
stream = RedisStreamBroker(_URL)
#: Without its own time-out the worker's process dies every five idle seconds: redis-py 8 gives up before BRPOP does.
plain_list = ListQueueBroker(_URL, queue_name="taskiq_list", socket_timeout=None)
noop = {broker: broker.task(task_name="noop")(handle_async) for broker in (stream, plain_list)}


async def stream_sender() -> Callable[[int], Awaitable[object]]:
    """Return what enqueues one job on the stream."""
    await stream.startup()
    return lambda number: noop[stream].kiq(number, time.monotonic_ns())


async def list_sender() -> Callable[[int], Awaitable[object]]:
    """Return what enqueues one job on the list."""
    await plain_list.startup()
    return lambda number: noop[plain_list].kiq(number, time.monotonic_ns())
