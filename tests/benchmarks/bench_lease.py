"""What the GPU lease costs, and how fast it passes from one process to the next, beside redis-py's Lock.

Cost is given as a multiple of one Redis round trip (PING) measured in turn with it, so that a slow or busy machine
changes both. A hand-over is the time from one process's call to release until another process has it; who released
stands aside until then.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from forge_workers.gpu.lease import Leases
from forge_workers.gpu.mutex import mutex_file
from forge_workers.redis_engine import client_of
from tests.standins.redis import PrivateRedis, start_redis

_SPAWN = multiprocessing.get_context("spawn")
_ROUNDS = 1_500
_HAND_OVERS = 300
_PROCESSES = 5
#: Seconds a process keeps the lock before it hands it over.
_HOLD_S = 0.002

Row = tuple[str, str, str, str]


def table() -> list[Row]:
    """Measure, and return rows of what, p50, p99, and p50 as a multiple of what it is compared with."""
    with tempfile.TemporaryDirectory() as folder, start_redis(Path(folder)) as server:
        costs = _costs(server, Path(folder))
        hand_overs = {kind: _hand_overs(server, Path(folder), kind) for kind in ("lease", "redis-py")}
    ping = statistics.median(costs["ping"])
    wake = statistics.median(hand_overs["lease"])
    names = {
        "ping": "one Redis round trip (PING)",
        "lease": "lease: acquire + release",
        "lease with kernel lock": "lease with kernel lock: acquire + release",
        "redis-py": "redis-py Lock: acquire + release (no line, no term, no renewal)",
    }
    what = f"hand-over among {_PROCESSES} processes, {_HAND_OVERS} times"
    return [
        *(_row(name, costs[kind], ping, "us") for kind, name in names.items()),
        _row(f"lease with kernel lock: {what}", hand_overs["lease"], wake, "ms"),
        _row(f"redis-py Lock (default sleep 0.1 s): {what}", hand_overs["redis-py"], wake, "ms"),
    ]


def run() -> str:
    """Return the measured table as Markdown."""
    lines = [
        "## The GPU lease",
        "",
        "Costs as a multiple of one round trip, hand-overs of redis-py's Lock as a multiple of the lease's.",
        "",
        "| | p50 | p99 | multiple |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in table()]
    return "\n".join(lines) + "\n"


def _row(what: str, seconds: list[float], beside: float, unit: str) -> Row:
    factor = {"us": 1e6, "ms": 1e3}[unit]
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    return what, f"{p50 * factor:.2f} {unit}", f"{p99 * factor:.2f} {unit}", f"{p50 / beside:.1f}"


def _costs(server: PrivateRedis, folder: Path) -> Mapping[str, list[float]]:
    """Time each act in turn, ``_ROUNDS`` times, with nobody else about."""
    client = server.client()
    bare, whole = Leases(client, "bare", mutex=None), Leases(client, "whole", mutex=mutex_file(folder, "whole"))

    def lock() -> None:
        with client.lock("lock", timeout=30):
            pass

    acts: Mapping[str, Callable[[], object]] = {
        "ping": client.ping,
        "lease": lambda: bare.acquire("bench", wait_s=1).release(),
        "lease with kernel lock": lambda: whole.acquire("bench", wait_s=1).release(),
        "redis-py": lock,
    }
    took: dict[str, list[float]] = {kind: [] for kind in acts}
    for number in range(_ROUNDS + 50):
        for kind, act in acts.items():
            started = time.perf_counter()
            act()
            if number >= 50:  # the first ones load scripts and open connections
                took[kind].append(time.perf_counter() - started)
    return took


@dataclass(frozen=True)
class _Game:
    """What the processes that pass the lock around share: the server, which lock, whose turn it was, the gate to start.

    The last three are of types that ``multiprocessing`` makes at run time.
    """

    socket: Path
    folder: Path
    kind: str
    count: Any
    events: Any
    gate: Any


def _hand_overs(server: PrivateRedis, folder: Path, kind: str) -> list[float]:
    """Let processes pass the lock around and return the seconds of each hand-over."""
    shared = (_SPAWN.Value("i", 0, lock=False), _SPAWN.SimpleQueue(), _SPAWN.Barrier(_PROCESSES))
    game = _Game(server.socket, folder, kind, *shared)
    crowd = [_SPAWN.Process(target=_pass_around, args=(game,), daemon=True) for _ in range(_PROCESSES)]
    for player in crowd:
        player.start()
    turns = sorted(turn for _ in crowd for turn in game.events.get())
    for player in crowd:
        player.join()
    return [taken - released for (_, _, released), (_, taken, _) in pairwise(turns)]


def _pass_around(game: _Game) -> None:
    """Take the lock in turn until all turns are over; report (number, when taken, when release was called)."""
    client = client_of(game.socket)
    leases = Leases(client, mutex=mutex_file(game.folder))
    turns: list[tuple[int, float, float]] = []

    def lock() -> AbstractContextManager[object]:
        return leases.acquire("bench", wait_s=60) if game.kind == "lease" else client.lock("passed", timeout=30)

    game.gate.wait()
    while True:
        with lock():
            taken = time.monotonic()
            game.count.value = mine = game.count.value + 1
            if mine > _HAND_OVERS:
                break
            time.sleep(_HOLD_S)
            released = time.monotonic()
        turns.append((mine, taken, released))
        while game.count.value == mine:
            time.sleep(0.0002)
    game.events.put(turns)
