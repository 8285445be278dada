"""The ``forge`` commands for many nights at once: nights, backfill.

Belongs here: reading arguments, choosing what to call, and exit codes. Does not belong here: any work.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from forge_workers import settings as chosen
from forge_workers.errors import BadArgs

app = typer.Typer()

_DAY = "YYYY-MM-DD"
#: What a shell expects of a process stopped by Ctrl-C.
_STOPPED = 130

First = Annotated[str | None, typer.Option("--from", metavar=_DAY, help="The oldest night.")]
Last = Annotated[str | None, typer.Option("--to", metavar=_DAY, help="The newest night.")]
Assets = Annotated[
    list[str] | None, typer.Option("--asset", metavar="STEP", help="Only this step, and below it; may be repeated.")
]


@app.command()
def nights(first: First = None, last: Last = None) -> None:
    """Show what became of every step of the last 60 nights, the newest last."""
    from forge_workers.nights import drawing, grid  # noqa: PLC0415  not needed for --help
    from forge_workers.store import NightStore  # noqa: PLC0415

    settings = chosen.load()
    store = NightStore(settings.home / "nights")
    meant = grid.chosen(first, last, store, settings, time.time())
    if first is None and last is None and not store.all_nights():
        raise BadArgs(f"no night has run yet under {settings.home}: run `forge night`")
    Console(highlight=False).print(drawing.grid(grid.states(store, meant)))


@app.command()
def backfill(
    failed: Annotated[bool, typer.Option("--failed", help="All missing or failed of the last 60 nights.")] = False,
    first: First = None,
    last: Last = None,
    asset: Assets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be run.")] = False,
) -> None:
    """Run what is missing or failed of past nights through Dagster, oldest first; publishes nothing.

    What stands on a repaired step is run again with it. Ctrl-C leaves it running; typed again, nothing is run twice.
    """
    from forge_workers.nights import asked, grid, repair, watching  # noqa: PLC0415  not needed for --help
    from forge_workers.store import NightStore  # noqa: PLC0415

    if not failed and first is None:
        raise BadArgs("say which nights: --failed for the last 60, or --from YYYY-MM-DD, with --to if not up to now")
    repair.check_assets(asset or ())
    settings = chosen.load()
    store = NightStore(settings.home / "nights")
    found = grid.states(store, grid.chosen(first, last, store, settings, time.time()))
    left_out = {night: asked.skipped(store.root, night) for night in found}
    repairs = repair.choose(found, asset or (), left_out)
    console = Console(highlight=False)
    if not repairs:
        console.print("Nothing is missing or failed in these nights.")
        return
    repair.check_size(repairs, dry_run=dry_run)
    order = repair.Order(repairs=repairs, dry_run=dry_run)
    environ = chosen.environment(FORGE_HOME=str(settings.home), DAGSTER_HOME=str(settings.home / "dagster"))
    try:
        code, told = watching.run(order, console, home=settings.home, environ=environ)
    except KeyboardInterrupt:
        errors = Console(stderr=True, highlight=False)
        errors.print("It goes on without this terminal: `forge nights` shows it; the same command waits for it again.")
        sys.exit(_STOPPED)
    if told is None or told.kind not in {"refused", "plan", "ended"}:
        raise BadArgs(f"the process that asks Dagster ended with code {code}: see {watching.log_path(settings.home)}")
    if told.kind == "refused":
        raise BadArgs(told.text)
    if told.kind == "ended":
        console.print(told.text, markup=False)
    sys.exit(int(bool(told.failed)))
