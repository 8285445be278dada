"""The ecosystem desk: how the watched code moves over weeks.

Belongs here: the Dagster face of ``forge_workers/ecosystem/``.
"""

import dagster as dg

from forge_assets.checks import Checked, checked
from forge_assets.nights import NIGHTS
from forge_assets.shown import about
from forge_assets.steps import Steps
from forge_workers.ecosystem import evolution
from forge_workers.report import Report


@dg.asset(
    partitions_def=NIGHTS,
    group_name="ecosystem",
    kinds={"git", "matplotlib"},
    owners=["team:forge"],
    tags={"forge/desk": "ecosystem"},
    metadata=about("evolution_report", evolution.evolution_report),
)
def evolution_report(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Checked:
    """Compare lines, files, languages, dependencies and tests with 7 and 28 nights ago, with one chart."""
    yield from checked(context, steps, evolution.evolution_report, commit_log=commit_log)
