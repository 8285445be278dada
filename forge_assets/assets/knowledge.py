"""The knowledge desk: what the nights of a week come to, together.

Belongs here: the Dagster face of ``forge_workers/nights/week.py``. Weeks are kept in a store of their own, beside the
nights, so that no list of nights holds a week.
"""

import dagster as dg

from forge_assets.assets.briefing import morning_briefing
from forge_assets.checks import Checked, checked
from forge_assets.nights import WEEKS
from forge_assets.shown import about
from forge_assets.steps import Steps
from forge_workers.nights import week


@dg.asset(
    partitions_def=WEEKS,
    group_name="knowledge",
    kinds={"python", "matplotlib"},
    owners=["team:forge"],
    tags={"forge/desk": "knowledge"},
    metadata=about(week.WEEKLY, week.weekly_consolidation),
    deps=[morning_briefing],
    io_manager_key="week_reports",
)
def weekly_consolidation(context: dg.AssetExecutionContext, weeks: dg.ResourceParam[Steps]) -> Checked:
    """Add up the seven nights of a week: which were whole, what is new, open and settled, and what models cost."""
    yield from checked(context, weeks, week.weekly_consolidation)
