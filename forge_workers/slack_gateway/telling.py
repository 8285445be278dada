"""What ``/forge status``, ``nights``, ``jobs`` and ``briefing`` tell, as plain lines for a phone.

Belongs here: those lines. Does not belong here: finding anything out, which the modules do that the terminal's commands
ask too, or escaping and hiding secrets (``answers.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pydantic import ValidationError

from forge_workers.briefing.model import Briefing
from forge_workers.catalog import SERVICES, WORKERS
from forge_workers.errors import BadArgs, Damaged, Transient
from forge_workers.fleet import redis_state
from forge_workers.fleet.letters import Letters
from forge_workers.fleet.status import FleetStatus, WorkerStatus, gather
from forge_workers.night import BRIEFING
from forge_workers.nights import grid
from forge_workers.plain import plain
from forge_workers.plural import count
from forge_workers.redis_server import shown_url
from forge_workers.slack_gateway.actions import Means, moment
from forge_workers.windows import check_night
from forge_workers.wire import Unanswered

#: Nights, jobs and needs told; the rest are counted.
_NIGHTS, _JOBS, _NEEDS = 14, 15, 10


def status(means: Means, now: float) -> str:
    """Tell how everything that always runs stands; with Redis away, what can be told without it."""
    found = gather(means.settings, WORKERS, SERVICES, means.wire, shown_url(means.settings), now=now)
    return "\n".join(_status(found))


def _status(found: FleetStatus) -> Iterator[str]:
    redis = found.redis.problem or f"Redis is {found.redis.state}"
    yield f"The fleet is {found.fleet}. {redis}. {found.gpu.sentence if found.gpu else 'The GPU cannot be asked.'}"
    yield from (_worker(worker) for worker in found.workers)
    yield from (f"{service.name} · {service.state}" for service in found.services)
    if found.spooled:
        yield f"{count(found.spooled, 'job')} wait on disk for Redis."


def _worker(worker: WorkerStatus) -> str:
    numbers = {"waiting": worker.waiting, "running": worker.running, "dead": worker.dead}
    return " · ".join((worker.name, worker.state, *(f"{number} {name}" for name, number in numbers.items() if number)))


def nights(means: Means, now: float) -> str:
    """Tell what became of the newest nights, newest first."""
    chosen = grid.chosen(None, None, means.store, means.settings, now)[-_NIGHTS:]
    found = grid.states(means.store, chosen)
    return "\n".join(_night(night, steps) for night, steps in reversed(found.items())) or "No night has run yet."


def _night(night: str, steps: dict[str, grid.State]) -> str:
    told = [f"{number} {state}" for state, number in grid.totals(steps).items() if number]
    bad = [name for name, state in steps.items() if state is grid.State.FAILED]
    return f"{night} · {', '.join(told)}" + (f" · failed: {', '.join(bad)}" if bad else "")


def jobs(means: Means) -> str:
    """Tell which jobs are at work, in line, scheduled or given up.

    Raises:
        Transient: Redis is away or refuses.
    """
    try:
        with redis_state.in_plain_words():
            found = list(itertools.islice(Letters(means.wire, WORKERS).every(dead_only=False), _JOBS + 1))
    except Unanswered:
        raise Transient("Redis is away, so no job can be listed: start it with `forge up`") from None
    lines = [
        f"{plain(job.id, 8)} · {job.worker} · {job.where}"
        + (f" · since {moment(job.queued_at, means.settings)}" if job.queued_at else "")
        + (f" · {plain(job.reason, 80)}" if job.reason else "")
        for job in found[:_JOBS]
    ]
    more = ["and more: `forge jobs` lists them all"] if len(found) > _JOBS else []
    return "\n".join((*lines, *more)) or "No jobs."


def briefing(means: Means, named: str | None) -> str:
    """Tell a night's briefing in short, the newest one unless a night is named.

    Raises:
        BadArgs: There is none.
    """
    kept = means.store.nights(BRIEFING)
    night = check_night(named) if named is not None else next(iter(kept), "")
    if night not in kept:
        raise BadArgs(f"there is no briefing of {night}" if night else "there is no briefing yet")
    try:
        report = means.store.load(BRIEFING, night)
        told = Briefing.model_validate(dict(report.data)) if report else None
    except (Damaged, ValidationError):
        told = None
    if told is None:
        raise BadArgs(f"the briefing of {night} cannot be read: have it told again with /forge morning_briefing")
    return "\n".join(_briefing(told))


def _briefing(told: Briefing) -> Iterator[str]:
    edition = f", edition {told.edition}" if told.edition > 1 else ""
    yield f"{told.night}{edition} · {told.verdict.level} · {told.verdict.sentence}"
    yield from (f"{need.urgency} · {need.text}" for need in told.needs_you[:_NEEDS])
    if len(told.needs_you) > _NEEDS:
        yield f"and {len(told.needs_you) - _NEEDS} more that need you"
    shown = len(told.findings) + sum(number for _, number in told.findings_more)
    yield f"{count(shown, 'new finding')}. {told.findings_note}".strip()
