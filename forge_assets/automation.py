"""The night's two jobs, and the sensor that sees to it that a briefing goes out whatever failed.

Belongs here: jobs and sensors. Does not belong here: any decision about a report.
"""

import dagster as dg

from forge_assets.assets.briefing import morning_briefing
from forge_assets.nights import NIGHTS
from forge_workers.night import BRIEFING

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


def brief_after(run: dg.DagsterRun) -> dg.RunRequest | dg.SkipReason:
    """Decide whether ``run``, which has ended, still needs its briefing made."""
    key = run.tags.get(_PARTITION)
    if key is None:
        return dg.SkipReason("the run belongs to no night")
    if run.job_name == briefing.name:
        return dg.SkipReason("the run was a briefing")
    if SELF_BRIEFED in run.tags:
        return dg.SkipReason("the command line briefs its own nights")
    if run.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason("the run will be tried again first")
    chosen = run.asset_selection
    if run.is_success and chosen is not None and dg.AssetKey(BRIEFING) in chosen:
        return dg.SkipReason("the run made its briefing itself")
    return dg.RunRequest(run_key=f"briefing after {run.run_id}", partition_key=key)


_ON = dg.DefaultSensorStatus.RUNNING


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, request_job=briefing, default_status=_ON)
def brief_after_success(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Make the briefing when a night's run has succeeded."""
    return brief_after(context.dagster_run)


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.FAILURE, request_job=briefing, default_status=_ON)
def brief_after_failure(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Make the briefing when a night's run has failed: it then says what failed."""
    return brief_after(context.dagster_run)


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.CANCELED, request_job=briefing, default_status=_ON)
def brief_after_cancel(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Make the briefing when a night's run was stopped: it then says what did not finish."""
    return brief_after(context.dagster_run)
