"""Every asset check by its name, and all of them on one report.

A check that cannot be done does not pass, and never takes the night down with it. Belongs here: the table. Does not
belong here: any check, or Dagster, which shows them through ``forge_assets/checks.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from forge_workers.audit.counts import counts_add_up
from forge_workers.audit.evidence import evidence_holds
from forge_workers.audit.facts import Check, Facts
from forge_workers.audit.receipts import budget_kept, effects_verified, receipt_complete
from forge_workers.audit.schema import schema
from forge_workers.audit.sources import sources_fresh
from forge_workers.audit.text import no_secret
from forge_workers.plain import plain
from forge_workers.report import CheckResult, Report


class Described(NamedTuple):
    """One check and what it says it does, in one plain sentence."""

    run: Check
    description: str


CHECKS: Mapping[str, Described] = {
    "schema": Described(schema, "The report and its data survive the way to disk and back."),
    "evidence_holds": Described(evidence_holds, "What the report points at exists and says what is claimed."),
    "counts_add_up": Described(counts_add_up, "Every number that can be counted again comes out the same."),
    "sources_fresh": Described(
        sources_fresh, "What is told of the night lies in it, and what cannot be known is said."
    ),
    "no_secret": Described(no_secret, "No text of the report holds a secret, Forge's own least of all."),
    "budget_kept": Described(budget_kept, "Tokens and GPU seconds stay within the settings and under the lease."),
    "receipt_complete": Described(receipt_complete, "The receipt agrees with the report and gives its reasons."),
    "effects_verified": Described(
        effects_verified, "Every change made outside was read back, or says that it was not."
    ),
}


def audit(report: Report, facts: Facts) -> tuple[CheckResult, ...]:
    """Return what every check says of ``report``, in the order of :data:`CHECKS`."""
    return tuple(_done(name, check.run, report, facts) for name, check in CHECKS.items())


def _done(name: str, check: Check, report: Report, facts: Facts) -> CheckResult:
    try:
        return check(report, facts)
    except Exception as error:  # noqa: BLE001  a check that breaks must say so and leave the night alone
        why = f"it could not be done: {type(error).__name__}: {error}"
        return CheckResult(name=name, passed=False, why=plain(why, 300))
