"""The code location with a sensor that may tick every second, for tests that kill its daemon and start it again."""

import dagster as dg

from forge_assets import automation
from forge_assets.definitions import build_defs


def _quick() -> dg.Definitions:
    whole = build_defs()
    sensor = dg.sensor(
        name=automation.worker_events.name,
        job=automation.night,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )(automation.hear)
    return dg.Definitions(
        assets=whole.assets, jobs=[automation.night], sensors=[sensor], resources=dict(whole.resources or {})
    )


defs = _quick()
