"""Asset checks as Dagster sees them: each step audits its own report before it is kept, and tells what it found.

They run in the step of their asset, because a process for each would cost more than the night; Dagster hears of each
by one event. What they say is in the report's receipt too, so that the briefing tells it without Dagster. The same
checks can be executed by themselves from Dagster's pages: they then audit the report as it is stored. Belongs here:
which checks refuse a report, and how results are shown. Does not belong here: any check, which is
``forge_workers/audit/``.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping

import dagster as dg
from dagster import AssetCheckEvaluation
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from forge_assets.nights import NIGHTS, WEEKS
from forge_assets.shown import unlinked
from forge_assets.steps import Desk, Steps
from forge_workers.audit.checks import CHECKS, audit
from forge_workers.audit.facts import Facts
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights.week import WEEKLY
from forge_workers.plain import markdown
from forge_workers.report import CheckResult, Outcome, Report
from forge_workers.windows import is_night

#: What an asset yields: its report and what the checks say, or only the latter when one of them refuses the report.
Checked = Iterator[dg.MaterializeResult[Report] | AssetCheckEvaluation]

#: Checks that refuse a report when they fail gravely. What stands on the commit log would lie with it; and a report
#: that holds one of Forge's own secrets must reach neither the store nor a page. The briefing is never refused: it goes
#: out whatever failed, and its delivery keeps such a secret back by itself.
_REFUSE = frozenset({"no_secret"})
REFUSE: Mapping[str, frozenset[str]] = {
    "commit_log": _REFUSE | {"schema", "evidence_holds", "counts_add_up"},
    BRIEFING: frozenset(),
}


def refusing(asset: str) -> frozenset[str]:
    """Return the checks that may refuse the report of ``asset``."""
    return REFUSE.get(asset, _REFUSE)


def checked(
    context: dg.AssetExecutionContext,
    steps: Steps,
    desk: Desk,
    *,
    beside: Mapping[str, Report] | None = None,
    **upstream: Report,
) -> Checked:
    """Do the step, audit its report, and yield both.

    Args:
        context: Dagster's.
        steps: How steps run.
        desk: The function that does the work.
        beside: Reports that the desk used besides those handed to it, by asset.
        upstream: Reports of the steps before, by asset.

    Raises:
        dagster.Failure: The desk raised, or a check refused its report; an older report of the night stays.
    """
    report = steps.run(context, desk, **upstream)
    results = audit(report, _facts(steps, report.night, {**(beside or {}), **upstream}))
    receipt = report.receipt and report.receipt.model_copy(update={"checks": results})
    refused = [result for result in results if _refuses(report.asset, result)]
    if receipt is None or not refused:
        yield dg.MaterializeResult(value=report.model_copy(update={"receipt": receipt}))
        yield from _told(context, results, _kept(context))
        return
    yield from _told(context, results, None)
    reasons = tuple(f"the check {result.name} failed: {result.why}" for result in refused)
    steps.failed(receipt.model_copy(update={"outcome": Outcome.FAILED, "reasons": reasons}))
    raise dg.Failure("; ".join(reasons), allow_retries=False)


def _facts(steps: Steps, night: str, upstream: Mapping[str, Report]) -> Facts:
    return Facts(steps.settings, steps.span(night, steps.settings.zone), steps.now(), upstream)


def _refuses(asset: str, result: CheckResult) -> bool:
    return result.grave and not result.passed and result.name in refusing(asset)


def _kept(context: dg.AssetExecutionContext) -> Target | None:
    """Return the materialisation that was recorded just now: what the results are about."""
    wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=[context.partition_key])
    records = context.instance.fetch_materializations(wanted, limit=1).records
    return (
        Target(storage_id=records[0].storage_id, run_id=context.run.run_id, timestamp=records[0].timestamp)
        if records
        else None
    )


def _told(context: dg.AssetExecutionContext, results: Iterable[CheckResult], about: Target | None) -> Checked:
    for result in results:
        yield AssetCheckEvaluation(
            asset_key=context.asset_key,
            check_name=result.name,
            passed=result.passed,
            severity=_severity(result),
            description=_said(result),
            metadata=_numbers(result),
            target_materialization_data=about,
            blocking=result.name in refusing(context.asset_key.path[-1]),
            partition=context.partition_key,
        )


def _said(result: CheckResult) -> str:
    """Return what was found, as Dagster's pages render it: as Markdown, in which data stays text."""
    return unlinked(markdown(result.why, 500))


def _severity(result: CheckResult) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if result.grave else dg.AssetCheckSeverity.WARN


def _numbers(result: CheckResult) -> dict[str, dg.MetadataValue]:
    return {
        name: dg.MetadataValue.int(int(value)) if value.is_integer() else dg.MetadataValue.float(value)
        for name, value in result.numbers.items()
    }


def _specs(asset: str, partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # what a check says of one night says nothing of another
        return [
            dg.AssetCheckSpec(
                name,
                asset=asset,
                description=check.description,
                blocking=name in refusing(asset),
                partitions_def=partitions,
            )
            for name, check in CHECKS.items()
        ]


def _again(asset: str, partitions: dg.PartitionsDefinition, resource: str) -> dg.AssetChecksDefinition:
    """Return the checks of ``asset`` as something to execute by itself: on the report as it is stored.

    Executed without a night they audit the newest.

    Args:
        asset: Name of the asset.
        partitions: Its own.
        resource: Key of the :class:`Steps` that it runs with.
    """
    specs = _specs(asset, partitions)

    @dg.multi_asset_check(name=f"audit_{asset}", specs=specs, can_subset=True, required_resource_keys={resource})
    def again(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        steps: Steps = getattr(context.resources, resource)
        newest = next(iter(steps.store.nights(asset)), "any night")
        night = context.partition_key if context.has_partition_key else newest  # Dagster's button names none
        report = steps.store.load(asset, night) if is_night(night) else None
        if report is None:
            raise dg.Failure(f"{asset} has no report for {night}: materialise it first", allow_retries=False)
        beside = {name: steps.store.load(name, night) for name in STEPS if name != asset}
        facts = _facts(steps, night, {name: one for name, one in beside.items() if one is not None})
        for result in audit(report, facts):
            if dg.AssetCheckKey(dg.AssetKey(asset), result.name) in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(
                    check_name=result.name,
                    passed=result.passed,
                    severity=_severity(result),
                    description=_said(result),
                    metadata=_numbers(result),
                )

    return again


#: Every check of every asset of the night, and of the week.
CHECKED = (*(_again(asset, NIGHTS, "steps") for asset in (*STEPS, BRIEFING)), _again(WEEKLY, WEEKS, "weeks"))
