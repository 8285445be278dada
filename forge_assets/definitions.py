"""The Forge code location: everything Dagster sees, put together.

Belongs here: assembly only. Load it with ``dagster dev -m forge_assets.definitions``; tests and the command line swap
parts through :func:`build_defs`.
"""

from __future__ import annotations

from functools import partial

import dagster as dg

from forge_assets import automation
from forge_assets.assets import briefing, code, ecosystem, readiness, workers
from forge_assets.nights import SETTINGS
from forge_assets.resources.models import gateway_for
from forge_assets.resources.queues import Queues
from forge_assets.resources.store import ReportStore
from forge_assets.steps import GPU_TAG, Steps
from forge_workers.redis_server import url_of
from forge_workers.settings import Settings
from forge_workers.store import NightStore

#: A process per step, forked from one that has imported everything. Inside a run one GPU step works at a time and the
#: next waits without a process; between runs the pool ``gpu`` does the same.
EXECUTOR = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["forge_assets.warm"]}},
        "tag_concurrency_limits": [{"key": GPU_TAG, "limit": 1}],
    }
)


def standard_steps(settings: Settings) -> Steps:
    """Return how steps run when Dagster alone starts them."""
    return Steps(settings=settings, store=NightStore(settings.home / "nights"), gateway=partial(gateway_for, settings))


def build_defs(steps: Steps | None = None) -> dg.Definitions:
    """Put the code location together.

    Args:
        steps: How steps run; by default as the settings say.
    """
    steps = steps or standard_steps(SETTINGS)
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules([readiness, code, ecosystem, briefing]), *workers.SPECS],
        jobs=[automation.night, automation.briefing],
        sensors=[
            automation.brief_after_success,
            automation.brief_after_failure,
            automation.brief_after_cancel,
            automation.worker_events,
            automation.worker_health,
        ],
        resources={
            "steps": steps,
            "io_manager": ReportStore(steps),
            "queues": Queues(url_of(steps.settings)),
        },
        executor=EXECUTOR,
    )


defs = build_defs()
