"""The briefing desk: one truthful page in the morning.

Belongs here: the Dagster face of ``forge_workers/briefing/``. The asset takes its inputs from the store and not from
Dagster, because it must run when the steps before it have failed.
"""

from functools import partial

import dagster as dg

from forge_assets import run_tags
from forge_assets.assets import code, ecosystem, readiness
from forge_assets.checks import Checked, checked
from forge_assets.nights import NIGHTS
from forge_assets.shown import about
from forge_assets.steps import Steps
from forge_workers import attempt
from forge_workers.briefing import morning
from forge_workers.night import BRIEFING, STEPS, Step, gather
from forge_workers.nights import asked


@dg.asset(
    partitions_def=NIGHTS,
    group_name="briefing",
    kinds={"slack", "markdown"},
    owners=["team:forge"],
    deps=[
        readiness.gpu_readiness,
        readiness.health_snapshot,
        readiness.threat_assessment,
        code.commit_log,
        code.security_review,
        code.code_review,
        code.pr_digest,
        ecosystem.evolution_report,
    ],
    tags={"forge/desk": "briefing"},
    metadata=about("morning_briefing", morning.morning_briefing),
)
def morning_briefing(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Checked:
    """Say what the night found, what needs you, and what could not be looked at; every line with its evidence."""
    done = _state(context, steps)
    reports = {step.asset: step.report for step in done if step.report and step.report.receipt}
    yield from checked(context, steps, partial(morning.morning_briefing, steps=done), beside=reports)


def _state(context: dg.AssetExecutionContext, steps: Steps) -> tuple[Step, ...]:
    """Return the state of every step of the night, as it stands and as it is still being worked on."""
    night, root = context.partition_key, steps.store.root
    others = _runs(context, run_tags.UNFINISHED)
    noted = attempt.read(root, night)
    at_work = {asset for run in others for asset in run_tags.parts_of(run)}
    if not steps.alone and attempt.running(noted):
        at_work |= set(STEPS)
    mine = context.run.job_name != run_tags.BRIEFING_JOB or steps.alone
    begun = mine or bool(others) or noted is not None or bool(_runs(context, None))
    return gather(
        steps.store,
        night,
        steps.failures,
        skipped=asked.skipped(root, night),
        at_work=at_work,
        begun=begun,
    )


def _runs(context: dg.AssetExecutionContext, statuses: list[dg.DagsterRunStatus] | None) -> list[dg.DagsterRun]:
    """Return the other runs of this night that do a step of it; those that are in one of ``statuses``, if given."""
    wanted = dg.RunsFilter(tags={run_tags.PARTITION: context.partition_key}, statuses=statuses)
    found = context.instance.get_runs(wanted, limit=100)
    return [run for run in found if run.run_id != context.run.run_id and run_tags.parts_of(run) - {BRIEFING}]
