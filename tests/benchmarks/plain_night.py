"""The night's desks called one after the other without Dagster: ``python -m tests.benchmarks.plain_night 2026-03-01``.

Belongs here: what ``bench_night`` compares Dagster's night against. The GPU lease is taken here as the night takes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from forge_workers import readiness, redis_server, settings
from forge_workers.briefing.morning import morning_briefing
from forge_workers.code import commits, pulls, review, security
from forge_workers.ecosystem import evolution
from forge_workers.gpu.lease import Lease, Leases
from forge_workers.gpu.mutex import mutex_file
from forge_workers.health import assessment, snapshot
from forge_workers.models.gateway import open_gateway
from forge_workers.night import STEPS, gather
from forge_workers.report import Receipt, Report
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import window
from forge_workers.wire import Wire

_DESKS = {
    "gpu_readiness": readiness.gpu_readiness,
    "health_snapshot": snapshot.health_snapshot,
    "threat_assessment": assessment.threat_assessment,
    "commit_log": commits.commit_log,
    "security_review": security.security_review,
    "code_review": review.code_review,
    "pr_digest": pulls.pr_digest,
    "evolution_report": evolution.evolution_report,
}


def main(night: str) -> None:
    """Run every desk on ``night`` and store what it returns."""
    chosen = settings.load()
    store = NightStore(chosen.home / "nights", "plain")
    done: dict[str, Report] = {}
    for asset, needs in STEPS.items():
        began, started_at = time.monotonic(), time.time()
        with closing(open_gateway(chosen, lease=_lease(chosen, asset))) as models:
            tools = Tools(settings=chosen, models=models, history=store, now=time.time)
            upstream = {need: done[need] for need in needs}
            report = _DESKS[asset](Request(night=night, window=window(night, chosen.zone), upstream=upstream), tools)
        receipt = Receipt(
            asset=asset,
            night=night,
            outcome=report.outcome,
            reasons=report.reasons,
            started_at=started_at,
            seconds=time.monotonic() - began,
            usage=models.usage,
        )
        done[asset] = report.model_copy(update={"receipt": receipt})
        store.save(done[asset])
    with closing(open_gateway(chosen, lease=None)) as models:
        tools = Tools(settings=chosen, models=models, history=store, now=time.time)
        store.save(
            morning_briefing(Request(night=night, window=window(night, chosen.zone)), tools, steps=gather(store, night))
        )


def _lease(chosen: settings.Settings, asset: str) -> Callable[[], AbstractContextManager[Lease]]:
    @contextmanager
    def held() -> Iterator[Lease]:
        redis_server.connect(chosen).close()  # starts it when nobody has
        wire = Wire(redis_server.url_of(chosen))
        with closing(wire), Leases(wire, mutex=mutex_file(chosen.home)).acquire(asset, wait_s=60.0) as lease:
            yield lease

    return held


if __name__ == "__main__":
    main(sys.argv[1])
