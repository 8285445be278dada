"""The ``forge jobs`` commands: what is in line, and what to do with dead letters.

Belongs here: reading arguments, asking before something is lost, and exit codes. Does not belong here: any work.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from forge_workers import settings as chosen
from forge_workers.catalog import WORKERS, Worker, worker
from forge_workers.errors import BadArgs
from forge_workers.plural import count
from forge_workers.settings import Settings

if TYPE_CHECKING:
    from forge_workers.fleet.letters import Letters
    from forge_workers.jobs.inspection import Seen

app = typer.Typer(help="Show jobs in line, at work, scheduled and dead; requeue or drop dead letters.")

Of = Annotated[str | None, typer.Option("--worker", metavar="WORKER", help="Only this worker's.")]
_ID = typer.Argument(metavar="ID", help="The job's id, or the first characters of it.")
Which = Annotated[str | None, _ID]
Every = Annotated[bool, typer.Option("--all", help="Every dead letter, or every one of --worker.")]


@app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    dead: Annotated[bool, typer.Option("--dead", help="Only dead letters: jobs that were given up.")] = False,
    of: Of = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them all as JSON, for a program.")] = False,
) -> None:
    """Show jobs in line, at work, scheduled and dead; requeue or drop dead letters."""
    if context.invoked_subcommand is not None:
        return
    from forge_workers.fleet import letters as listing  # noqa: PLC0415  not needed for --help
    from forge_workers.fleet import redis_state, tables  # noqa: PLC0415

    settings = chosen.load()
    with redis_state.in_plain_words():
        found = list(_letters(settings, of).every(dead_only=dead))
    if as_json:
        sys.stdout.write(listing.as_json(found) + "\n")
        return
    Console(highlight=False).print(tables.seen(found, time.time(), settings.zone))


@app.command()
def show(
    which: Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the first characters of it.")],
) -> None:
    """Show all that is known of one job: where it is, what it carries, and how it ended."""
    from forge_workers.fleet import redis_state, tables  # noqa: PLC0415  not needed for --help

    settings = chosen.load()
    with redis_state.in_plain_words():
        found, ended = _letters(settings, None).one(which)
    Console(highlight=False).print(tables.job(found, ended, time.time(), settings.zone))


@app.command()
def requeue(which: Which = None, every: Every = False, of: Of = None) -> None:
    """Put a dead letter in line again, as if for the first time."""
    from forge_workers.fleet import redis_state  # noqa: PLC0415  not needed for --help

    settings = chosen.load()
    letters = _letters(settings, of)
    said = {"queued": "Queued", "gone": "Gone meanwhile:", "duplicate": "Left there, its key is taken by another job:"}
    refused = 0
    with redis_state.in_plain_words():
        for letter in _chosen(letters, which, every=every):
            try:
                how = letters.requeue(letter)
            except BadArgs as error:
                if not every:
                    raise
                sys.stdout.write(f"Left there: {error}\n")
                refused += 1
                continue
            refused += how == "duplicate"
            sys.stdout.write(f"{said[how]} {letter.id[:8]} for {letter.worker}\n")
    sys.exit(int(refused > 0))


@app.command()
def drop(
    which: Which = None,
    every: Every = False,
    of: Of = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget a dead letter for ever; --all needs --worker. Asks first on a terminal."""
    from forge_workers.fleet import redis_state  # noqa: PLC0415  not needed for --help

    if every and of is None:
        raise BadArgs("--all forgets every dead letter of one worker: add --worker WORKER")
    settings = chosen.load()
    letters = _letters(settings, of)
    with redis_state.in_plain_words():
        found = _chosen(letters, which, every=every)
        if not found:
            sys.stdout.write("No dead letters.\n")
            return
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Forget {count(len(found), 'dead letter')} of {found[0].worker} for ever?", abort=True)
        dropped = sum(letters.drop(letter) for letter in found)
    sys.stdout.write(f"Dropped {count(dropped, 'dead letter')} of {found[0].worker}.\n")


def _letters(settings: Settings, of: str | None) -> Letters:
    """Return the jobs of one worker or of all.

    Raises:
        BadArgs: There is no such worker.
    """
    from forge_workers.fleet.letters import Letters  # noqa: PLC0415  not needed for --help
    from forge_workers.fleet.redis_state import check  # noqa: PLC0415
    from forge_workers.redis_server import url_of  # noqa: PLC0415
    from forge_workers.wire import Wire  # noqa: PLC0415

    rows: Mapping[str, Worker] = WORKERS if of is None else {of: worker(of)}
    wire = Wire(url_of(settings))
    check(wire)
    return Letters(wire, rows)


def _chosen(letters: Letters, which: str | None, *, every: bool) -> list[Seen]:
    """Return the dead letters that are meant.

    Raises:
        BadArgs: None or several are meant by an id, or neither an id nor --all is given, or both.
    """
    if every == (which is not None):
        raise BadArgs("write a job's id or --all: `forge jobs --dead` lists dead letters")
    return list(letters.every(dead_only=True)) if which is None else [letters.dead(which)]
