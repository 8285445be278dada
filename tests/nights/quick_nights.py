"""The code location with every step of a run in its one process, and no sensors: three seconds for a night."""

import dagster as dg

from forge_assets import automation
from forge_assets.definitions import build_defs


def _quick() -> dg.Definitions:
    whole = build_defs()
    resources = dict(whole.resources or {})
    executor = dg.in_process_executor
    return dg.Definitions(assets=whole.assets, jobs=[automation.night], resources=resources, executor=executor)


defs = _quick()
