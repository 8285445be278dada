"""The always-on workers as Dagster sees them: external assets, each with its health.

Dagster does not run them; they are shown so that one page holds all that the machine does. No asset of the night lists
a worker as its upstream: the night calls the same function itself and needs no worker to be up. Belongs here: their
specs, and the status that is told. Does not belong here: reading Redis (``resources/queues.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from forge_workers.catalog import WORKERS, Worker
from forge_workers.jobs.inspection import QueueState
from forge_workers.jobs.queue import Pace, prefix_of
from forge_workers.plain import plain

GROUP = "workers"
#: An unchanged status is told again after a day, in seconds, so that the page shows that somebody still looks.
AGAIN_S = 86_400.0
#: Seconds without a beat after which one was surely missed.
_LATE_S = 2 * Pace().beat_s


class Status(StrEnum):
    """Whether a worker is there, from best to worst but ``absent``, which nobody has to mind."""

    RUNNING = "running"
    LATE = "late"
    DOWN = "down"
    ABSENT = "absent"


def key_of(worker: str) -> dg.AssetKey:
    """Return the asset that stands for ``worker``; the prefix keeps it apart from the night's asset of that name."""
    return dg.AssetKey([GROUP, worker])


def _spec(row: Worker) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=key_of(row.name),
        group_name=GROUP,
        description=row.purpose,
        owners=["team:forge"],
        kinds={"redis", "python", "ollama"} if row.gpu else {"redis", "python"},
        metadata={
            "queue": f"{prefix_of(row.name)}:waiting",
            "function": row.function,
            "needs the GPU": row.gpu,
            "processes": row.concurrency,
            "time limit (s)": row.timeout_s,
            "attempts": row.max_attempts,
        },
    )


SPECS = tuple(_spec(row) for row in WORKERS.values())


def status_of(state: QueueState, now: float) -> Status:
    """Judge one worker. Pure.

    1. A process is alive and has beaten within two beats: running.
    2. A process is alive, but a beat is missing: late.
    3. None is alive, and one is still registered or jobs wait: down; somebody should look.
    4. None is alive and nothing waits: absent.

    Args:
        state: Its queue, with the processes that are registered.
        now: UTC unix seconds.
    """
    alive = [process for process in state.processes if process.alive]
    if any(now - process.beat_at <= _LATE_S for process in alive):
        return Status.RUNNING  # 1
    if alive:
        return Status.LATE  # 2
    return Status.DOWN if state.processes or state.waiting else Status.ABSENT  # 3, 4


class Told(NamedTuple):
    """What was told of one worker last, and when (UTC unix seconds)."""

    status: str
    at: float


_TOLD = TypeAdapter(dict[str, Told])


def read(cursor: str | None) -> dict[str, Told]:
    """Return what was told last, by worker; nothing when that cannot be read, so that all is told again."""
    try:
        return {} if cursor is None else _TOLD.validate_json(cursor)
    except ValidationError:
        return {}


def kept(told: Mapping[str, Told]) -> str:
    """Return the cursor that :func:`read` reads."""
    return _TOLD.dump_json(dict(told)).decode()


class Telling(NamedTuple):
    """The observations to report, and what is then told, by worker."""

    observations: tuple[dg.AssetObservation, ...]
    told: Mapping[str, Told]


def tell(states: Mapping[str, QueueState], told: Mapping[str, Told], now: float) -> Telling:
    """Tell of every worker whose status has flipped, or was told a day ago. Pure.

    A sensor daemon that dies before the cursor is stored tells it twice, which does no harm: it is a status, no event.

    Args:
        states: How each queue stands, by worker.
        told: What was told last, by worker.
        now: UTC unix seconds.
    """
    observations: list[dg.AssetObservation] = []
    then: dict[str, Told] = {}
    for name, state in states.items():
        last, status = told.get(name), status_of(state, now)
        if last is not None and last.status == status and 0 <= now - last.at < AGAIN_S:
            then[name] = last
            continue
        then[name] = Told(status.value, now)
        observations.append(dg.AssetObservation(key_of(name), metadata=_shown(state, status, now)))
    return Telling(tuple(observations), then)


def _shown(state: QueueState, status: Status, now: float) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {
        "status": dg.MetadataValue.text(status.value),
        "processes alive": dg.MetadataValue.int(sum(process.alive for process in state.processes)),
        "waiting": dg.MetadataValue.int(state.waiting),
        "scheduled": dg.MetadataValue.int(state.scheduled),
        "dead letters": dg.MetadataValue.int(state.dead),
        **{
            what: dg.MetadataValue.int(state.counts.get(what, 0)) for what in ("done", "retried", "buried", "reclaimed")
        },
    }
    freshest = max(state.processes, key=lambda process: (process.alive, process.beat_at), default=None)
    if freshest is not None:
        shown["pid"] = dg.MetadataValue.int(freshest.pid)
        shown["host"] = dg.MetadataValue.text(plain(freshest.host, 100))
    if freshest is not None and freshest.beat_at:
        shown["heartbeat age (s)"] = dg.MetadataValue.float(round(now - freshest.beat_at, 1))
    return shown
