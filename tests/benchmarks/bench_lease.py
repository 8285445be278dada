"""What the GPU lease costs, how fast and how fairly it passes on, and what it saves, beside redis-py's Lock.

Cost is given as a multiple of one Redis round trip (PING) measured in turn with it, so that a slow or busy machine
changes both. A hand-over is the time from one process's call to release until another process has it; who released
stands aside until then. For shares every process asks again at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from forge_workers.gpu.lease import Leases, Priority
from forge_workers.gpu.mutex import mutex_file
from forge_workers.gpu.script import OVERTAKINGS
from forge_workers.redis_engine import client_of
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis, start_redis

_SPAWN = multiprocessing.get_context("spawn")
_ROUNDS = 1_500
_HAND_OVERS = 400
#: One releases and four wait.
_PROCESSES = 5
#: Seconds a process keeps the lock before it hands it over.
_HOLD_S = 0.002
#: Grants shared by the processes that ask again at once, and how many those are.
_SHARED, _GREEDY = 2_000, 4
_DEATHS = 20
#: Seconds after the start of Redis until it grants without proof: the lease's TTL of 30 s, and what it rounds.
_SETTLED_S = 32.0
#: GPU steps of a night, by the model each needs: the worst order, one load per switch.
_STEPS = tuple("xy"[number % 2] for number in range(12))

Row = tuple[str, str, str, str]


def table() -> list[Row]:
    """Measure, and return rows of what, p50, p99, and p50 as a multiple of what it is compared with."""
    with tempfile.TemporaryDirectory() as folder, start_redis(Path(folder)) as server:
        here = Path(folder)
        time.sleep(_SETTLED_S)
        costs = _costs(server, here)
        hand_overs = {kind: _hand_overs(server, here, kind) for kind in ("lease", "redis-py")}
        shares = {kind: _shares(server, here, kind) for kind in ("lease", "redis-py")}
        deaths = _deaths(server, here)
        loads = {by: _night_loads(server, here, by_model=by) for by in (True, False)}
    ping = statistics.median(costs["ping"])
    wake = statistics.median(hand_overs["lease"])
    names = {
        "ping": "one Redis round trip (PING)",
        "lease": "lease: acquire + release",
        "lease with kernel lock": "lease with kernel lock: acquire + release",
        "redis-py": "redis-py Lock: acquire + release (no line, no term, no renewal)",
    }
    what = f"hand-over to one of {_PROCESSES - 1} waiters, {_HAND_OVERS} times"
    return [
        *(_row(name, costs[kind], ping, "us") for kind, name in names.items()),
        _row(f"lease with kernel lock, renewal, term and priorities: {what}", hand_overs["lease"], wake, "ms"),
        _row(f"redis-py Lock (default sleep 0.1 s): {what}", hand_overs["redis-py"], wake, "ms"),
        (f"lease: most / fewest of {_SHARED} grants among {_GREEDY} processes", f"{shares['lease']:.2f}", "", ""),
        (f"redis-py Lock: most / fewest of {_SHARED} grants", f"{shares['redis-py']:.2f}", "", ""),
        _row(f"lease: SIGKILL of the holder until the next has it, {_DEATHS} times (TTL 30 s)", deaths, wake, "ms"),
        (f"model loads of a night, {len(_STEPS)} steps in the worst order, 2 models", *_loads(loads[True])),
        ("the same, first come first served", *_loads(loads[False])),
    ]


def run() -> str:
    """Return the measured table as Markdown."""
    lines = [
        "## The GPU lease",
        "",
        "Costs as a multiple of one round trip, times between processes as a multiple of the lease's hand-over.",
        "",
        "| | p50 | p99 | multiple |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in table()]
    return "\n".join(lines) + "\n"


def _wire(socket: Path) -> Wire:
    return Wire(f"unix://{socket}")


def _loads(found: tuple[int, int]) -> tuple[str, str, str]:
    return f"{found[0]} loads", f"{found[1]} turns waited at most", ""


def _row(what: str, seconds: list[float], beside: float, unit: str) -> Row:
    factor = {"us": 1e6, "ms": 1e3}[unit]
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    return what, f"{p50 * factor:.2f} {unit}", f"{p99 * factor:.2f} {unit}", f"{p50 / beside:.1f}"


def _costs(server: PrivateRedis, folder: Path) -> Mapping[str, list[float]]:
    """Time each act in turn, ``_ROUNDS`` times, with nobody else about."""
    client, wire = server.client(), _wire(server.socket)
    bare = Leases(wire, "bare", mutex=None)
    whole = Leases(wire, "whole", mutex=mutex_file(folder, "whole"))

    def lock() -> None:
        with client.lock("lock", timeout=30):
            pass

    acts: Mapping[str, Callable[[], object]] = {
        "ping": lambda: wire.call("PING"),
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
    lock, turns = _lock_of(game), list[tuple[int, float, float]]()
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


def _lock_of(game: _Game) -> Callable[[], AbstractContextManager[object]]:
    if game.kind == "lease":
        leases = Leases(_wire(game.socket), mutex=mutex_file(game.folder))
        return lambda: leases.acquire("bench", wait_s=60)
    client = client_of(game.socket)
    return lambda: client.lock("passed", timeout=30)


def _shares(server: PrivateRedis, folder: Path, kind: str) -> float:
    """Let greedy processes take the lock; return the most grants one had over the fewest."""
    shared = (_SPAWN.Value("i", 0, lock=False), _SPAWN.SimpleQueue(), _SPAWN.Barrier(_GREEDY))
    game = _Game(server.socket, folder, kind, *shared)
    crowd = [_SPAWN.Process(target=_take_greedily, args=(game,), daemon=True) for _ in range(_GREEDY)]
    for player in crowd:
        player.start()
    grants = [game.events.get() for _ in crowd]
    for player in crowd:
        player.join()
    return max(grants) / max(1, min(grants))


def _take_greedily(game: _Game) -> None:
    lock, mine = _lock_of(game), 0
    game.gate.wait()
    while True:
        with lock():
            if game.count.value >= _SHARED:
                break
            game.count.value += 1
            mine += 1
            time.sleep(_HOLD_S / 2)
    game.events.put(mine)


def _deaths(server: PrivateRedis, folder: Path) -> list[float]:
    """Kill the holder while another waits; return the seconds until that one has the lease."""
    found = []
    leases = Leases(_wire(server.socket), mutex=mutex_file(folder))
    for _ in range(_DEATHS):
        taken: list[float] = []
        hear, tell = _SPAWN.Pipe(duplex=False)
        holder = _SPAWN.Process(target=_hold, args=(server.socket, folder, tell), daemon=True)
        holder.start()
        hear.recv()
        waiter = threading.Thread(target=_note_when_taken, args=(leases, taken))
        waiter.start()
        while not leases.status(now=0).waiters:
            time.sleep(0.01)
        killed = time.monotonic()
        os.kill(holder.pid or 0, signal.SIGKILL)
        waiter.join()
        holder.join()
        found.append(taken[0] - killed)
    return found


def _hold(socket: Path, folder: Path, tell: Any) -> None:
    with Leases(_wire(socket), mutex=mutex_file(folder)).acquire("holder", wait_s=60) as lease:
        tell.send(lease.term)
        time.sleep(600)


def _note_when_taken(leases: Leases, taken: list[float]) -> None:
    with leases.acquire("waiter", wait_s=60):
        taken.append(time.monotonic())


def _night_loads(server: PrivateRedis, folder: Path, *, by_model: bool) -> tuple[int, int]:
    """Let a night's steps wait together; return how often a model was loaded, and the most times a step was overtaken.

    Without models told, steps are served first come first served.
    """
    device = f"night:{int(by_model)}"
    leases = Leases(_wire(server.socket), device, mutex=mutex_file(folder, device))
    order: list[tuple[int, str]] = []

    def work(number: int, model: str) -> None:
        told = model if by_model else None
        with leases.acquire(f"step {number}", wait_s=60, priority=Priority.NIGHT, model=told):
            order.append((number, model))

    first = leases.acquire("the evening", wait_s=60)
    steps = [threading.Thread(target=work, args=step) for step in enumerate(_STEPS)]
    for place, step in enumerate(steps, 1):
        step.start()
        while len(leases.status(now=0).waiters) < place:
            time.sleep(0.002)
    first.release()
    for step in steps:
        step.join()
    overtaken = [sum(other > number for other, _ in order[:turn]) for turn, (number, _) in enumerate(order)]
    assert max(overtaken) <= OVERTAKINGS
    return 1 + sum(one != other for (_, one), (_, other) in pairwise(order)), max(overtaken)
