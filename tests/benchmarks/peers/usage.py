"""What processes use: CPU time, memory, and the server's reads. Linux tells each exactly; elsewhere less is known.

Belongs here: reading the kernel's and the server's counters. Does not belong here: what the numbers are held against.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil
import redis

from tests.benchmarks.peers.arena import tree


def cpu_seconds(process: subprocess.Popen, *others: int) -> float:
    """Return the CPU seconds that a process, its descendants and ``others`` have used, ended children included."""
    return sum(_cpu(pid) for pid in (*(one.pid for one in tree(process)), *others))


def _cpu(pid: int) -> float:
    """Count in nanoseconds where the kernel tells them: an idle worker uses less than a clock tick in 20 seconds."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    own = times.user + times.system
    tasks = Path(f"/proc/{pid}/task")
    if tasks.exists():
        with contextlib.suppress(OSError):
            own = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    return own + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def memory_mib(processes: Iterable[psutil.Process]) -> tuple[float, float] | None:
    """Return PSS and RSS in MiB of ``processes`` together; None where the kernel keeps no PSS."""
    pss = rss = 0
    for one in processes:
        try:
            rollup = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
        except OSError:
            return None
        facts = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        pss, rss = pss + facts["Pss:"], rss + facts["Rss:"]
    return pss / 1024, rss / 1024


def reads(client: redis.Redis) -> int:
    """Return how often the server has read from its clients so far, this question included."""
    return int(client.info("stats")["total_reads_processed"])
