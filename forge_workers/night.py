"""The steps of a night and what became of each, for whoever tells about them.

Belongs here: the order of the steps, what each waits for, and reading their state back from the store. Does not belong
here: running them, which is Dagster's, or telling, which is the briefing's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from forge_workers.errors import Damaged
from forge_workers.report import Frozen, Outcome, Receipt, Report
from forge_workers.store import NightStore

#: Each step with the steps it waits for, in the order they are told. A test holds it against Dagster's asset graph.
STEPS: Mapping[str, tuple[str, ...]] = {
    "gpu_readiness": (),
    "health_snapshot": (),
    "threat_assessment": ("gpu_readiness", "health_snapshot"),
    "commit_log": (),
    "security_review": ("commit_log",),
    "code_review": ("gpu_readiness", "commit_log"),
    "pr_digest": ("commit_log",),
    "evolution_report": ("commit_log",),
}
BRIEFING = "morning_briefing"
#: Each step with the desk it belongs to, the group of its asset; a test holds it against Dagster's groups.
DESKS: Mapping[str, str] = {
    "gpu_readiness": "readiness",
    "health_snapshot": "readiness",
    "threat_assessment": "readiness",
    "commit_log": "code",
    "security_review": "code",
    "code_review": "code",
    "pr_digest": "code",
    "evolution_report": "ecosystem",
}


class Step(Frozen):
    """What became of one step: one of the first three is set, unless it is at work.

    Attributes:
        asset: Its name.
        report: What it returned, with its receipt; without one when nobody was asked to do it.
        failure: Its receipt, when it failed.
        missing: Why there is neither, one plain sentence.
        at_work: Whether it, or its night, is still being worked on.
    """

    asset: str
    report: Report | None = None
    failure: Receipt | None = None
    missing: str | None = None
    at_work: bool = False


def gather(
    store: NightStore,
    night: str,
    unstored: Mapping[str, Receipt] | None = None,
    cut_by: str | None = None,
    *,
    skipped: Mapping[str, str] | None = None,
    at_work: Collection[str] = (),
    begun: bool = True,
) -> tuple[Step, ...]:
    """Return the state of every step of ``night``, as the store's attempt left it.

    Args:
        store: With an attempt, only what that attempt did counts; without one, the newest of any.
        night: The night's key.
        unstored: Receipts of failures that could not be stored, by asset.
        cut_by: What stopped the whole night, if something did; told of the steps that left nothing.
        skipped: Why a step was not asked for, by asset; told when it left nothing.
        at_work: Steps that are still to come; told when they left nothing.
        begun: Whether anybody began the night; told of the steps that left nothing.
    """
    unfinished = "nobody began the night" if not begun else "it did not finish"
    unfinished = f"the night was cut short: {cut_by}" if cut_by else unfinished
    steps: dict[str, Step] = {}
    for asset, needs in STEPS.items():
        failure = (unstored or {}).get(asset) or store.failure(asset, night)
        broken = next((need for need in needs if steps[need].report is None), None)
        ended = "failed" if broken and steps[broken].failure else "left no result"
        missing = f"{broken} {ended} before it" if broken and not cut_by else unfinished
        found = Step(asset=asset, failure=failure) if failure else _kept(store, asset, night, missing)
        steps[asset] = _excused(found, night, (skipped or {}).get(asset), asset in at_work)
    return tuple(steps.values())


def _excused(found: Step, night: str, why: str | None, at_work: bool) -> Step:
    """Return a step that left nothing as one that is at work, or that nobody asked for; any other as it is."""
    if found.report is not None or found.failure is not None:
        return found
    if at_work:
        return Step(asset=found.asset, at_work=True)
    if why is None:
        return found
    report = Report(asset=found.asset, night=night, outcome=Outcome.SKIPPED, reasons=(why,), headline=f"Skipped: {why}")
    return Step(asset=found.asset, report=report)


def _kept(store: NightStore, asset: str, night: str, missing: str) -> Step:
    try:
        report = store.load(asset, night) if store.attempt in {"", store.attempt_of(asset, night)} else None
    except (Damaged, OSError) as error:
        return Step(asset=asset, missing=str(error))
    return Step(asset=asset, missing=missing) if report is None else Step(asset=asset, report=report)
