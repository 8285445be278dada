"""Ask Dagster for a backfill and tell how it goes: ``python -m forge_assets.backfill``; ``forge backfill`` starts it.

What to run comes as one line of JSON on the standard input, what happens is told as lines of JSON on the standard
output (``forge_workers.nights.repair``). Dagster's daemon does the work, so this process may end at any time. Nights
that follow each other and lack the same steps are one backfill: Dagster then makes one run per night and puts them in
line oldest first. Belongs here: asking, and looking. Does not belong here: which parts are run.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.utils import make_new_backfill_id
from filelock import FileLock

from forge_assets import instance as home
from forge_assets.definitions import defs
from forge_assets.nights import SETTINGS
from forge_workers.errors import ForgeError
from forge_workers.nights.repair import Order, Repair, Told
from forge_workers.plain import plain
from forge_workers.plural import count

DONE, REFUSED = 0, 2
#: Tag of every run and backfill that was asked for here.
TAG = "forge/backfill"
#: Behind whatever else waits for the GPU: Dagster's queue takes the highest number first, and 0 without one.
PRIORITY = "-10"
#: Seconds without a heartbeat after which the daemon counts as gone; it beats every 30 s, later when it is busy.
_SILENT_S = 120.0
#: Seconds between two looks at how far it is.
_LOOK_S = 1.0
#: The daemons without which a backfill would wait for ever.
_NEEDED = ("BACKFILL", "QUEUED_RUN_COORDINATOR")
_PARTITION = "dagster/partition"
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_OPEN = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


def asked_for(instance: dg.DagsterInstance) -> set[str]:
    """Return the nights of which anything is queued, at work, or in a backfill that is not over."""
    nights = {run.tags.get(_PARTITION, "") for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))}
    nights |= {run.tags.get(_PARTITION, "") for run in _waiting_for_a_retry(instance)}
    for backfill in instance.get_backfills(BulkActionsFilter(statuses=_OPEN)):
        nights |= set(_left_of(backfill))
    return nights - {""}


def _waiting_for_a_retry(instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    """Yield the failed runs that Dagster is about to try again."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={"dagster/will_retry": "true"})
    return (run for run in instance.get_runs(failed, limit=100) if run.is_complete_and_waiting_to_retry)


def _left_of(backfill: PartitionBackfill) -> Iterable[str]:
    """Return the nights of an open backfill that have not ended yet."""
    if not backfill.is_asset_backfill:
        return backfill.partition_names or ()
    data = backfill.get_asset_backfill_data(defs.resolve_asset_graph())
    left = data.target_subset - (data.materialized_subset | data.failed_and_downstream_subset)
    return {part.partition_key or "" for part in left.iterate_asset_partitions()}


def daemon_lives(instance: dg.DagsterInstance, now: float) -> bool:
    """Whether the daemons that a backfill needs have beaten lately; ``now`` is UTC unix seconds."""
    beats = instance.get_daemon_heartbeats()
    return all(name in beats and now - beats[name].timestamp <= _SILENT_S for name in _NEEDED)


def ask(instance: dg.DagsterInstance, repairs: Iterable[Repair], now: float) -> tuple[str, ...]:
    """Put ``repairs``, oldest night first, into as few backfills as keep one run per night; return their ids.

    Dagster sorts the runs of a backfill by night, and looks at backfills in the order of their time: each one's lies a
    millisecond after the one before it.
    """
    ids: list[str] = []
    graph = defs.resolve_asset_graph()
    for number, (parts, group) in enumerate(itertools.groupby(repairs, key=lambda repair: repair.parts)):
        nights = [repair.night for repair in group]
        parts_of_nights = {AssetKeyPartitionKey(dg.AssetKey(part), night) for part in parts for night in nights}
        span = nights[0] if len(nights) == 1 else f"{nights[0]} to {nights[-1]}"
        backfill = PartitionBackfill.from_asset_graph_subset(
            backfill_id=make_new_backfill_id(),
            backfill_timestamp=now + number / 1000,
            tags={TAG: "yes", "dagster/priority": PRIORITY},
            dynamic_partitions_store=instance,
            asset_graph_subset=AssetGraphSubset.from_asset_partition_set(parts_of_nights, graph),
            title=f"{count(len(parts), 'step')} of {span}",
            description=f"forge backfill: {', '.join(parts)}",
            run_config=None,
        )
        instance.add_backfill(backfill)
        ids.append(backfill.backfill_id)
    return tuple(ids)


def look(instance: dg.DagsterInstance, ids: Iterable[str]) -> tuple[Told, bool]:
    """Return how far the backfills are, and whether they are over."""
    nights: set[str] = set()
    over, newest = True, dict[str, dg.DagsterRun]()
    for backfill_id in ids:
        backfill = instance.get_backfill(backfill_id)
        if backfill is None:
            continue  # somebody deleted it
        over = over and backfill.status not in _OPEN
        data = backfill.get_asset_backfill_data(defs.resolve_asset_graph())
        nights |= {part.partition_key or "" for part in data.target_subset.iterate_asset_partitions()}
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
        newest |= {run.tags[_PARTITION]: run for run in reversed(runs)}  # they come newest first
    done = sum(run.is_success for run in newest.values())
    ended = sum(run.is_finished and not run.is_complete_and_waiting_to_retry for run in newest.values())
    failed = len(nights) - done if over else ended - done  # a backfill that Dagster could not do has no runs
    work = tuple(sorted(n for n, run in newest.items() if run.status is dg.DagsterRunStatus.STARTED))
    return Told(kind="progress", nights=len(nights), done=done, failed=failed, at_work=work), over


def _mine(instance: dg.DagsterInstance) -> tuple[str, ...]:
    """Return the backfills asked for here that are not over, oldest first."""
    found = instance.get_backfills(BulkActionsFilter(statuses=_OPEN))
    return tuple(b.backfill_id for b in sorted(found, key=lambda b: b.backfill_timestamp) if TAG in b.tags)


def do(order: Order, out: TextIO) -> int:
    """Do what is asked and tell it; return an exit code."""

    def tell(told: Told) -> None:
        out.write(told.model_dump_json() + "\n")
        out.flush()

    dagster_home = home.prepare(SETTINGS)
    with home.open_instance(SETTINGS) as instance:
        with FileLock(dagster_home / ".backfill.lock"):  # two at once would ask for the same
            asked = asked_for(instance)
            left = tuple(repair for repair in order.repairs if repair.night not in asked)
            out_of_it = [repair.night for repair in order.repairs if repair.night in asked]
            if out_of_it:
                text = f"Left out, because asked for or at work already: {_nights(out_of_it)}."
                tell(Told(kind="left_out", text=text))
            if order.dry_run:
                tell(Told(kind="plan", repairs=left))
                return DONE
            if not daemon_lives(instance, time.time()):
                text = "no Dagster daemon is alive to run a backfill: start it with `forge up` and try again"
                tell(Told(kind="refused", text=text))
                return REFUSED
            ids = (*_mine(instance), *ask(instance, left, time.time()))
        if left:
            tell(Told(kind="asked", text=f"Asked Dagster for {_nights([repair.night for repair in left])}."))
        return _follow(instance, ids, tell)


def _follow(instance: dg.DagsterInstance, ids: tuple[str, ...], tell: Callable[[Told], None]) -> int:
    """Tell each change until the backfills are over."""
    last, over = None, False
    while not over:
        told, over = look(instance, ids)
        if not daemon_lives(instance, time.time()):
            told = told.model_copy(update={"text": "the Dagster daemon is gone: `forge up` starts it, and it goes on"})
        if told != last:
            tell(told)
            last = told
        if not over:
            time.sleep(_LOOK_S)
    if last is not None:
        failed = f", {count(last.failed, 'night')} failed: see `forge nights`" if last.failed else ""
        text = f"{count(last.done, 'night')} repaired{failed}." if ids else "Nothing is left to ask for."
        tell(last.model_copy(update={"kind": "ended", "text": text}))
    return DONE


def _nights(nights: list[str]) -> str:
    """Name a few nights, or how many they are and where they end."""
    few = 3
    if len(nights) <= few:
        return ", ".join(nights)
    return f"{len(nights)} nights from {nights[0]} to {nights[-1]}"


def main() -> int:
    """Do the order on the standard input."""
    os.umask(0o077)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not mix with what is told
    order = Order.model_validate_json(sys.stdin.buffer.read())
    try:
        return do(order, out)
    except BrokenPipeError:
        return DONE  # nobody listens any more; Dagster goes on
    except ForgeError as error:
        out.write(Told(kind="refused", text=plain(str(error), 300)).model_dump_json() + "\n")
        out.flush()
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
