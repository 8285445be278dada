"""The Forge code location: everything Dagster sees, put together.

Belongs here: assembly only. Load it with ``dagster dev -m forge_assets.definitions``; tests and the command line swap
parts through :func:`build_defs`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import dagster as dg

from forge_assets import automation, checks, patient, retention, schedules, watching
from forge_assets.asking import weeks_of
from forge_assets.assets import briefing, code, ecosystem, knowledge, readiness, services, workers
from forge_assets.life import held
from forge_assets.nights import SETTINGS
from forge_assets.resources.models import gateway_for
from forge_assets.resources.queues import Queues
from forge_assets.resources.store import ReportStore
from forge_assets.steps import GPU_TAG, Steps
from forge_workers.gpu.lease import Priority
from forge_workers.redis_server import url_of
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import week_window

patient.teach()
#: A process per step, forked from one that has imported everything. Inside a run one GPU step works at a time and the
#: next waits without a process; between runs the pool ``gpu`` does the same.
EXECUTOR = held(dg.multiprocess_executor).configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["forge_assets.warm"]}},
        "tag_concurrency_limits": [{"key": GPU_TAG, "limit": 1}],
    }
)


def standard_steps(settings: Settings) -> Steps:
    """Return how steps run when Dagster alone starts them."""
    return Steps(
        settings=settings,
        store=NightStore(settings.home / "nights"),
        gateway=partial(gateway_for, settings),
        behind=partial(gateway_for, settings, priority=Priority.BACKFILL),
    )


def weeks(nights: Steps) -> Steps:
    """Return how weeks are told: kept in a store of their own, reading the nights'."""
    return replace(nights, store=weeks_of(nights.store), history=nights.store, span=week_window)


def build_defs(steps: Steps | None = None) -> dg.Definitions:
    """Put the code location together.

    Args:
        steps: How steps run; by default as the settings say.
    """
    steps = steps or standard_steps(SETTINGS)
    desks = dg.load_assets_from_modules([readiness, code, ecosystem, knowledge, briefing])
    return dg.Definitions(
        assets=[*desks, *workers.SPECS, *services.SPECS],
        asset_checks=checks.CHECKED,
        jobs=[automation.night, automation.backfill, automation.weekly, automation.briefing],
        schedules=schedules.SCHEDULES,
        sensors=[
            automation.brief_after_success,
            automation.brief_after_failure,
            automation.brief_after_cancel,
            automation.worker_events,
            automation.worker_health,
            automation.service_health,
            retention.retention,
            *watching.SENSORS,
            *schedules.SENSORS,
        ],
        resources={
            "steps": steps,
            "io_manager": ReportStore(steps),
            "weeks": weeks(steps),
            "week_reports": ReportStore(weeks(steps)),
            "queues": Queues(url_of(steps.settings)),
        },
        executor=EXECUTOR,
    )


defs = build_defs()
