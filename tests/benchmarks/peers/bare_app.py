"""The least that keeps a job: redis-py, an in-flight list, and acknowledging and fetching in one script.

No identity, no heartbeat, no history, no dead letters, no check of what it runs. ``python -m
tests.benchmarks.peers.bare_app`` is the worker; a restarted one takes back what it had.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import redis

from tests.benchmarks.peers.handler import handle

_WAITING, _INFLIGHT = "bare", "bare:inflight"
_FINISH = """
redis.call('LREM', KEYS[2], 1, ARGV[1])
return redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')"""


def sender() -> Callable[[int], object]:
    """Return what enqueues one job."""
    client = _client()
    return lambda number: client.rpush(_WAITING, json.dumps({"number": number, "sent_ns": time.monotonic_ns()}))


def work() -> None:
    """Do jobs for ever."""
    client = _client()
    finish = client.register_script(_FINISH)
    while client.lmove(_INFLIGHT, _WAITING, "RIGHT", "LEFT") is not None:
        pass
    raw = None
    while True:
        raw = raw or client.blmove(_WAITING, _INFLIGHT, 0, "LEFT", "RIGHT")
        handle(**json.loads(raw))
        raw = finish(keys=[_WAITING, _INFLIGHT], args=[raw])


def _client() -> redis.Redis:
    return redis.Redis.from_url(os.environ["BENCH_URL"], socket_timeout=None)


if __name__ == "__main__":
    work()
