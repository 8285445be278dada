"""How everything that always runs stands, in one value: what ``forge status`` draws and ``--json`` prints.

``--json`` prints :class:`FleetStatus` as it is: its attributes and those of the values in it are the keys, and they
stay. Belongs here: asking supervisord, Redis and the spool, and one state per process. Does not belong here: drawing
(``tables.py``), or changing anything.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from forge_workers.catalog import Service, Worker
from forge_workers.errors import ForgeError
from forge_workers.fleet.redis_state import RedisState, look
from forge_workers.fleet.services import ServiceStatus
from forge_workers.fleet.services import look as look_at_services
from forge_workers.fleet.supervisord import Supervised, Supervisord
from forge_workers.gpu.lease import Leases
from forge_workers.gpu.status import LeaseStatus
from forge_workers.jobs.inspection import Ended, Inspection, Process, QueueState, Seen
from forge_workers.plain import plain
from forge_workers.settings import Settings
from forge_workers.wire import Wire

#: Seconds that a process may take from its start to its first beat: 0.25 s alone, many times that when all start.
_BEGINS_S = 15.0

State = Literal["failing", "late", "cut off", "down", "stopping", "starting", "busy", "up"]
#: Every state of a process, the worst first: a worker's state is that of its worst process.
STATES: tuple[State, ...] = ("failing", "late", "cut off", "down", "stopping", "starting", "busy", "up")


@dataclass(frozen=True)
class ProcessStatus:
    """One process of a worker.

    Attributes:
        slot: Which of the worker's processes, from 0.
        host: The machine.
        state: ``up``: beats and waits. ``busy``: beats and does a job. ``starting``. ``stopping``. ``late``: runs and
            does not beat. ``cut off``: runs, and Redis is away. ``failing``: ended too soon and is started again.
            ``down``: does not run.
        pid: Its process number, None for none.
        since_at: When it was started, UTC unix seconds.
        beat_age_s: Seconds since its last beat, None when none is known.
        job: Id of the job at work, "" for none.
        job_since_at: When that began, None until the next beat tells.
        progress: How far it is, in its own words.
    """

    slot: int
    host: str
    state: State
    pid: int | None
    since_at: float | None
    beat_age_s: float | None
    job: str
    job_since_at: float | None
    progress: str


@dataclass(frozen=True)
class WorkerStatus:
    """One worker. What only Redis knows is None while it is away.

    Attributes:
        name: Its name.
        state: That of its worst process.
        processes: Its processes on this machine, by slot, then those elsewhere.
        waiting: Jobs in line.
        scheduled: Jobs that wait for their time.
        running: Jobs in flight.
        dead: Dead letters.
        oldest_age_s: Seconds since the oldest job in line or in flight was asked for; None also when there is none.
        due_at: When the next scheduled one is due, UTC unix seconds.
        last: What became of the newest job that ended; None also when there is none.
        counts: How many jobs were done, retried, snoozed, buried, reclaimed and forgotten.
    """

    name: str
    state: State
    processes: tuple[ProcessStatus, ...]
    waiting: int | None = None
    scheduled: int | None = None
    running: int | None = None
    dead: int | None = None
    oldest_age_s: float | None = None
    due_at: float | None = None
    last: Ended | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class FleetStatus:
    """Everything.

    Attributes:
        at: When this was seen, UTC unix seconds.
        home: ``FORGE_HOME``.
        fleet: ``up``, ``down``, or ``silent`` when its supervisor runs and does not answer.
        supervisor_pid: The supervisor's process number, None when it does not run.
        workers: In the catalogue's order.
        gpu: The GPU's lease, None while Redis is away.
        redis: The Redis.
        spooled: Jobs that wait on disk for Redis.
        rejected: Spooled lines that were no jobs and were put aside.
        services: What runs beside the workers, in the catalogue's order, without Redis.
    """

    at: float
    home: str
    fleet: Literal["up", "down", "silent"]
    supervisor_pid: int | None
    workers: tuple[WorkerStatus, ...]
    gpu: LeaseStatus | None
    redis: RedisState
    spooled: int
    rejected: int
    services: tuple[ServiceStatus, ...] = ()


def gather(
    settings: Settings,
    rows: Mapping[str, Worker],
    services: Mapping[str, Service],
    wire: Wire,
    address: str,
    *,
    now: float,
) -> FleetStatus:
    """Return how everything stands; what cannot be asked is left out.

    Args:
        settings: Whose fleet.
        rows: The workers.
        services: What runs beside them.
        wire: The way to Redis.
        address: Where that is, to be shown.
        now: UTC unix seconds.
    """
    home = settings.home
    supervisord = Supervisord(home)
    supervised = supervisord.processes()
    pid = supervisord.pid
    redis = look(wire, address)
    workers = tuple(_worker(row, supervised or (), _queue(wire, row, redis), now) for row in rows.values())
    spool = home / "spool" / "jobs.jsonl"
    return FleetStatus(
        at=now,
        home=str(home),
        fleet="up" if supervised is not None else "down" if pid is None else "silent",
        supervisor_pid=pid,
        workers=workers,
        gpu=_gpu(wire, redis, now),
        redis=redis,
        spooled=_lines(spool),
        rejected=_lines(spool.with_suffix(".rejected")),
        services=look_at_services(home, services, settings, supervised or (), now),
    )


def state_of(supervised: Supervised | None, beats: Process | None, *, redis_is_up: bool, now: float) -> State:
    """Decide how a process stands; the first that holds.

    1. It beats: ``busy`` with a job, ``up`` without.
    2. It does not run: ``down``.
    3. It waits for its next start, or was given up: ``failing``.
    4. It was told to stop: ``stopping``.
    5. Redis is away: ``cut off``.
    6. It began a moment ago: ``starting``.
    7. ``late``.

    Args:
        supervised: What supervisord says of it, None when it knows of none.
        beats: Its heartbeat, None when there is none or it has expired.
        redis_is_up: Whether heartbeats can be read at all.
        now: UTC unix seconds.
    """
    if beats is not None:
        return "busy" if beats.job else "up"  # 1
    if supervised is None or supervised.state in {"STOPPED", "EXITED", "UNKNOWN"}:
        return "down"  # 2
    if supervised.off:
        return "failing"  # 3
    if supervised.state == "STOPPING":
        return "stopping"  # 4
    if not redis_is_up:
        return "cut off"  # 5
    return "starting" if now - (supervised.since_at or now) < _BEGINS_S else "late"  # 6, 7


def _worker(row: Worker, supervised: tuple[Supervised, ...], queue: QueueState | None, now: float) -> WorkerStatus:
    here = socket.gethostname()
    beating = [_at_work(p, queue.running) for p in queue.processes if p.alive] if queue else []
    mine = {p.slot: p for p in supervised if p.worker == row.name}
    redis_is_up = queue is not None
    processes = []
    for slot in range(row.concurrency):
        beats = _beats(slot, here, mine.get(slot), beating)
        state = state_of(mine.get(slot), beats, redis_is_up=redis_is_up, now=now)
        processes.append(_process((slot, here), state, mine.get(slot), beats, now))
    for beats in (p for p in beating if p.host != here):
        state = state_of(None, beats, redis_is_up=redis_is_up, now=now)
        processes.append(_process((beats.slot, beats.host), state, None, beats, now))
    worst = min((process.state for process in processes), key=STATES.index)
    if queue is None:
        return WorkerStatus(row.name, worst, tuple(processes))
    return WorkerStatus(
        name=row.name,
        state=worst,
        processes=tuple(processes),
        waiting=queue.waiting,
        scheduled=queue.scheduled,
        running=len(queue.running),
        dead=queue.dead,
        oldest_age_s=None if queue.oldest_at is None else max(0.0, now - queue.oldest_at),
        due_at=queue.due_at,
        last=queue.last,
        counts=queue.counts,
    )


def _at_work(process: Process, running: tuple[Seen, ...]) -> Process:
    """Return ``process`` with the job it has now: its own word on that is up to one beat old."""
    job = next((seen.id for seen in running if seen.claim == process.claim), "")
    return process if process.job == job else replace(process, job=job, job_since=0.0, progress="")


def _beats(slot: int, here: str, supervised: Supervised | None, beating: list[Process]) -> Process | None:
    """Return the heartbeat of the process in ``slot``; that of one which is gone stays for a while and is not it."""
    found = [p for p in beating if p.slot == slot and p.host == here]
    if supervised is not None and supervised.pid is not None:
        found = [p for p in found if p.pid == supervised.pid]
    return next((p for p in reversed(found) if psutil.pid_exists(p.pid)), None)


def _process(
    place: tuple[int, str], state: State, supervised: Supervised | None, beats: Process | None, now: float
) -> ProcessStatus:
    slot, host = place
    return ProcessStatus(
        slot=slot,
        host=plain(host, 100),
        state=state,
        pid=beats.pid if beats else supervised.pid if supervised else None,
        since_at=beats.started_at if beats else supervised.since_at if supervised and supervised.pid else None,
        beat_age_s=max(0.0, now - beats.beat_at) if beats else None,
        job=beats.job if beats else "",
        job_since_at=(beats.job_since or None) if beats else None,
        progress=plain(beats.progress) if beats else "",
    )


def _queue(wire: Wire, row: Worker, redis: RedisState) -> QueueState | None:
    if redis.state == "away":
        return None
    try:
        return Inspection(wire, row).state()
    except ForgeError:
        return None  # it went away in between, or refuses: the Redis line says so


def _gpu(wire: Wire, redis: RedisState, now: float) -> LeaseStatus | None:
    if redis.state == "away":
        return None
    try:
        return Leases(wire, mutex=None).status(now)
    except ForgeError:
        return None


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0
