"""Asking Dagster for nights, once each: what a schedule or a sensor does when it ticks.

Belongs here: joining the plan, the claim on disk and what Dagster knows, into run requests. Does not belong here: which
nights are wanted (``forge_workers/nights/policy.py``), or who may ask (``asked.py``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import dagster as dg

from forge_assets import run_tags
from forge_assets.worker_events import BY_DAY
from forge_workers import attempt
from forge_workers.errors import Damaged
from forge_workers.log import event
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import asked, policy
from forge_workers.nights.asked import Asked
from forge_workers.nights.policy import Plan
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import window

_LOG = logging.getLogger(__name__)
#: Runs of one night that are looked at; more than a person starts by hand.
_RUNS = 100
#: Behind the present night in Dagster's queue, and before a backfill.
_LATE_PRIORITY = "-5"


@dataclass(frozen=True)
class Asking:
    """Asks for nights on one Dagster.

    Attributes:
        settings: The user's settings.
        store: Where nights are kept.
        instance: Dagster's, to see which runs there are.
        now: UTC unix seconds.
        grace_s: Seconds that a claim may be without a run before the night is taken again.
    """

    settings: Settings
    store: NightStore
    instance: dg.DagsterInstance
    now: float
    grace_s: float = asked.GRACE_S

    def due(self, only: Collection[str] = (), at_least: str = "") -> list[dg.RunRequest]:
        """Take every night that is due and that nobody asked for, and return the runs to ask for, oldest first.

        Args:
            only: Nights that are wanted; all when empty.
            at_least: A night that is due whatever the clock says, because a tick says so.

        Raises:
            OSError: The disk is full or refuses; nothing was taken that is not returned.
        """
        since = asked.watched_since(self.store.root, self.present)
        plans = policy.plans(
            present=max(self.present, at_least),
            since=min(since, policy.days_after(at_least, -1)) if at_least else since,
            missed=self.settings.night.missed,
            is_asked=self.is_asked,
            is_told=self.is_told,
            only=only,
        )
        return [request for plan in plans if (request := self._take(plan)) is not None]

    def week(self, week: str) -> dg.RunRequest | None:
        """Take a week that is over, and return the run to ask for; None when somebody has it, or nobody kept watch.

        Raises:
            OSError: The disk is full or refuses.
        """
        if week < asked.watched_since(self.store.root, self.present):
            return None  # it began before anybody kept watch
        plan = Plan(night=week, kind="scheduled", tells_in=week)
        taken = asked.take(weeks_of(self.store).root, plan, self.now, self._has_week, self.grace_s)
        return None if taken is None else request_of(taken, plan, run_tags.WEEKLY_JOB)

    def _has_week(self, record: Asked | None) -> bool:
        return record is not None and bool(self._runs({run_tags.CLAIM: record.claim}))

    @property
    def present(self) -> str:
        """The newest night that is due."""
        return policy.newest_due(self.now, self.settings.night, self.settings.zone)

    def _take(self, plan: Plan) -> dg.RunRequest | None:
        before = asked.read(self.store.root, plan.night)
        has_run = partial(self.has_run, plan.night)
        taken = asked.take(self.store.root, plan, self.now, has_run, self.grace_s)
        if taken is None:
            return None
        self._cancel_dead(before)
        event(_LOG, "night.asked", night=plan.night, kind=plan.kind.replace(" ", "_"), claim=taken.claim)
        return request_of(taken, plan) if taken.wants_run else None

    def is_asked(self, night: str) -> bool:
        """Whether somebody asked for ``night``, and will not have to be asked again."""
        record = asked.read(self.store.root, night)
        if record is not None and (not record.wants_run or record.run or 0 <= self.now - record.at <= self.grace_s):
            return True
        return self.has_run(night, record)

    def is_told(self, night: str) -> bool:
        """Whether ``night`` has a briefing that tells all of its day."""
        try:
            report = self.store.load(BRIEFING, night)
        except (Damaged, OSError):
            return True
        made_at = report.receipt.started_at if report is not None and report.receipt is not None else 0.0
        return made_at >= window(night, self.settings.zone).end_at

    def _cancel_dead(self, record: Asked | None) -> None:
        """Tell Dagster that the runs of an asking which was taken over will never be queued."""
        for one in self._runs({run_tags.CLAIM: record.claim}) if record is not None else ():
            if one.dagster_run.status is dg.DagsterRunStatus.NOT_STARTED:
                self.instance.report_run_canceled(one.dagster_run, "its daemon died, and it was asked for again")

    def has_run(self, night: str, record: Asked | None) -> bool:
        """Whether anybody works on ``night`` or did: a run for the asking, ``forge night``, or a person's whole run.

        A run that was made and never given to the queue is dead: the daemon that made it died over it. What was begun
        before the day was over does not count: its night is still to come.
        """
        claimed = () if record is None else self._runs({run_tags.CLAIM: record.claim})
        if any(not _never_queued(one, self.now) for one in claimed):
            return True
        over_at = window(night, self.settings.zone).end_at
        noted = attempt.read(self.store.root, night)
        if noted is not None and noted.started_at >= over_at:
            return True
        return any(
            _whole(one.dagster_run) and one.create_timestamp.timestamp() >= over_at
            for one in self._runs({run_tags.PARTITION: night})
            if run_tags.CLAIM not in one.dagster_run.tags
        )

    def _runs(self, tags: dict[str, str]) -> list[dg.RunRecord]:
        return list(self.instance.get_run_records(dg.RunsFilter(tags=tags), limit=_RUNS))


def weeks_of(nights: NightStore) -> NightStore:
    """Return the store of weeks, beside that of the nights."""
    return NightStore(nights.root.with_name("weeks"))


def request_of(taken: Asked, plan: Plan, job: str = run_tags.NIGHT_JOB) -> dg.RunRequest:
    """Return the run that a claim asks for: the whole night, or when it is late what is left of it, told to nobody."""
    late = taken.kind != "scheduled"
    tags = {run_tags.QUIET: "yes", "dagster/priority": _LATE_PRIORITY} if late else {}
    return dg.RunRequest(
        run_key=f"{job} {taken.night} {taken.claim}",
        job_name=job,
        partition_key=taken.night,
        asset_selection=[dg.AssetKey(asset) for asset in (*plan.assets, BRIEFING)] if plan.skipped else None,
        tags={run_tags.CLAIM: taken.claim, **tags},
    )


def _never_queued(one: dg.RunRecord, now: float) -> bool:
    age_s = now - one.create_timestamp.timestamp()
    return one.dagster_run.status is dg.DagsterRunStatus.NOT_STARTED and not 0 <= age_s <= asked.GRACE_S


def _whole(run: dg.DagsterRun) -> bool:
    """Whether ``run`` does every step of a night."""
    return BY_DAY not in run.tags and frozenset(STEPS) <= run_tags.parts_of(run)
