"""The code location with one step of the night as a job, and the look at the settings every second."""

import dagster as dg

from forge_assets import watching
from forge_assets.definitions import build_defs
from forge_assets.nights import NIGHTS


def _quick() -> dg.Definitions:
    whole = build_defs()
    chosen = dg.AssetSelection.assets("commit_log").without_checks()
    commits = dg.define_asset_job("commits", chosen, partitions_def=NIGHTS)
    sensor = dg.sensor(
        name=watching.settings_seen.name,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )(watching.see_settings)
    resources, executor = dict(whole.resources or {}), dg.in_process_executor
    return dg.Definitions(assets=whole.assets, jobs=[commits], sensors=[sensor], resources=resources, executor=executor)


defs = _quick()
