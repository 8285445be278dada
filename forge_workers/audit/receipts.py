"""The checks over a receipt: ``budget_kept``, ``receipt_complete`` and ``effects_verified``.

Belongs here: holding a receipt against its report and the settings. Does not belong here: writing one.
"""

from __future__ import annotations

import math

from forge_workers.audit.facts import SKEW_S, Facts, result
from forge_workers.plural import count
from forge_workers.report import CheckResult, Outcome, Receipt, Report

#: Seconds by which GPU time may exceed the step's own: both are rounded.
_ROUNDING_S = 1.0


def budget_kept(report: Report, facts: Facts) -> CheckResult:
    """Check tokens and GPU seconds against the settings and against each other.

    1. Reviewing code spends no more prompt tokens than ``models.night_tokens``.
    2. No call was shown or wrote more than the model's window (``models.context_tokens``).
    3. Tokens come from calls, calls have a model, and GPU seconds are counted only under a lease and within the step.
    """
    receipt = report.receipt
    if receipt is None:
        return result("budget_kept", ["there is no receipt"], "", {})
    used, limits = receipt.usage, facts.settings.models
    tokens = used.prompt_tokens + used.output_tokens
    wrong = []
    if report.asset == "code_review" and used.prompt_tokens > limits.night_tokens:  # 1
        wrong.append(f"{used.prompt_tokens:,} prompt tokens of {limits.night_tokens:,} (models.night_tokens)")
    if tokens > used.calls * limits.context_tokens:  # 2, 3
        wrong.append(f"{tokens:,} tokens in {count(used.calls, 'call')} of {limits.context_tokens:,} at most")
    if used.calls and used.model is None:  # 3
        wrong.append(f"{count(used.calls, 'call')} to no model")
    if used.gpu_s > 0 and receipt.term is None:
        wrong.append(f"{used.gpu_s:.1f} GPU seconds without a lease")
    if used.gpu_s > receipt.seconds + _ROUNDING_S:
        wrong.append(f"{used.gpu_s:.1f} GPU seconds in a step of {receipt.seconds:.1f} seconds")
    numbers = {
        "tokens": tokens,
        "calls": used.calls,
        "gpu_s": round(used.gpu_s, 3),
        "step_s": round(receipt.seconds, 3),
    }
    well = f"{tokens:,} tokens in {count(used.calls, 'call')}, {used.gpu_s:.1f} GPU seconds: within the settings"
    return result("budget_kept", wrong, well if used.calls or used.gpu_s else "no model was asked", numbers)


def receipt_complete(report: Report, facts: Facts) -> CheckResult:
    """Check that the receipt says what the report says, when it was made, and why it is less than whole."""
    receipt = report.receipt
    if receipt is None:
        return result("receipt_complete", ["there is no receipt"], "", {}, grave=True)
    wrong = [*_inconsistent(report, receipt)]
    if report.outcome is Outcome.FAILED:
        wrong.append("a failed step has no report")
    if report.outcome in {Outcome.SKIPPED, Outcome.DEGRADED} and not any(r.strip() for r in report.reasons):
        wrong.append(f"it is {report.outcome} and gives no reason")
    if not 0 < receipt.started_at <= facts.now + SKEW_S or not math.isfinite(receipt.seconds):
        wrong.append("its times cannot be")
    used = receipt.usage
    if min(used.calls, used.prompt_tokens, used.output_tokens, used.saved_by_rules, used.saved_by_cache) < 0:
        wrong.append("it counts less than nothing")
    numbers = {"reasons": len(receipt.reasons), "gaps": len(report.gaps), "step_s": round(receipt.seconds, 3)}
    why = f" and {count(len(receipt.reasons), 'reason')}" if receipt.reasons else ""
    return result("receipt_complete", wrong, f"{receipt.outcome}, with times{why}", numbers, grave=True)


def _inconsistent(report: Report, receipt: Receipt) -> list[str]:
    return [
        f"receipt and report have another {name}"
        for name in ("asset", "night", "outcome", "reasons", "effects")
        if getattr(receipt, name) != getattr(report, name)
    ]


def effects_verified(report: Report, _: Facts) -> CheckResult:
    """Check that each change made outside was read back; one that was not must say so in its detail or a reason."""
    verified = sum(effect.verified for effect in report.effects)
    unverified = [effect for effect in report.effects if not effect.verified]
    silent = [effect for effect in unverified if not effect.detail and not report.reasons]
    wrong = [f"{effect.name} {effect.target} was not read back" for effect in silent]
    said = len(unverified) - len(silent)
    well = f"{count(verified, 'effect')} read back" if report.effects else "it changed nothing outside"
    numbers = {"effects": len(report.effects), "verified": verified, "said": said}
    return result("effects_verified", wrong, f"{well}{f', {said} said to be unverified' if said else ''}", numbers)
