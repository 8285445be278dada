"""Where reports are kept between steps: Dagster's IO manager over the night store.

Belongs here: saving and loading as Dagster asks for it. Does not belong here: bytes on disk, which are
``forge_workers/store.py``, or what is shown of a report (``shown.py``).
"""

from __future__ import annotations

import contextlib

import dagster as dg

from forge_assets.shown import shown, whole
from forge_assets.steps import Steps
from forge_workers.errors import ForgeError
from forge_workers.night import BRIEFING, STEPS
from forge_workers.plain import plain
from forge_workers.report import Outcome, Report


class ReportStore(dg.IOManager):
    """Saves what an asset returns under (asset, night) and hands it to the assets below."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def handle_output(self, context: dg.OutputContext, obj: Report) -> None:
        """Store the report, then show it.

        Raises:
            dagster.Failure: It could not be stored; the reason is in the message, the older report is untouched.
        """
        try:
            self._steps.store.save(obj)
        except (OSError, ForgeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            reason = f"the report could not be stored: {plain(str(why), 200)}"
            if obj.receipt is not None:
                failed = {"outcome": Outcome.FAILED, "reasons": (reason,)}
                unsaved = obj if obj.asset == BRIEFING else None
                self._steps.failed(obj.receipt.model_copy(update=failed), unsaved)
            raise dg.Failure(reason, allow_retries=False) from error
        context.add_output_metadata(shown(obj) | (whole(self._night(obj.night)) if obj.asset == BRIEFING else {}))
        self._steps.kept(obj)

    def load_input(self, context: dg.InputContext) -> Report:
        """Return the upstream asset's report of the same night.

        Raises:
            dagster.Failure: There is none, or its files are damaged.
        """
        asset, night = context.asset_key.path[-1], context.partition_key
        report = self._steps.store.load(asset, night)
        if report is None:
            raise dg.Failure(f"{asset} has no report for {night}: materialise it first", allow_retries=False)
        return report

    def _night(self, night: str) -> list[Report]:
        """Return the reports of the night's steps, as far as they can be read."""
        found: list[Report] = []
        for asset in STEPS:
            with contextlib.suppress(OSError, ForgeError):
                report = self._steps.store.load(asset, night)
                found += [] if report is None else [report]
        return found
