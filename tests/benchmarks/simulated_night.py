"""The night's own assets with bodies of a known length, as a code location: ``-m tests.benchmarks.simulated_night``.

``SIMULATED_SHAPE`` names the executor, ``SIMULATED_BODIES`` is ``empty`` or ``timed``. Graph, tags, pools, lease,
IO manager and the process per step are Forge's own; only the work is a wait, and nothing is kept. Belongs here: what
``bench_dagster`` measures. Does not belong here: measuring.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from forge_assets.definitions import EXECUTOR, build_defs, standard_steps
from forge_assets.nights import NIGHTS, SETTINGS
from forge_assets.resources.gpu import lease_for
from forge_assets.steps import GPU_TAG, Desk, Steps
from forge_workers.night import BRIEFING, STEPS
from forge_workers.report import Receipt, Report
from forge_workers.store import NightStore

NIGHT = "2026-03-01"
#: Seconds that each step takes when bodies are timed; the model's are the lengths of a small night on a small GPU,
#: divided by about ten.
BODIES_S: Mapping[str, float] = {
    "gpu_readiness": 12.0,
    "health_snapshot": 2.0,
    "threat_assessment": 8.0,
    "commit_log": 4.0,
    "security_review": 15.0,
    "code_review": 45.0,
    "pr_digest": 6.0,
    "evolution_report": 10.0,
    BRIEFING: 2.0,
}
#: Steps whose body holds the GPU lease.
ON_GPU = ("gpu_readiness", "threat_assessment", "code_review")

_LIMITS = {"max_concurrent": 2, "tag_concurrency_limits": [{"key": GPU_TAG, "limit": 1}]}
SHAPES: Mapping[str, dg.ExecutorDefinition] = {
    "Dagster's default: a new process per step": dg.multiprocess_executor.configured(_LIMITS),
    "forked, Dagster's preload": dg.multiprocess_executor.configured({**_LIMITS, "start_method": {"forkserver": {}}}),
    "forked, everything preloaded (Forge's)": EXECUTOR,
    "in one process": dg.in_process_executor,
}


class _Nowhere(NightStore):
    """Keeps nothing and has what is asked for."""

    def save(self, report: Report) -> Path:
        """Keep nothing."""
        return self.root

    def load(self, asset: str, night: str) -> Report | None:
        """Return an empty report."""
        return _empty(asset, night)


class _Simulated(Steps):
    """Steps whose work is a wait, under the lease where the model would be asked."""

    def run(self, context: dg.AssetExecutionContext, desk: Desk, **upstream: Report) -> Any:
        """Wait as long as the step is meant to take."""
        asset = context.asset_key.path[-1]
        body_s = BODIES_S[asset] if os.environ.get("SIMULATED_BODIES") == "timed" else 0.0
        if body_s and asset in ON_GPU:
            with lease_for(self.settings, asset)() as lease:
                time.sleep(body_s)
                lease.check()
        else:
            time.sleep(body_s)
        return _empty(asset, context.partition_key)


def _empty(asset: str, night: str) -> Report:
    receipt = Receipt(asset=asset, night=night, outcome="ran", started_at=0.0, seconds=0.0)
    return Report(asset=asset, night=night, headline="Nothing was done.", receipt=receipt)


def _located() -> dg.Definitions:
    standard = standard_steps(SETTINGS)
    whole = build_defs(_Simulated(SETTINGS, _Nowhere(standard.store.root), standard.gateway))
    night = dg.define_asset_job(
        "simulated", selection=dg.AssetSelection.assets(*STEPS, BRIEFING), partitions_def=NIGHTS
    )

    @dg.schedule(job=night, cron_schedule="* * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
    def every_minute() -> dg.RunRequest:
        return dg.RunRequest(partition_key=NIGHT)

    return dg.Definitions(
        assets=whole.assets,
        jobs=[night],
        schedules=[every_minute],
        resources=dict(whole.resources or {}),
        executor=SHAPES[os.environ["SIMULATED_SHAPE"]],
    )


if "SIMULATED_SHAPE" in os.environ:
    defs = _located()
