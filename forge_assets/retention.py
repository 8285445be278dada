"""How long Dagster remembers: old runs with their events and console output, and the room they leave behind.

Reports, briefings and findings are Forge's own and stay for ever. A night by ``forge night`` forgets at its end, one
under the daemon by the sensor here, hourly and a little at a time. SQLite gives room back in small steps, so that no
night waits for it; PostgreSQL's own autovacuum does as much. Belongs here: that. Does not belong here: how long ticks
are kept, which Dagster's own retention does (``instance.py``).
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetEventTagsTable

from forge_assets.nights import SETTINGS

#: Runs forgotten per look of the sensor: 60 ms each, and a look shall end within seconds. A year of nights takes a day.
_BATCH = 100
#: Pages of 4 KB that SQLite gives back at once, while others wait.
_PAGES = 1_000
#: Longest wait in seconds for a database that somebody writes; what is not given back now is next time.
_BUSY_S = 2.0
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def forget_old_runs(instance: dg.DagsterInstance, keep_days: int, now: float, most: int = 10_000) -> int:
    """Delete runs that are over with their events and console output; return how many.

    Args:
        instance: Whose runs.
        keep_days: Age in days from which they are forgotten.
        now: UTC unix seconds.
        most: How many at most.
    """
    before = datetime.fromtimestamp(now, UTC) - timedelta(days=keep_days)
    old = instance.get_runs(dg.RunsFilter(created_before=before, statuses=_ENDED), limit=most, ascending=True)
    for run in old:
        instance.delete_run(run.run_id)
        shutil.rmtree(Path(instance.storage_directory()) / run.run_id, ignore_errors=True)
        for path in _event_files(instance, run.run_id):
            path.unlink(missing_ok=True)
    _forget_old_observations(instance, before)
    return len(old)


def let_shrink(home: Path) -> None:
    """Prepare SQLite's databases to give room back; one that was not made so is rewritten once, if nobody uses it."""
    for path in _databases(home):
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
            try:
                if connection.execute("PRAGMA auto_vacuum").fetchone() == (0,):
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                    connection.execute("VACUUM")
            except sqlite3.OperationalError:
                continue  # in use, or no room for the copy: at the next start


def give_room_back(home: Path) -> int:
    """Cut SQLite's databases down to what they hold, in steps; return the bytes given back."""
    databases = _databases(home)
    before = sum(_size(path) for path in databases)
    for path in databases:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
            try:
                while connection.execute("PRAGMA freelist_count").fetchone()[0]:
                    left = connection.execute("PRAGMA freelist_count").fetchone()
                    connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
                    if connection.execute("PRAGMA freelist_count").fetchone() == left:
                        break  # it was not made so, and could not be rewritten yet
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError:
                continue  # somebody writes, or the disk is full: at the next look
    return before - sum(_size(path) for path in databases)


@dg.sensor(minimum_interval_seconds=3_600, default_status=dg.DefaultSensorStatus.RUNNING)
def retention(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Forget old runs a hundred at a time and give their room back."""
    forgotten = forget_old_runs(context.instance, SETTINGS.dagster.keep_days, time.time(), _BATCH)
    given_back = give_room_back(SETTINGS.home / "dagster")
    return dg.SkipReason(f"{forgotten} runs forgotten, {given_back / 1e6:.1f} MB given back")


def _forget_old_observations(instance: dg.DagsterInstance, before: datetime) -> None:
    """Delete events that belong to no run, which is what sensors tell of workers; the newest are younger than that."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return
    events, tags = SqlEventLogStorageTable, AssetEventTagsTable
    old = (events.c.run_id == RUNLESS_RUN_ID) & (events.c.timestamp < before.replace(tzinfo=None))
    for connected in (storage.run_connection(RUNLESS_RUN_ID), storage.index_connection()):
        with connected as connection:
            ids = events.select().with_only_columns(events.c.id).where(old)
            connection.execute(tags.delete().where(tags.c.event_id.in_(ids)))
            connection.execute(events.delete().where(old))


def _event_files(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """Return the files in which SQLite keeps one run's events, which Dagster empties and leaves."""
    if not isinstance(instance.event_log_storage, SqliteEventLogStorage):
        return []
    path = instance.event_log_storage.path_for_shard(run_id)
    return [Path(path + end) for end in ("", "-wal", "-shm")]


def _databases(home: Path) -> list[Path]:
    """Return the databases that all runs share; a run's own goes with it."""
    shared = (home / "history" / "runs.db", home / "history" / "runs" / "index.db", home / "schedules" / "schedules.db")
    return [path for path in (*shared, home / "history" / "runs" / ".db") if path.is_file()]


def _size(path: Path) -> int:
    return sum(Path(f"{path}{end}").stat().st_size for end in ("", "-wal") if Path(f"{path}{end}").exists())
