"""The night's two jobs, and the sensors: a briefing goes out whatever failed, and Dagster hears of the workers.

Belongs here: jobs and sensors. Does not belong here: any decision about a report or an event.
"""

import logging
import time

import dagster as dg

from forge_assets import worker_events as events
from forge_assets.assets import workers
from forge_assets.assets.briefing import morning_briefing
from forge_assets.nights import NIGHTS, SETTINGS
from forge_assets.resources.queues import START, Queues
from forge_assets.steps import Steps
from forge_workers.errors import Damaged, ForgeError
from forge_workers.log import event
from forge_workers.night import BRIEFING
from forge_workers.plain import plain
from forge_workers.windows import is_night

#: Runs with this tag brief by themselves; the command line sets it.
SELF_BRIEFED = "forge/self_briefed"
_PARTITION = "dagster/partition"

night = dg.define_asset_job(
    "night",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(morning_briefing),
    partitions_def=NIGHTS,
    description="Every step of one night but its briefing, which follows by itself.",
)
briefing = dg.define_asset_job(
    "briefing",
    selection=dg.AssetSelection.assets(morning_briefing),
    partitions_def=NIGHTS,
    description="The briefing of one night, made from whatever its steps left behind.",
)


def brief_after(run: dg.DagsterRun, *, briefed: bool = False) -> dg.RunRequest | dg.SkipReason:
    """Decide whether ``run``, which has ended, still needs its briefing made.

    Args:
        run: As it ended.
        briefed: Whether its night has a briefing already, which is then made again from what is known now.
    """
    key = run.tags.get(_PARTITION)
    if key is None:
        return dg.SkipReason("the run belongs to no night")
    chosen = run.asset_selection
    reasons = {
        "the run was a briefing": run.job_name == briefing.name,
        "the command line briefs its own nights": SELF_BRIEFED in run.tags,
        "the day is not over: its night's briefing will tell what the run found": (
            events.BY_DAY in run.tags and not briefed
        ),
        "the run will be tried again first": run.tags.get("dagster/will_retry") == "true",
        "the run made its briefing itself": (run.is_success and chosen is not None and dg.AssetKey(BRIEFING) in chosen),
    }
    for reason, holds in reasons.items():
        if holds:
            return dg.SkipReason(reason)
    return dg.RunRequest(run_key=f"briefing after {run.run_id}", partition_key=key)


_ON = dg.DefaultSensorStatus.RUNNING


def _brief_after(context: dg.RunStatusSensorContext, steps: Steps) -> dg.RunRequest | dg.SkipReason:
    return brief_after(context.dagster_run, briefed=_is_briefed(context.dagster_run.tags.get(_PARTITION, ""), steps))


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
