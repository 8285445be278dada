"""Dagster's own home under ``FORGE_HOME``: its settings and databases.

Belongs here: what Forge asks of Dagster's instance. Does not belong here: what runs on it, or how long it is remembered
(``retention.py``).
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from filelock import FileLock

from forge_assets import migration, retention
from forge_workers import files
from forge_workers.settings import Settings

_DAGSTER_YAML = """\
# Made by Forge each time it starts: what is changed here is lost.
telemetry:
  enabled: false
run_launcher:
  module: forge_assets.launcher
  class: Launcher
run_monitoring:
  enabled: true
  poll_interval_seconds: 5
  free_slots_after_run_end_seconds: 60  # without it an ended run could hold the GPU's slot for ever
  max_runtime_seconds: 43200  # half a day: no night takes longer
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false  # only a run whose process died: what failed for good fails again
backfills:
  use_threads: false  # one after the other, so that runs get in line oldest night first
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


#: Where runs and events are kept when a PostgreSQL is set; its address is a secret and stands in no file.
_POSTGRES_YAML = """\
storage:
  custom:
    module: forge_assets.postgres
    class: PatientPostgresStorage
    config:
      postgres_url:
        env: DAGSTER_POSTGRES_URL
"""


def prepare(settings: Settings) -> Path:
    """Make Dagster's home ready and return it; from then on this process and what it starts find its databases.

    Many processes may call this at once: the databases are made by one of them, since Dagster's own set-up races.

    Raises:
        OSError: The directory cannot be made or written.
        ConfigError: The PostgreSQL that is set refuses, or the databases are of another version of Dagster.
        Transient: The PostgreSQL that is set does not answer.
    """
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(home / ".prepare.lock"):
        files.replace(home / ".nux" / "nux.yaml", "seen: 1\n")  # or its pages open with an invitation over them
        with open_instance(settings) as instance:
            migration.bring_up_to_date(instance, settings.home, asked=False)
            instance.event_log_storage.set_concurrency_slots("gpu", 1)
        if settings.dagster.postgres_url is None:
            retention.let_shrink(home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance as the settings say, making its databases if they are not there.

    Raises:
        OSError: The directory cannot be made or written.
        ConfigError: The PostgreSQL that is set refuses.
        Transient: The PostgreSQL that is set does not answer.
    """
    home, url = settings.home / "dagster", settings.dagster.postgres_url
    os.environ["DAGSTER_HOME"] = str(home)  # Dagster and what it starts ask the environment
    if url is not None:
        from forge_assets import postgres  # noqa: PLC0415  half a second that SQLite does not need

        os.environ["DAGSTER_POSTGRES_URL"] = url.get_secret_value()
        postgres.require(url.get_secret_value())
    files.replace(home / "dagster.yaml", _DAGSTER_YAML + ("" if url is None else _POSTGRES_YAML))
    return dg.DagsterInstance.from_config(str(home))


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
