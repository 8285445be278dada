"""Celery as its users run it to lose no job: acknowledged late; results are not kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from celery import Celery

from tests.benchmarks.peers.handler import handle

app = Celery("bench", broker=os.environ["BENCH_URL"].replace("unix://", "redis+socket://"))
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)
noop = app.task(handle, name="noop")


def sender() -> Callable[[int], object]:
    """Return what enqueues one job."""
    return lambda number: noop.delay(number, time.monotonic_ns())
