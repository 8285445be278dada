"""The code location with the schedule of the night alone, and every step of a run in its one process."""

import dagster as dg

from forge_assets import automation, schedules
from forge_assets.definitions import build_defs
from forge_assets.nights import SETTINGS


def _by_the_clock() -> dg.Definitions:
    whole = build_defs()
    return dg.Definitions(
        assets=whole.assets,
        jobs=[automation.night],
        schedules=[schedules.nightly(SETTINGS)],
        resources=dict(whole.resources or {}),
        executor=dg.in_process_executor,
    )


defs = _by_the_clock()
