"""The jobs, and the sensors that follow runs and workers: a briefing goes out whatever failed.

Belongs here: jobs and those sensors. Does not belong here: what happens by the clock (``schedules.py``), or any
decision about a report or an event.
"""

import logging
import time

import dagster as dg

from forge_assets import run_tags
from forge_assets import worker_events as events
from forge_assets.assets import services, workers
from forge_assets.assets.briefing import morning_briefing
from forge_assets.assets.knowledge import weekly_consolidation
from forge_assets.nights import NIGHTS, SETTINGS, WEEKS
from forge_assets.resources.queues import START, Queues
from forge_assets.steps import Steps
from forge_workers.errors import Damaged, ForgeError
from forge_workers.log import event
from forge_workers.night import BRIEFING
from forge_workers.nights import asked
from forge_workers.plain import plain
from forge_workers.windows import is_night

#: Runs with this tag brief by themselves; the command line sets it.
SELF_BRIEFED = "forge/self_briefed"
_ON = dg.DefaultSensorStatus.RUNNING
#: What belongs to a night. Without the checks: each step runs its own, and tells Dagster.
_EVERYTHING = (dg.AssetSelection.all() - dg.AssetSelection.assets(weekly_consolidation)).without_checks()

night = dg.define_asset_job(
    run_tags.NIGHT_JOB,
    selection=_EVERYTHING,
    partitions_def=NIGHTS,
    description="Every step of one night, and its briefing; when a step fails, the briefing follows by itself.",
)
backfill = dg.define_asset_job(
    run_tags.BACKFILL_JOB,
    selection=_EVERYTHING - dg.AssetSelection.assets(morning_briefing).without_checks(),
    partitions_def=NIGHTS,
    description="Every step of one night but what publishes: for nights that are done again.",
)
weekly = dg.define_asset_job(
    run_tags.WEEKLY_JOB,
    selection=dg.AssetSelection.assets(weekly_consolidation).without_checks(),
    partitions_def=WEEKS,
    description="What the seven nights of a week come to, together.",
)
briefing = dg.define_asset_job(
    run_tags.BRIEFING_JOB,
    selection=dg.AssetSelection.assets(morning_briefing).without_checks(),
    partitions_def=NIGHTS,
    description="The briefing of one night, made from whatever its steps left behind.",
)


def brief_after(
    run: dg.DagsterRun, *, briefed: bool = False, superseded: bool = False
) -> dg.RunRequest | dg.SkipReason:
    """Decide whether ``run``, which has ended, still needs its briefing made.

    Args:
        run: As it ended.
        briefed: Whether its night has a briefing already, which is then made again from what is known now.
        superseded: Whether it did nothing, because another run was asked for instead.
    """
    key = run.tags.get(run_tags.PARTITION)
    if key is None or run.job_name == weekly.name:
        return dg.SkipReason("the run belongs to no night")
    chosen = run_tags.parts_of(run)
    reasons = {
        "the run did nothing of a night": not chosen,
        "another run was asked for instead": superseded,
        "the run was a briefing": run.job_name == briefing.name,
        "the command line briefs its own nights": SELF_BRIEFED in run.tags,
        "the day is not over: its night's briefing will tell what the run found": (
            events.BY_DAY in run.tags and not briefed
        ),
        "the run will be tried again first": run.tags.get("dagster/will_retry") == "true",
        "the run made its briefing itself": run.is_success and BRIEFING in chosen,
    }
    for reason, holds in reasons.items():
        if holds:
            return dg.SkipReason(reason)
    tags = {} if run_tags.publishes(run) else {run_tags.QUIET: "yes"}
    return dg.RunRequest(run_key=f"briefing after {run.run_id}", partition_key=key, tags=tags)


def _brief_after(context: dg.RunStatusSensorContext, steps: Steps) -> dg.RunRequest | dg.SkipReason:
    run = context.dagster_run
    key = run.tags.get(run_tags.PARTITION, "")
    return brief_after(run, briefed=_is_briefed(key, steps), superseded=_is_superseded(run, key, steps))


def _is_superseded(run: dg.DagsterRun, night: str, steps: Steps) -> bool:
    """Whether the night's record names another run, or another asking, than this one answers."""
    claim = run.tags.get(run_tags.CLAIM)
    if claim is None or not is_night(night):
        return False
    record = asked.read(steps.store.root, night)
    return record is not None and (record.claim != claim or record.run not in {"", run_tags.first_try(run)})


def _is_briefed(night: str, steps: Steps) -> bool:
    try:
        return is_night(night) and steps.store.attempt_of(BRIEFING, night) is not None
    except (Damaged, OSError):
        return True  # it is there, and making it again repairs it


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, request_job=briefing, default_status=_ON)
def brief_after_success(
    context: dg.RunStatusSensorContext, steps: dg.ResourceParam[Steps]
) -> dg.RunRequest | dg.SkipReason:
    """Make the briefing when a night's run has succeeded."""
    return _brief_after(context, steps)


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.FAILURE, request_job=briefing, default_status=_ON)
def brief_after_failure(
    context: dg.RunStatusSensorContext, steps: dg.ResourceParam[Steps]
) -> dg.RunRequest | dg.SkipReason:
    """Make the briefing when a night's run has failed: it then says what failed."""
    return _brief_after(context, steps)


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.CANCELED, request_job=briefing, default_status=_ON)
def brief_after_cancel(
    context: dg.RunStatusSensorContext, steps: dg.ResourceParam[Steps]
) -> dg.RunRequest | dg.SkipReason:
    """Make the briefing when a night's run was stopped: it then says what did not finish."""
    return _brief_after(context, steps)


def hear(context: dg.SensorEvaluationContext, queues: dg.ResourceParam[Queues]) -> dg.SensorResult | dg.SkipReason:
    """Turn what the workers told since the last tick into runs and observations, each event once."""
    cursor = events.read(context.cursor)
    after = START if cursor is None else cursor.at
    try:
        stream = queues.events(after, events.BATCH)
        start, lost = events.placed(cursor, stream)
        if start.at != after:
            stream = queues.events(start.at, events.BATCH)
    except ForgeError as error:
        return dg.SkipReason(plain(str(error), 300))
    plan = events.decide(start, stream.entries, zone=SETTINGS.zone, is_known=_is_known, now=time.time())
    fresh = events.not_yet_told(context.instance, plan.observations, start)
    for text in lost:
        event(context.log, "events.lost", logging.WARNING, why=text)
    for text in plan.unread:
        event(context.log, "events.unread", logging.WARNING, entry=text)
    counted = f"{len(stream.entries)} events read, {len(fresh)} told, {len(plan.unread)} unreadable"
    return dg.SensorResult(
        run_requests=plan.runs,
        asset_events=fresh,
        cursor=plan.cursor.model_dump_json(),
        skip_reason=None if plan.runs else "; ".join((*lost, counted)),
    )


def _is_known(night: str) -> bool:
    return is_night(night) and NIGHTS.has_partition_key(night)


worker_events = dg.sensor(name="worker_events", job=night, minimum_interval_seconds=15, default_status=_ON)(hear)


@dg.sensor(minimum_interval_seconds=30, default_status=_ON)
def worker_health(
    context: dg.SensorEvaluationContext, queues: dg.ResourceParam[Queues]
) -> dg.SensorResult | dg.SkipReason:
    """Tell on each worker's asset when its status flips, and once a day."""
    try:
        states = queues.workers()
    except ForgeError as error:
        return dg.SkipReason(plain(str(error), 300))
    telling = workers.tell(states, workers.read(context.cursor), time.time())
    return dg.SensorResult(
        asset_events=telling.observations,
        cursor=workers.kept(telling.told),
        skip_reason=f"{len(states)} workers seen, {len(telling.observations)} told",
    )


@dg.sensor(minimum_interval_seconds=60, default_status=_ON)
def service_health(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Tell on each service's asset when its status flips, and once a day."""
    now = time.time()
    found = services.found(SETTINGS, now)
    telling = services.tell(found, workers.read(context.cursor), now)
    return dg.SensorResult(
        asset_events=telling.observations,
        cursor=workers.kept(telling.told),
        skip_reason=f"{len(found)} services seen, {len(telling.observations)} told",
    )
