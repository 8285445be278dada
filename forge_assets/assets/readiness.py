"""The readiness desk: is the machine fit for this night?

Belongs here: the Dagster face of ``forge_workers/readiness.py`` and ``forge_workers/health/``.
"""

import dagster as dg

from forge_assets.checks import Checked, checked
from forge_assets.nights import NIGHTS
from forge_assets.shown import about
from forge_assets.steps import GPU_TAG, Steps
from forge_workers import readiness
from forge_workers.health import assessment, snapshot
from forge_workers.report import Report


@dg.asset(
    partitions_def=NIGHTS,
    group_name="readiness",
    kinds={"ollama"},
    owners=["team:forge"],
    pool="gpu",
    op_tags={GPU_TAG: "1"},
    tags={"forge/desk": "readiness"},
    metadata=about("gpu_readiness", readiness.gpu_readiness),
)
def gpu_readiness(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Checked:
    """Load the night's model under the GPU lease; measure load seconds, tokens per second and what is resident.

    Skipped with the reason when no model server answers; the night then goes on without a model.
    """
    yield from checked(context, steps, readiness.gpu_readiness)


@dg.asset(
    partitions_def=NIGHTS,
    group_name="readiness",
    kinds={"python"},
    owners=["team:forge"],
    tags={"forge/desk": "readiness"},
    metadata=about("health_snapshot", snapshot.health_snapshot),
)
def health_snapshot(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Checked:
    """Check disk, memory, load, Redis, the model server, repositories, Dagster and the last good night."""
    yield from checked(context, steps, snapshot.health_snapshot)


@dg.asset(
    partitions_def=NIGHTS,
    group_name="readiness",
    kinds={"python", "ollama"},
    owners=["team:forge"],
    pool="gpu",
    op_tags={GPU_TAG: "1"},
    deps=[gpu_readiness],
    tags={"forge/desk": "readiness"},
    metadata=about("threat_assessment", assessment.threat_assessment),
)
def threat_assessment(
    context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], health_snapshot: Report
) -> Checked:
    """Score the snapshot by rules (Amygdala): GREEN at once without a model, else YELLOW or RED with its reasons.

    A model may explain, and may raise the level; it never lowers it.
    """
    yield from checked(context, steps, assessment.threat_assessment, health_snapshot=health_snapshot)
