"""What an idle worker costs: its start, memory, CPU and questions to Redis; and twelve of Forge's together."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from forge_workers.catalog import WORKERS
from tests.benchmarks.figures import middle, reached, table
from tests.benchmarks.peers.arena import apart, arena, kill, shuffled, tree
from tests.benchmarks.peers.contenders import ALL, BARE, FORGE, ROOT, Contender
from tests.benchmarks.peers.usage import cpu_seconds, memory_mib, reads
from tests.standins.forge import NOBODY
from tests.standins.redis import start_redis

_ROUNDS = 3
#: Longest wait for a worker's first job, seconds.
_PATIENCE_S = 30.0
#: Seconds a worker gets to become idle, and seconds for which it is watched then.
_SETTLE_S, _WATCH_S = 6.0, 24.0
#: Seconds that the twelve get until none of them has a job's process, looked at every so often.
_QUIET_BY_S, _LOOK_S = 120.0, 0.5


_HOW = """\
Start and memory: medians of {rounds} rounds, {place}. CPU and reads: {seconds:.0f} s, all watched at the same time,
each alone with its server."""


@dataclass
class _Idle:
    """What was found of one contender."""

    start_ms: list[float] = field(default_factory=list)
    pss: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    cpu_percent: float = float("nan")
    reads_per_s: float = float("nan")


def run() -> str:
    """Return the measured tables as Markdown."""
    contenders = [who for who in ALL if who.installed]
    found: Mapping[Contender, _Idle] = defaultdict(_Idle)
    for turn in range(_ROUNDS):
        for who in shuffled(contenders, turn):
            _start(who, found[who])
    _watch(contenders, found)
    return "\n".join((_idle_table(contenders, found), _fleet_table(_measure_fleet())))


def _start(who: Contender, found: _Idle) -> None:
    """Start a worker with one job waiting, and note when the handler began and what memory it holds then."""
    with arena(apart()) as here:
        here.feeder(who).send()
        here.end_all()
        began_ns = time.monotonic_ns()
        worker = here.worker(who)
        records = here.wait(who, 1, _PATIENCE_S)
        if not records:
            return
        found.start_ms.append((records[0].at_ns - began_ns) / 1e6)
        time.sleep(1.0)  # what it still does after its first job
        memory = memory_mib(tree(worker))
        if memory is not None:
            found.pss.append(memory[0])
            found.rss.append(memory[1])


def _watch(contenders: Sequence[Contender], found: Mapping[Contender, _Idle]) -> None:
    """Watch all idle workers at the same time, each alone with a server of its own."""
    with ExitStack() as stack:
        arenas = {who: stack.enter_context(arena()) for who in contenders}
        workers = {}
        for who, here in arenas.items():
            here.feeder(who).send()
            here.end_all()
            workers[who] = here.worker(who)
            here.wait(who, 1, _PATIENCE_S)
        clients = {who: here.server.client() for who, here in arenas.items()}
        time.sleep(_SETTLE_S)
        used = {who: cpu_seconds(worker) for who, worker in workers.items()}
        asked = {who: reads(client) for who, client in clients.items()}
        began = time.monotonic()
        time.sleep(_WATCH_S)
        seconds = time.monotonic() - began
        for who, worker in workers.items():
            found[who].cpu_percent = (cpu_seconds(worker) - used[who]) / seconds * 100
            found[who].reads_per_s = (reads(clients[who]) - asked[who] - 1) / seconds  # less this question


def _idle_table(contenders: Sequence[Contender], found: Mapping[Contender, _Idle]) -> str:
    rows = []
    for who in contenders:
        idle = found[who]
        rows.append(
            [
                who.name,
                f"{middle(idle.start_ms):.0f}",
                f"{middle(idle.start_ms) / middle(found[BARE].start_ms):.2f}",
                f"{middle(idle.pss):.1f}" if idle.pss else "not measured",
                f"{middle(idle.rss):.1f}" if idle.rss else "not measured",
                f"{idle.cpu_percent:.3f}",
                f"{idle.reads_per_s:.2f}",
            ]
        )
    mine = found[FORGE]
    lines = [
        "## An idle worker",
        "",
        _HOW.format(rounds=_ROUNDS, place=apart().name, seconds=_WATCH_S),
        "",
        *table(["", "spawn to first job ms", "× bare", "PSS MiB", "RSS MiB", "idle CPU %", "Redis reads/s"], rows),
        "",
        reached("spawn to first job", middle(mine.start_ms), most=250, unit=" ms"),
        reached("PSS", middle(mine.pss), most=22, unit=" MiB") if mine.pss else "- PSS: not measured here",
        reached("idle CPU", mine.cpu_percent, most=0.05, unit=" %"),
        reached("Redis reads", mine.reads_per_s, most=1, unit="/s"),
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Fleet:
    """What was found of all workers together; memory is PSS and RSS in MiB, None where it is not measured."""

    quiet: bool
    memory: tuple[float, float] | None
    each: Mapping[str, tuple[float, float] | None]
    cpu_percent: float
    reads_per_s: float
    gone: Sequence[str]


def _measure_fleet() -> _Fleet:
    """Start every row of the catalogue and measure them together when they are quiet."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, start_redis(Path(folder)) as server:
        workers = {name: _daemon(name, server.home) for name in WORKERS}
        try:
            quiet = _wait_until_quiet(list(workers.values()))
            client = server.client()
            memory = memory_mib(one for worker in workers.values() for one in tree(worker))
            each = {name: memory_mib(tree(worker)) for name, worker in workers.items()}
            used, asked, began = _used(workers.values()), reads(client), time.monotonic()
            time.sleep(_WATCH_S)
            seconds = time.monotonic() - began
            return _Fleet(
                quiet=quiet,
                memory=memory,
                each=each,
                cpu_percent=(_used(workers.values()) - used) / seconds * 100,
                reads_per_s=(reads(client) - asked - 1) / seconds,
                gone=[name for name, worker in workers.items() if worker.poll() is not None],
            )
        finally:
            for worker in workers.values():
                kill(worker)


def _fleet_table(fleet: _Fleet) -> str:
    state = "no job at work" if fleet.quiet else f"jobs still at work after {_QUIET_BY_S:.0f} s"
    sizes = [f"{part:.0f}" for part in fleet.memory] if fleet.memory else ["not measured"] * 2
    each = ", ".join(f"{name} {found[0]:.1f}" for name, found in sorted(fleet.each.items()) if found is not None)
    head = ["", "PSS MiB", "RSS MiB", "CPU % with their rounds", "Redis reads/s"]
    lines = [
        f"### The {len(WORKERS)} workers of the catalogue together, {state}",
        "",
        *table(head, [["together", *sizes, f"{fleet.cpu_percent:.2f}", f"{fleet.reads_per_s:.1f}"]]),
        "",
        f"PSS MiB of each: {each or 'not measured'}.",
        "",
        reached("PSS together", fleet.memory[0], most=240, unit=" MiB") if fleet.memory else "- PSS: not measured here",
    ]
    if fleet.gone:
        lines.append(f"- ended by themselves: {', '.join(fleet.gone)}")
    return "\n".join(lines) + "\n"


def _daemon(name: str, home: Path) -> subprocess.Popen[bytes]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "FORGE_HOME": str(home),
        "FORGE_TIMEZONE": "UTC",
        "FORGE_REPOSITORIES": str(ROOT),
        "FORGE_MODELS_OLLAMA_URL": NOBODY,
    }
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "forge_workers.jobs.daemon", name, "0"],
            env=environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_quiet(workers: Sequence[subprocess.Popen]) -> bool:
    """Wait until no worker has had a job's process for some seconds; say whether that came."""
    quiet_since = deadline = time.monotonic() + _QUIET_BY_S
    while time.monotonic() < deadline:
        if any(len(tree(worker)) > 1 for worker in workers):
            quiet_since = deadline
        quiet_since = min(quiet_since, time.monotonic())
        if time.monotonic() - quiet_since > _SETTLE_S:
            return True
        time.sleep(_LOOK_S)
    return False


def _used(workers: Iterable[subprocess.Popen]) -> float:
    return sum(cpu_seconds(worker) for worker in workers)
