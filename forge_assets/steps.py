"""What every step of the night has in common: tools in, a receipt out, and a failure that is written down.

Belongs here: the frame around a desk's function. Does not belong here: what any desk does, or where reports are kept
(``resources/store.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

from forge_workers.errors import ForgeError, LeaseLost
from forge_workers.models.gateway import Gateway
from forge_workers.plain import plain
from forge_workers.progress import Progress
from forge_workers.report import Effect, Outcome, Receipt, Report, Usage
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import window

#: Tag of the steps that may use the GPU.
GPU_TAG = "forge/gpu"

Desk = Callable[[Request, Tools], Report]
#: What each try at a step cost, and the terms of the GPU leases it worked under.
_Spent = tuple[list[Usage], list[int]]


def unheard(_: Progress) -> None:
    """Listen to nothing: Dagster's own pages show the run."""


@dataclass(frozen=True)
class Steps:
    """Runs one desk's function as one step of a night.

    Attributes:
        settings: The user's settings.
        store: Where reports of this and of earlier nights are kept.
        gateway: Opens the way to the model for one step; it takes the GPU lease only when it must ask.
        listener: Told when a step starts and ends.
        failures: Receipts of the steps that failed in this process, for when a full disk cannot hold them.
        now: Wall clock, UTC unix seconds.
        monotonic: Clock for durations, seconds.
    """

    settings: Settings
    store: NightStore
    gateway: Callable[[str], Gateway]
    listener: Callable[[Progress], None] = unheard
    failures: dict[str, Receipt] = field(default_factory=dict)
    now: Callable[[], float] = field(default=time.time)
    monotonic: Callable[[], float] = field(default=time.monotonic)

    def run(self, context: dg.AssetExecutionContext, desk: Desk, **upstream: Report) -> Report:
        """Do the step and return its report with a receipt.

        Args:
            context: Dagster's; it names the asset and the night.
            desk: The function that does the work.
            upstream: Reports of the steps before, by asset.

        Raises:
            dagster.Failure: The desk raised; its failed receipt is in the store and its reason in the message.
        """
        asset, night = context.asset_key.path[-1], context.partition_key
        started_at, began = self.now(), self.monotonic()
        self.listener(Progress(kind="started", at=started_at, asset=asset))
        request = Request(night=night, window=window(night, self.settings.zone), upstream=upstream)
        costs: list[Usage] = []
        terms: list[int] = []

        def receipt(outcome: Outcome, reasons: tuple[str, ...], effects: tuple[Effect, ...] = ()) -> Receipt:
            return Receipt(
                asset=asset,
                night=night,
                outcome=outcome,
                reasons=reasons,
                started_at=started_at,
                seconds=self.monotonic() - began,
                usage=Usage.total(costs),
                effects=effects,
                term=max(terms, default=None),
            )

        try:
            report = self._work(desk, request, f"{asset} of {night}", (costs, terms))
        except Exception as error:
            reason = _reason(error)
            self.failed(receipt(Outcome.FAILED, (reason,)))
            raise dg.Failure(reason, allow_retries=False) from error
        return report.model_copy(update={"receipt": receipt(report.outcome, report.reasons, report.effects)})

    def _work(self, desk: Desk, request: Request, purpose: str, spent: _Spent) -> Report:
        """Call the desk, once more when it lost the GPU lease: what was answered before is then in the cache."""
        try:
            return self._once(desk, request, purpose, spent)
        except LeaseLost:
            return self._once(desk, request, purpose, spent)

    def _once(self, desk: Desk, request: Request, purpose: str, spent: _Spent) -> Report:
        gateway = self.gateway(purpose)
        try:
            return desk(request, Tools(settings=self.settings, models=gateway, history=self.store, now=self.now))
        finally:
            gateway.close()
            costs, terms = spent
            costs.append(gateway.usage)
            if gateway.term is not None:
                terms.append(gateway.term)

    def kept(self, report: Report) -> None:
        """Say that the step has ended and its report is safe on disk."""
        seconds = report.receipt.seconds if report.receipt else 0.0
        text = report.reasons[0] if report.reasons else report.headline
        self.listener(
            Progress(
                kind="ended", at=self.now(), asset=report.asset, outcome=report.outcome, seconds=seconds, text=text
            )
        )

    def failed(self, receipt: Receipt, unsaved: Report | None = None) -> None:
        """Write down that the step failed; when even that cannot be stored, the listener still hears it.

        Args:
            receipt: Of the step that failed.
            unsaved: The briefing, when only storing it failed: it must still reach its reader.
        """
        text = receipt.reasons[0]
        self.failures[receipt.asset] = receipt
        try:
            self.store.save_failure(receipt)
        except (OSError, ForgeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            text = f"{text} (and that could not be stored: {why})"
        self.listener(
            Progress(
                kind="ended",
                at=self.now(),
                asset=receipt.asset,
                outcome=Outcome.FAILED,
                seconds=receipt.seconds,
                text=text,
                report=unsaved,
            )
        )


def _reason(error: Exception) -> str:
    """Say in one line what went wrong; the traceback stays in Dagster's event log."""
    if isinstance(error, ForgeError):
        return plain(str(error), 300)
    return plain(f"{type(error).__name__}: {error}", 300)
