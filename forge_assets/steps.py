"""What every step of the night has in common: tools in, a receipt out, and a failure that is written down.

Belongs here: the frame around a desk's function. Does not belong here: what any desk does, or where reports are kept
(``resources/store.py``).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import dagster as dg

from forge_assets import life, run_tags
from forge_workers import attempt
from forge_workers.errors import ForgeError, LeaseLost, Transient
from forge_workers.models.gateway import Gateway
from forge_workers.night import BRIEFING
from forge_workers.nights import asked
from forge_workers.plain import plain
from forge_workers.progress import Progress
from forge_workers.report import Effect, Outcome, Receipt, Report, Usage
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window, window

#: Tag of the steps that may use the GPU.
GPU_TAG = "forge/gpu"

Desk = Callable[[Request, Tools], Report]
#: What each try at a step cost, and the terms of the GPU leases it worked under.
_Spent = tuple[list[Usage], list[int]]
#: How often a step that met a passing fault is tried again, and after how long: at most one minute, then at most three.
#: Source: M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.
RETRY = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
#: Longest wait of a step for ``forge night``, which works on the same night, in seconds.
_NIGHT_WAIT_S = 7200.0
#: The shares in nights that steps of this process hold until their report is kept.
_shares: list[int] = []


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
        behind: As ``gateway``, but behind whoever else wants the GPU, for nights that are done late; None for the same.
        retry: How often and after how long a step that met a passing fault is tried again.
        alone: Whether this process holds the night's lock already, as ``forge night`` does.
        span: What stretch of time a key stands for.
        history: Where desks read what was reported before; None for ``store``.
    """

    settings: Settings
    store: NightStore
    gateway: Callable[[str], Gateway]
    listener: Callable[[Progress], None] = unheard
    failures: dict[str, Receipt] = field(default_factory=dict)
    now: Callable[[], float] = field(default=time.time)
    monotonic: Callable[[], float] = field(default=time.monotonic)
    behind: Callable[[str], Gateway] | None = None
    retry: dg.RetryPolicy = RETRY
    alone: bool = False
    span: Callable[[str, ZoneInfo], Window] = window
    history: NightStore | None = None

    def run(self, context: dg.AssetExecutionContext, desk: Desk, **upstream: Report) -> Report:
        """Do the step and return its report with a receipt.

        Args:
            context: Dagster's; it names the asset and the night.
            desk: The function that does the work.
            upstream: Reports of the steps before, by asset.

        Raises:
            dagster.Failure: The desk raised; its failed receipt is in the store and its reason in the message.
            dagster.RetryRequested: It met a passing fault, and is tried again later.
        """
        asset, night = context.asset_key.path[-1], context.partition_key
        started_at, began, tries = self.now(), self.monotonic(), context.retry_number + 1
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
                tries=tries,
            )

        try:
            self._enter(context.run, asset, night)
            life.begin_step(self.store.folder(asset, night))
            self.listener(Progress(kind="started", at=started_at, asset=asset))
            spanned, publishes = self.span(night, self.settings.zone), run_tags.publishes(context.run)
            request = Request(night=night, window=spanned, upstream=upstream, publishes=publishes)
            report = self._work(desk, request, f"{asset} of {night}", (costs, terms))
        except asked.Superseded as error:
            raise dg.Failure(_reason(error), allow_retries=False) from error
        except Exception as error:
            if isinstance(error, Transient) and tries <= self.retry.max_retries:
                _leave()
                raise dg.RetryRequested(self.retry.max_retries, self.retry.calculate_delay(tries)) from error
            reason = _reason(error)
            self.failed(receipt(Outcome.FAILED, (_counted(reason, tries),)))
            raise dg.Failure(reason, allow_retries=False) from error
        return report.model_copy(update={"receipt": receipt(report.outcome, report.reasons, report.effects)})

    def _enter(self, run: dg.DagsterRun, asset: str, night: str) -> None:
        """Make sure that this run may work on ``night``, and that ``forge night`` does not until the report is kept.

        The briefing waits for nobody: it tells what is there by then.

        Raises:
            asked.Superseded: Another run was asked for instead.
            attempt.Busy: ``forge night`` has worked on this night for hours.
        """
        _leave()
        claim = run.tags.get(run_tags.CLAIM)
        if claim is not None:
            asked.begin(self.store.root, night, claim, run_tags.first_try(run))
        if not self.alone and asset != BRIEFING:
            with contextlib.suppress(OSError):  # a disk that refuses fails what is made, if it fails that
                _shares.append(attempt.share(self.store.root, night, _NIGHT_WAIT_S))

    def _work(self, desk: Desk, request: Request, purpose: str, spent: _Spent) -> Report:
        """Call the desk, once more when it lost the GPU lease: what was answered before is then in the cache."""
        try:
            return self._once(desk, request, purpose, spent)
        except LeaseLost:
            return self._once(desk, request, purpose, spent)

    def _once(self, desk: Desk, request: Request, purpose: str, spent: _Spent) -> Report:
        gateway = (self.gateway if request.publishes or self.behind is None else self.behind)(purpose)
        history = self.history or self.store
        try:
            return desk(request, Tools(settings=self.settings, models=gateway, history=history, now=self.now))
        finally:
            gateway.close()
            costs, terms = spent
            costs.append(gateway.usage)
            if gateway.term is not None:
                terms.append(gateway.term)

    def kept(self, report: Report) -> None:
        """Say that the step has ended and its report is safe on disk."""
        _leave()
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
        _leave()
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


def _leave() -> None:
    """Give back the share that the last step of this process held."""
    while _shares:
        os.close(_shares.pop())


def _counted(reason: str, tries: int) -> str:
    return reason if tries == 1 else f"{reason} (tried {tries} times)"


def _reason(error: Exception) -> str:
    """Say in one line what went wrong; the traceback stays in Dagster's event log."""
    if isinstance(error, ForgeError):
        return plain(str(error), 300)
    return plain(f"{type(error).__name__}: {error}", 300)
