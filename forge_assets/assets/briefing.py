"""The briefing desk: one truthful page in the morning.

Belongs here: the Dagster face of ``forge_workers/briefing/``. The asset takes its inputs from the store and not from
Dagster, because it must run when the steps before it have failed.
"""

from functools import partial

import dagster as dg

from forge_assets.assets import code, ecosystem, readiness
from forge_assets.nights import NIGHTS
from forge_assets.steps import Steps
from forge_workers.briefing import morning
from forge_workers.night import gather
from forge_workers.report import Report


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
)
def morning_briefing(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Report:
    """Say what the night found, what needs you, and what could not be looked at; every line with its evidence."""
    done = gather(steps.store, context.partition_key, steps.failures)
    return steps.run(context, partial(morning.morning_briefing, steps=done))
