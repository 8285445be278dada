"""Dagster's own run launcher, which in addition knows when the process of a run is gone.

Named in ``dagster.yaml``; run monitoring asks it every few seconds. Dagster's launcher leaves that to the code server
that started the process, which knows nothing of it after a restart or a power cut. Belongs here: that answer. Does not
belong here: how it is known (``life.py``).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

from forge_assets import life
from forge_workers import attempt
from forge_workers.windows import is_night

#: Tag of a run that ``forge night`` does in its own process.
NIGHT_TAG = "forge/night"


class Launcher(DefaultRunLauncher):
    """Launches as Dagster does, and tells run monitoring which runs have lost their process."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return FAILED when the process of ``run`` is gone, else RUNNING, also where nothing is known of it."""
        if self._is_dead(run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _is_dead(self, run: dg.DagsterRun) -> bool:
        night = run.tags.get(NIGHT_TAG)
        if night is None:
            return life.is_dead(self._instance, run.run_id)
        nights = Path(self._instance.root_directory).parent / "nights"
        noted = attempt.read(nights, night) if is_night(night) else None
        return noted is not None and not noted.finished and not attempt.running(noted)
