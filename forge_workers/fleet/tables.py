"""What ``forge status`` and ``forge jobs`` print of what always runs.

Belongs here: rich tables, as wide as the screen. Does not belong here: finding anything out (``status.py``,
``jobs/inspection.py``), or the nights (``forge_workers/tables.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forge_workers.fleet.redis_state import RedisState
from forge_workers.fleet.services import ServiceStatus
from forge_workers.fleet.status import FleetStatus, State, WorkerStatus
from forge_workers.jobs.inspection import Ended, Seen
from forge_workers.plain import plain
from forge_workers.plural import count

#: Columns of a screen from which on there is room for process numbers, starts and heartbeats.
_WIDE = 110
#: Digits of an id that are shown: enough to tell jobs apart, and accepted by every command.
_DIGITS = 8
#: Jobs of each kind that are listed before the rest is counted.
_LISTED = 20
_MARKS: dict[State | Literal["off"], tuple[str, str]] = {
    "up": ("●", "green"),
    "busy": ("▶", "cyan"),
    "starting": ("◌", "yellow"),
    "stopping": ("◌", "yellow"),
    "late": ("◐", "yellow"),
    "cut off": ("◐", "yellow"),
    "failing": ("✗", "red"),
    "down": ("○", "dim"),
    "off": ("·", "dim"),
}
_OUTCOMES = {"buried": "red", "failed": "red", "degraded": "yellow", "skipped": "dim"}
_NOTHING = Text("–", style="dim")


def fleet(status: FleetStatus, zone: ZoneInfo, width: int) -> RenderableType:
    """Draw the workers, a line each, then the services, the supervisor, Redis, the GPU and the spool."""
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 1 if not wide else 2, 0, 0))
    table.add_column("worker", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if wide:
        for heading in ("pid", "since", "beat"):
            table.add_column(heading, no_wrap=True, justify="right")
    for heading in ("wait", "later", "oldest", "dead"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column(Text("now, or the last job", no_wrap=True, overflow="ellipsis"))
    for worker in status.workers:
        table.add_row(*_worker(worker, status.at, zone, wide=wide))
    parts: list[RenderableType] = [table, Text()]
    if status.services:
        parts += [_services(status, zone), Text()]
    return Group(*parts, _rest(status))


def seen(jobs: Sequence[Seen], now: float, zone: ZoneInfo) -> RenderableType:
    """Draw jobs where they were seen, the first of each kind."""
    if not jobs:
        return Text("No jobs.")
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "worker", "where", "age", "attempt"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"age", "attempt"} else "left")
    table.add_column("what", overflow="fold", ratio=1)
    more = 0
    shown: dict[tuple[str, str], int] = {}
    for job in jobs:
        kind = (job.worker, job.where)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] > _LISTED:
            more += 1
            continue
        attempt = _NOTHING if job.attempt is None else Text(str(job.attempt))
        age = _NOTHING if job.queued_at is None else Text(duration(now - job.queued_at))
        table.add_row(Text(short(job.id)), Text(job.worker), _where(job), age, attempt, Text(_what(job, zone)))
    return Group(table, Text(f"… and {more:,} more: choose with --worker, or see all with --json")) if more else table


def job(found: Seen | None, ended: Ended | None, now: float, zone: ZoneInfo) -> RenderableType:
    """Draw all that is known of one job; what it carries is shown as data."""
    rows: list[tuple[str, str]] = []
    if found is not None:
        rows += [("id", plain(found.id)), ("worker", found.worker), ("where", found.where)]
        rows += [("due", moment(found.due_at, zone))] if found.due_at is not None else []
        if found.queued_at is not None:
            rows.append(("queued", f"{moment(found.queued_at, zone)}, {duration(now - found.queued_at)} ago"))
        rows += [(name, plain(text)) for name, text in (("by", found.by), ("key", found.key)) if text]
        rows += [("attempt", str(found.attempt))] if found.attempt is not None else []
        rows.append(("args", plain(json.dumps(found.args, ensure_ascii=False), 2_000)))
        rows += [("problem", plain(found.problem))] if found.problem else []
        if found.args is None:
            rows.append(("bytes", plain(found.raw[:2_000].decode("utf-8", "replace"), 2_000)))
    if found is not None and found.died_at is not None:
        rows += [("buried", moment(found.died_at, zone)), ("reason", plain(found.reason, 1_000))]
        rows.append(("traceback", "\n".join(plain(line, 400) for line in found.traceback.splitlines()) or "none"))
    elif ended is not None:
        took = "" if ended.seconds is None else f" after {duration(ended.seconds)}"
        rows += [] if found is not None else [("id", plain(ended.id))]
        rows.append(("ended", f"{plain(ended.outcome)} {moment(ended.at, zone)}{took}"))
        rows += [("headline", plain(ended.headline, 1_000))] if ended.headline else []
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def outcome(ended: Ended) -> Text:
    """Say how a job ended, in one line."""
    head = Text.assemble((plain(ended.outcome, 40), _OUTCOMES.get(ended.outcome, "green")))
    return head.append(f": {plain(ended.headline, 1_000)}" if ended.headline else "")


def short(job_id: str) -> str:
    """Return the digits of an id that are shown."""
    return plain(job_id, 40)[:_DIGITS]


def duration(seconds: float) -> str:
    """Return seconds as a short text with one unit."""
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(at: float, zone: ZoneInfo) -> str:
    """Return a time for a person, in their zone."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S")


def _worker(worker: WorkerStatus, now: float, zone: ZoneInfo, *, wide: bool) -> list[Text]:
    first = worker.processes[0]
    mark, style = _MARKS[worker.state]
    cells = [Text(worker.name), Text.assemble((mark, style), " ", (worker.state, style))]
    if wide:
        since = None if first.since_at is None else _since(first.since_at, now, zone)
        beat = None if first.beat_age_s is None else duration(first.beat_age_s)
        cells += [_cell(first.pid), _cell(since), _cell(beat)]
    oldest = None if worker.oldest_age_s is None else duration(worker.oldest_age_s)
    dead = _cell(worker.dead)
    if worker.dead:
        dead.stylize("red")
    doing = _doing(worker, now)
    doing.no_wrap, doing.overflow = True, "ellipsis"
    return [*cells, _cell(worker.waiting), _cell(worker.scheduled), _cell(oldest), dead, doing]


def _cell(value: object) -> Text:
    return _NOTHING.copy() if value is None else Text(str(value))


def _doing(worker: WorkerStatus, now: float) -> Text:
    """Say what is at work, or else what became of the last job."""
    busy = next((process for process in worker.processes if process.job), None)
    if busy is not None:
        since = "" if busy.job_since_at is None else f" {duration(now - busy.job_since_at)}"
        text = Text.assemble((short(busy.job), "cyan"), since)
        return text.append(f": {plain(busy.progress)}" if busy.progress else "")
    if worker.last is None:
        return _NOTHING.copy()
    return Text(f"{duration(now - worker.last.at)} ago ", style="dim").append_text(outcome(worker.last))


def _since(at: float, now: float, zone: ZoneInfo) -> str:
    then, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    return then.strftime("%H:%M" if then.date() == today.date() else "%d %b")


def _services(status: FleetStatus, zone: ZoneInfo) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("service", "state", "pid", "since"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"pid", "since"} else "left")
    table.add_column(Text("where", no_wrap=True, overflow="ellipsis"))
    for service in status.services:
        mark, style = _MARKS[service.state]
        since = None if service.since_at is None else _since(service.since_at, status.at, zone)
        where = _where_listens(service)
        where.no_wrap, where.overflow = True, "ellipsis"
        state = Text.assemble((mark, style), " ", (service.state, style))
        table.add_row(Text(service.name), state, _cell(service.pid), _cell(since), where)
    return table


def _where_listens(service: ServiceStatus) -> Text:
    if service.why:
        return Text(service.why, style="dim")
    if not service.address:
        return _NOTHING.copy()
    return Text(service.address if service.address.startswith("unix:") else f"http://{service.address}")


def _rest(status: FleetStatus) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    for name, text in (
        ("fleet", _fleet(status)),
        ("redis", _redis(status.redis)),
        ("gpu", Text(status.gpu.sentence) if status.gpu else Text("unknown: it is kept in Redis", style="dim")),
        ("spool", _spool(status)),
    ):
        lines.add_row(Text(name, style="dim"), text)
    return lines


def _fleet(status: FleetStatus) -> Text:
    up = sum(worker.state in {"up", "busy"} for worker in status.workers)
    workers = f"{up} of {count(len(status.workers), 'worker')} up"
    if status.fleet == "up":
        return Text(f"{workers}, under supervisord (process {status.supervisor_pid})")
    if status.fleet == "silent":
        return Text(f"its supervisor (process {status.supervisor_pid}) does not answer", style="red")
    return Text("down: run `forge up`" if not up else f"{workers}, not under supervisord", style="yellow")


def _redis(redis: RedisState) -> Text:
    if redis.state == "away":
        return Text.assemble(("away", "red"), f": {redis.problem}")
    size = "" if redis.used_bytes is None else f", {redis.used_bytes / 1e6:.1f} MB"
    size += "" if redis.most_bytes is None else f" of {redis.most_bytes / 1e6:.0f} MB"
    up = "" if redis.up_s is None else f", up {duration(redis.up_s)}"
    text = Text(f"{redis.server} {redis.version} at {redis.address}{size}{up}".strip())
    return text.append(f"; {redis.problem}", style="red") if redis.problem else text


def _spool(status: FleetStatus) -> Text:
    text = Text(f"{count(status.spooled, 'job')} on disk for Redis" if status.spooled else "empty")
    if status.spooled:
        text.stylize("yellow")
    return text.append(f"; {count(status.rejected, 'line')} put aside", style="red") if status.rejected else text


def _where(job: Seen) -> Text:
    style = {"running": "cyan", "dead": "red", "scheduled": "dim"}.get(job.where, "")
    return Text(job.where, style=style)


def _what(job: Seen, zone: ZoneInfo) -> str:
    """Say why it is where it is, or what is wrong with it, or who asked."""
    if job.where == "dead":
        return plain(job.reason or job.problem)
    said = [f"due {moment(job.due_at, zone)}"] if job.due_at is not None else []
    said += [plain(job.problem)] if job.problem else [f"by {plain(job.by, 60)}"]
    return ", ".join(said)
