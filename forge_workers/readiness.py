"""Is the night's model there, how fast is it, and what sits in the GPU's memory?

Belongs here: the report about it. Does not belong here: how a model is loaded and measured, which is the gateway's.
"""

from __future__ import annotations

from forge_workers.errors import Damaged, LeaseLost
from forge_workers.models.engine import ModelFault, NoServer, Resident
from forge_workers.models.gateway import WarmUp
from forge_workers.plain import markdown, plain
from forge_workers.report import Effect, Outcome, Report
from forge_workers.settings_sections import Models
from forge_workers.tools import Request, Tools

_ASSET = "gpu_readiness"
_TITLE = "## GPU readiness"


def gpu_readiness(request: Request, tools: Tools) -> Report:
    """Load the night's model, measure it, and read back what the server holds in memory.

    A night that runs again with the same model keeps its first measurement: what is cached needs no model, and what is
    not loads it when it is asked. A lease lost on the way degrades this step and does not fail it, because the triage
    of the machine waits for it and must not go missing.
    """
    wanted = tools.settings.models
    try:
        measured = _measured_before(request, tools)
        if measured is not None:
            tools.models.spare(1)
            return measured
        warm = tools.models.warm_up()
    except NoServer as fault:
        return _without(request, Outcome.SKIPPED, str(fault))
    except (ModelFault, LeaseLost) as fault:
        return _without(request, Outcome.DEGRADED, str(fault))
    return _report(request, warm, _shortcomings(warm, wanted))


def _measured_before(request: Request, tools: Tools) -> Report | None:
    """Return this night's earlier measurement of the very same model, or None.

    Raises:
        ModelFault: The model cannot be asked now, whatever was measured before.
    """
    digest = tools.models.digest()
    try:
        earlier = tools.history.load(_ASSET, request.night)
    except Damaged:
        return None
    if earlier is None or earlier.outcome is not Outcome.RAN or earlier.data.get("digest") != digest:
        return None
    speed = earlier.numbers["tokens_per_s"]
    headline = f"{plain(str(earlier.data['model']))} wrote {speed:.0f} tokens a second when this night first ran."
    return earlier.model_copy(update={"receipt": None, "effects": (), "headline": headline})


def _without(request: Request, outcome: Outcome, why: str) -> Report:
    then = "The other desks work without a model and say so."
    return Report(
        asset=_ASSET,
        night=request.night,
        outcome=outcome,
        reasons=(f"no model: {why}",),
        headline=f"No model is ready: {why}.",
        markdown=f"{_TITLE}\n\nNo model is ready: {markdown(why)}\\. {then}\n",
    )


def _shortcomings(warm: WarmUp, wanted: Models) -> tuple[str, ...]:
    """Say what is not as it should be; decided from what was read back, not from what was asked for."""
    if warm.own is None:
        return (f"the server loaded {warm.model} and answered, but does not list it as resident",)
    found = []
    window = warm.own.context_tokens
    if window is not None and window < wanted.context_tokens:
        found.append(f"{warm.model} has a window of {window} tokens, not the {wanted.context_tokens} asked for")
    if 0 < warm.own.gpu_bytes < warm.own.size_bytes:
        share = round(100 * warm.own.gpu_bytes / warm.own.size_bytes)
        found.append(f"only {share} % of {warm.model} fits on the GPU, so it is slow")
    return tuple(found)


def _report(request: Request, warm: WarmUp, reasons: tuple[str, ...]) -> Report:
    headline = f"{plain(warm.model)} is loaded and writes {warm.tokens_per_s:.0f} tokens a second."
    rows = [
        f"| {markdown(held.name, 80)} | {_gb(held.size_bytes)} | {_gb(held.gpu_bytes)} | {_window(held)} |"
        for held in warm.resident
    ]
    table = "\n".join(["| resident | memory | on the GPU | window |", "|---|---:|---:|---:|", *rows])
    said = "".join(f"\n- {markdown(reason)}" for reason in reasons)
    return Report(
        asset=_ASSET,
        night=request.night,
        outcome=Outcome.DEGRADED if reasons else Outcome.RAN,
        reasons=reasons,
        headline=headline,
        markdown=f"{_TITLE}\n\n{markdown(headline)} Loading took {warm.load_s:.1f} s.\n{said}\n\n{table}\n",
        numbers={
            "load_s": warm.load_s,
            "tokens_per_s": warm.tokens_per_s,
            "resident_bytes": float(sum(held.size_bytes for held in warm.resident)),
        },
        effects=(Effect(name="model loaded", target=warm.model, verified=warm.own is not None),),
        data={"model": warm.model, "digest": warm.digest, "resident": [h.model_dump() for h in warm.resident]},
    )


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


def _window(held: Resident) -> str:
    return "unknown" if held.context_tokens is None else f"{held.context_tokens}"
