"""Watching the GPU and its lease: who uses one without the other, who waits too long, and an empty device to train on.

Belongs here: the report about it and what it remembers between two looks. Does not belong here: the lease
(``lease.py``), which this never takes, or what counts as use and as release (``residency.py``).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import psutil

from forge_workers import redis_server
from forge_workers.errors import Transient
from forge_workers.gpu.lease import Leases
from forge_workers.gpu.ollama_memory import OllamaMemory
from forge_workers.gpu.residency import Loaded, Look, Memory, Release, unload_all, use_without_lease
from forge_workers.gpu.status import LeaseStatus, Priority
from forge_workers.plain import markdown, plain
from forge_workers.plural import count
from forge_workers.report import Effect, Evidence, Finding, Gap, Outcome, Report, Severity, fingerprint
from forge_workers.wire import Wire

if TYPE_CHECKING:
    from forge_workers.tools import Request, Tools

_ASSET = "gpu_coordinator"
#: Seconds of waiting that are worth telling: half of what a worker waits before it comes back later.
_CONTENTION_S = 300.0
#: Redis key of the last look, as JSON, and how long it is worth anything, seconds.
_LAST_LOOK, _LAST_LOOK_S = "{forge:gpu:local:0}:look", 86_400


def gpu_coordinator(request: Request, tools: Tools) -> Report:
    """Look at the lease and at the device once, and empty the device when training holds the lease or is next."""
    return coordinate(request, tools, in_use=memory_in_use, clock=time.monotonic, pause=time.sleep)


def memory_in_use() -> int:
    """Return the bytes of this machine's memory that nothing else could have; on Apple silicon the GPU's too."""
    memory = psutil.virtual_memory()
    return int(memory.total - memory.available)


def coordinate(
    request: Request,
    tools: Tools,
    *,
    in_use: Callable[[], int],
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> Report:
    """Do what :func:`gpu_coordinator` says.

    Args:
        request: For which night it is told.
        tools: The settings say where Redis and Ollama are.
        in_use: Measures the bytes in use.
        clock: Seconds that only rise.
        pause: Waits so many seconds.

    Raises:
        Transient: Redis does not answer.
    """
    wire = Wire(redis_server.url_of(tools.settings))
    with contextlib.closing(wire):
        now, status = tools.now(), Leases(wire, mutex=None).status(tools.now())
        if tools.settings.models.engine != "ollama":
            return _report(request, status, now, ())
        try:
            with contextlib.closing(OllamaMemory(tools.settings.models.ollama_url)) as memory:
                look = _look(now, status, memory)
                uses = use_without_lease(_remembered(wire), look)
                empty = is_exclusive(status)
                release = unload_all(memory, in_use, clock=clock, pause=pause) if empty else None
                _remember(wire, _look(now, status, memory) if release else look)
        except Transient as fault:
            return _report(request, status, now, (), gaps=(Gap(what="the models in memory", why=str(fault)),))
    return _report(request, status, now, uses, release=release)


def is_exclusive(status: LeaseStatus) -> bool:
    """Whether training has the device or has it next; a device that somebody else works on is left alone."""
    if status.holder is not None:
        return status.holder.priority is Priority.TRAINING
    return any(waiter.priority is Priority.TRAINING for waiter in status.waiters)


def _look(now: float, status: LeaseStatus, memory: Memory) -> Look:
    holder = status.holder
    model = holder.model if holder is not None else None
    return Look(now, status.term, holder is not None, model, memory.loaded())


def _remembered(wire: Wire) -> Look | None:
    kept = wire.call("GET", _LAST_LOOK)
    try:
        found = json.loads(kept or "null")
        models = tuple(Loaded(**model) for model in found.pop("models"))
        return Look(**found, models=models)
    except (ValueError, TypeError, AttributeError, KeyError):  # none yet, or of another version
        return None


def _remember(wire: Wire, look: Look) -> None:
    wire.call("SET", _LAST_LOOK, json.dumps(asdict(look)), "EX", _LAST_LOOK_S)


def _report(
    request: Request,
    status: LeaseStatus,
    now: float,
    uses: tuple[str, ...],
    *,
    release: Release | None = None,
    gaps: tuple[Gap, ...] = (),
) -> Report:
    waits = [now - waiter.since_at for waiter in status.waiters]
    late = [
        f"{plain(waiter.purpose)} has waited {wait / 60:.0f} min for GPU {status.device}"
        for waiter, wait in zip(status.waiters, waits, strict=True)
        if wait > _CONTENTION_S
    ]
    findings = (
        *(_finding("gpu:without lease", Severity.MEDIUM, use, "ollama", now) for use in uses),
        *(_finding("gpu:contention", Severity.LOW, wait, "redis", now) for wait in late),
    )
    reasons = [f"{gap.what}: {gap.why}" for gap in gaps]
    if release is not None and not release.verified:
        reasons.append(f"the GPU was not seen to be empty before training: {release.why}")
    said = [*uses, *late, *([release.why] if release else [])]
    headline = f"{status.sentence}; {count(len(said), 'thing')} to tell." if said else f"{status.sentence}."
    return Report(
        asset=_ASSET,
        night=request.night,
        outcome=Outcome.DEGRADED if reasons else Outcome.RAN,
        reasons=tuple(reasons),
        headline=headline,
        markdown="\n".join(["## GPU", "", markdown(headline), "", *(f"- {markdown(line)}" for line in said)]) + "\n",
        numbers={
            "waiting": float(len(waits)),
            "longest_wait_s": max(waits, default=0.0),
            "released_bytes": float(release.released_bytes if release else 0),
        },
        findings=findings,
        gaps=gaps,
        effects=tuple(
            Effect(name="model unloaded", target=name, verified=release.verified, detail=release.why)
            for release in ([release] if release else [])
            for name in release.unloaded
        ),
    )


def _finding(rule: str, severity: Severity, title: str, source: str, now: float) -> Finding:
    evidence = Evidence(source=source, observed_at=now)
    mark = fingerprint(rule, title.split(" ", 1)[0])
    return Finding(fingerprint=mark, rule=rule, severity=severity, title=f"{title}.", evidence=(evidence,))
