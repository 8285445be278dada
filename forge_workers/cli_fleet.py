"""The ``forge`` commands for what always runs: up, down, status, logs, enqueue.

Belongs here: reading arguments, choosing what to call, and exit codes. Does not belong here: any work, or dead letters
(``cli_jobs.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from forge_workers import settings as chosen
from forge_workers.catalog import SERVICES, WORKERS, worker
from forge_workers.errors import BadArgs, Transient
from forge_workers.plain import plain
from forge_workers.settings import Settings

if TYPE_CHECKING:
    from forge_workers.fleet.status import FleetStatus

app = typer.Typer()

#: Nights on the one screen that ``forge status`` is.
_NIGHTS = 5
#: Lines of each log that ``forge logs`` begins with.
_LINES = 40
#: Seconds between two looks of ``--watch`` and of ``--wait``.
_WATCH_S, _WAIT_S = 1.0, 0.2
#: Looks after which a job that is nowhere to be seen is given up: it may be on its way between two places.
_GONE_LOOKS = 10

Who = Annotated[str, typer.Argument(metavar="WORKER", help="One of the names that `forge status` shows.")]


@app.command()
def up() -> None:
    """Start every worker, Redis for them and Dagster's services; run again, it starts what is off and changes nothing.

    They go on when this terminal is closed. After a change of settings it starts all of them again.
    """
    from forge_workers.fleet.upkeep import Upkeep  # noqa: PLC0415  not needed for --help

    settings = chosen.load()
    console = Console(highlight=False)
    with _telling(console, "looking at what runs") as tell:
        look = _looker(settings)
        upkeep = Upkeep(settings, WORKERS, SERVICES, chosen.environment(), tell)
        did = upkeep.up()
        behind = upkeep.await_all(look)
    said = {
        "started": "The fleet is up.",
        "restarted": "The settings or the catalogue have changed: the fleet was started again.",
        "already": "The fleet is up already.",
    }
    if not behind or did != "started":
        console.print(said[did])
    console.print(_drawn(settings, look(), console.width))
    for late in behind:
        words = plain(upkeep.last_words(late)) or "it has logged nothing"
        Console(stderr=True, highlight=False).print(
            f"forge: {late.name} is {late.state}: {words}", markup=False, soft_wrap=True
        )
    sys.exit(int(bool(behind)))


@app.command()
def down() -> None:
    """Stop services, workers, their supervisor and Forge's own Redis.

    A night at work is finished first, however long; jobs at work finish or go back in line.
    """
    from forge_workers.fleet.upkeep import Upkeep  # noqa: PLC0415  not needed for --help

    console = Console(highlight=False)
    with _telling(console, "looking at what runs") as tell:
        fleet_ran, redis_ran = Upkeep(chosen.load(), WORKERS, SERVICES, chosen.environment(), tell).down()
    if fleet_ran:
        console.print("The fleet is stopped.")
    console.print("Redis is stopped." if redis_ran else "Redis was not running.")


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the workers' part as JSON, for a program.")] = False,
) -> None:
    """Show the workers, the services, the GPU, Redis and the newest nights on one screen."""
    settings = chosen.load()
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(_looker(settings)()), indent=2) + "\n")
        return
    console, look = Console(highlight=False), _looker(settings)
    if not watch:
        console.print(_drawn(settings, look(), console.width))
        return
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            drawn = _drawn(settings, look(), console.width)
            if console.is_terminal:
                live.update(drawn, refresh=True)
            else:
                console.print(drawn)
            time.sleep(_WATCH_S)


@app.command()
def logs(
    who: Who,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="Lines to begin with.")] = _LINES,
) -> None:
    """Show the end of a worker's log; also of a service such as dagster_daemon, and of supervisord."""
    from forge_workers.fleet import configuration  # noqa: PLC0415  not needed for --help
    from forge_workers.fleet import logs as files  # noqa: PLC0415

    home = chosen.load().home
    if who in {*SERVICES, "supervisord"}:
        paths = [home / "logs" / f"{who}.log"]
    else:
        row = worker(who)
        paths = [configuration.log_of(home, row, slot) for slot in range(row.concurrency)]
    there = [path for path in paths if path.exists()]
    if follow:
        for line in files.follow(paths[0], lines):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    if not there:
        raise BadArgs(f"{who} has logged nothing yet: run `forge up`")
    for path in there:
        sys.stdout.writelines(f"{line}\n" for line in files.last(path, lines))


@app.command(epilog="\n\n".join(f"{row.name}: {' '.join(row.args) or 'no arguments'}" for row in WORKERS.values()))
def enqueue(  # noqa: PLR0917  one parameter per option
    who: Who,
    words: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE ...", help="What to do.")] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Put it first in line.")] = False,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Not before 07:30, or 2026-12-01T07:30.")
    ] = None,
    in_: Annotated[
        str | None, typer.Option("--in", metavar="SPAN", help="Not before 90s, 5m, 2h or 1d from now.")
    ] = None,
    key: Annotated[str, typer.Option("--key", help="Take no second job with this key while one waits or runs.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended; exit 1 when it was buried.")] = False,
) -> None:
    """Give a worker a job: forge enqueue code_review repository=/path commit=0123abc."""
    from forge_workers.fleet import redis_state, request, tables  # noqa: PLC0415  not needed for --help
    from forge_workers.jobs.spool import Producer  # noqa: PLC0415
    from forge_workers.redis_server import url_of  # noqa: PLC0415
    from forge_workers.wire import Unanswered, Wire  # noqa: PLC0415

    settings, row = chosen.load(), worker(who)
    now = time.time()
    args = request.arguments(row, words or [])
    due = request.due(at, in_, now=now, zone=settings.zone)
    wire = Wire(url_of(settings))
    with redis_state.in_plain_words():
        with contextlib.suppress(Unanswered):  # the producer keeps the job on disk
            redis_state.check(wire)
        ticket = Producer(wire, settings.home, WORKERS).enqueue(who, args, key=key, urgent=urgent, at=due)
    placed = {
        "queued": f"Queued {ticket.id} for {who}.",
        "scheduled": f"Scheduled {ticket.id} for {who} at {'' if due is None else tables.moment(due, settings.zone)}.",
        "duplicate": f"Not taken: job {ticket.id} with the same key waits or runs already.",
        "spooled": f"Redis is away: job {ticket.id} for {who} is safe on disk and goes in line when Redis is back.",
    }
    sys.stdout.write(placed[ticket.placed] + "\n")
    sys.stdout.flush()
    if wait and ticket.placed == "spooled":
        raise Transient("a job in the spool cannot be waited for: run `forge up` and look at `forge status`")
    if wait:
        _wait_for(ticket.id, who, settings)


def _wait_for(job_id: str, who: str, settings: Settings) -> None:
    """Show how far a job is until it has ended, say how, and leave with the exit code."""
    from forge_workers.fleet import tables  # noqa: PLC0415  not needed for --help
    from forge_workers.jobs.inspection import Inspection  # noqa: PLC0415
    from forge_workers.redis_server import url_of  # noqa: PLC0415
    from forge_workers.wire import Refused, Unanswered, Wire  # noqa: PLC0415

    console = Console(highlight=False)
    inspection = Inspection(Wire(url_of(settings)), worker(who))
    missed = 0
    with _telling(console, "waiting") as tell:
        while missed < _GONE_LOOKS:
            try:
                ended = next(iter(inspection.ended(job_id)), None)
                if ended is not None:
                    break
                seen = next(iter(inspection.find(job_id)), None)
                busy = next((process for process in inspection.processes() if process.job == job_id), None)
            except (Unanswered, Refused):  # it is away, or loads its data again
                tell("waiting for Redis")
            else:
                missed = missed + 1 if seen is None else 0
                if seen is not None:
                    tell(f"{seen.where}{f': {plain(busy.progress)}' if busy and busy.progress else ''}")
            time.sleep(_WAIT_S)
        else:
            raise Transient(f"job {job_id} is gone and its outcome is kept no more")
    console.print(tables.outcome(ended))
    sys.exit(int(ended.buried))


@contextmanager
def _telling(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Show what is being waited for while it lasts, on a terminal only."""
    with console.status(Text(text)) as spinner:
        yield lambda said: spinner.update(Text(said))


def _looker(settings: Settings) -> Callable[[], FleetStatus]:
    """Return a way to see how everything stands."""
    from forge_workers.fleet.status import gather  # noqa: PLC0415  not needed for --help
    from forge_workers.redis_server import shown_url, url_of  # noqa: PLC0415
    from forge_workers.wire import Wire  # noqa: PLC0415

    wire, address = Wire(url_of(settings)), shown_url(settings)
    return lambda: gather(settings, WORKERS, SERVICES, wire, address, now=time.time())


def _drawn(settings: Settings, found: FleetStatus, width: int) -> RenderableType:
    """Return the one screen: what always runs, then the nights."""
    from forge_workers import tables as nights  # noqa: PLC0415  not needed for --help
    from forge_workers.fleet import tables  # noqa: PLC0415

    fleet = tables.fleet(found, settings.zone, width)
    return Group(fleet, Text(), nights.nights(settings, found.at, most=_NIGHTS))
