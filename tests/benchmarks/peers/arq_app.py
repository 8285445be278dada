"""arq as its users run it."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

from tests.benchmarks.peers.handler import handle_async

#: Its log set to warnings, as the others' are.
QUIET = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}


async def noop(_: dict[str, Any], number: int, sent_ns: int) -> None:
    """Do a job."""
    await handle_async(number, sent_ns)


class WorkerSettings:
    """What its worker reads."""

    functions: ClassVar = [noop]
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_URL"])


async def sender() -> Callable[[int], Awaitable[object]]:
    """Return what enqueues one job."""
    pool = await create_pool(WorkerSettings.redis_settings)
    return lambda number: pool.enqueue_job("noop", number, time.monotonic_ns())
