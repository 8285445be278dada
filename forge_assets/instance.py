"""Dagster's own home under ``FORGE_HOME``: settings, databases, and how long they remember.

Belongs here: what Forge asks of Dagster's instance. Does not belong here: what runs on it.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from filelock import FileLock

from forge_workers import files
from forge_workers.settings import Settings

#: Runs, their events and their console output are kept this long; reports are kept for ever.
KEEP_DAYS = 60

_DAGSTER_YAML = """\
# Made by Forge each time it starts: what is changed here is lost.
telemetry:
  enabled: false
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60  # without it an ended run could hold the GPU's slot for ever
  max_runtime_seconds: 43200  # nobody sees that a killed run's process is gone; after half a day it is ended
concurrency:
  pools:
    granularity: run  # a run that waits for the GPU waits in the queue, without a process
    default_limit: 1
  runs:
    tag_concurrency_limits:
      - key: dagster/backfill
        limit: 1
retention:
  schedule:
    purge_after_days: 60
  sensor:
    purge_after_days:
      skipped: 7
      failure: 60
      success: 60
"""


def prepare(settings: Settings) -> Path:
    """Make Dagster's home ready and return it.

    Many processes may call this at once: the databases are made by one of them, since Dagster's own set-up races.

    Raises:
        OSError: The directory cannot be made or written.
    """
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(home / ".prepare.lock"):
        files.replace(home / "dagster.yaml", _DAGSTER_YAML)
        files.replace(home / ".nux" / "nux.yaml", "seen: 1\n")  # or its pages open with an invitation over them
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.event_log_storage.set_concurrency_slots("gpu", 1)
    return home


def forget_old_runs(instance: dg.DagsterInstance, now: float) -> int:
    """Delete runs older than :data:`KEEP_DAYS` with their events and console output; return how many."""
    before = datetime.fromtimestamp(now, UTC) - timedelta(days=KEEP_DAYS)
    old = instance.get_runs(filters=dg.RunsFilter(created_before=before))
    for run in old:
        instance.delete_run(run.run_id)
        shutil.rmtree(Path(instance.storage_directory()) / run.run_id, ignore_errors=True)
    return len(old)


def end_dead_runs(instance: dg.DagsterInstance, tag: dict[str, str]) -> int:
    """Mark the unfinished runs with ``tag`` as failed and free their slots; return how many.

    The caller must hold the lock that a living run with this tag would hold.
    """
    unfinished = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    dead = instance.get_runs(filters=dg.RunsFilter(tags=tag, statuses=unfinished))
    for run in dead:
        instance.report_run_failed(run, "its process is gone")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(dead)
