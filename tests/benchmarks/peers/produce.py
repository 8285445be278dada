"""A producer's process: ``python -m tests.benchmarks.peers.produce <module>:<function>``.

Reads lines ``<first number> <how many>`` and enqueues so many jobs; answers each line with the seconds that took.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module


def main(sender: str) -> None:
    """Serve until the input ends."""
    module, _, name = sender.partition(":")
    make = getattr(import_module(f"tests.benchmarks.peers.{module}"), name)
    if inspect.iscoroutinefunction(make):
        asyncio.run(_serve_async(make))
        return
    send = make()
    for line in sys.stdin:
        first, many = map(int, line.split())
        began = time.perf_counter()
        for number in range(first, first + many):
            send(number)
        _answer(time.perf_counter() - began)


async def _serve_async(make: Callable[[], Awaitable[Callable[[int], Awaitable[object]]]]) -> None:
    send = await make()
    for line in sys.stdin:
        first, many = map(int, line.split())
        began = time.perf_counter()
        for number in range(first, first + many):
            await send(number)
        _answer(time.perf_counter() - began)


def _answer(seconds: float) -> None:
    sys.stdout.write(f"{seconds!r}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
