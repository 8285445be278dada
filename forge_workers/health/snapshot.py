"""The desk ``health_snapshot``: every check once, as a report.

A look is a look at *now*. A night that is materialised again days later gets the state of that later moment, and says
so. Belongs here: making the report. Does not belong here: the checks, or what they mean together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import ValidationError

from forge_workers.health import trends
from forge_workers.health.checks import GAUGES, Check, Gauge, Snapshot, Status, troubled
from forge_workers.health.probe import STALE_S, Probe, Scene, observe
from forge_workers.health.probes import PROBES
from forge_workers.plain import markdown
from forge_workers.report import Evidence, Finding, Gap, Outcome, Report, Severity, by_weight, fingerprint
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools

ASSET = "health_snapshot"
#: Earlier looks that trends and rules reach back for, in nights.
NIGHTS_BACK = 7
_SEVERITY = {Status.FAIL: Severity.HIGH, Status.WARN: Severity.MEDIUM}
_BY_NAME = {gauge.name: gauge for gauge in GAUGES}


def health_snapshot(request: Request, tools: Tools, probes: Sequence[Probe] = PROBES) -> Report:
    """Look at the machine once.

    Args:
        request: The night the look is filed under.
        tools: Its means.
        probes: What to look at.
    """
    now = tools.now()
    earlier = trends.by_night(now, looks(tools.history, before=request.night))
    scene = Scene(tools=tools, night=request.night, now=now, earlier=earlier)
    snapshot = Snapshot(observed_at=now, checks=tuple(observe(probe, scene) for probe in probes))
    return report_of(snapshot, request, tools, _known(tools.history, request.night))


def looks(history: NightStore, *, before: str) -> tuple[Snapshot, ...]:
    """Return the looks of the last nights before ``before``, nearest first; what is no look any more is passed over."""
    reports = history.reports(ASSET, before=before, limit=NIGHTS_BACK)
    return tuple(snapshot for snapshot in map(parsed, reports) if snapshot is not None)


def parsed(report: Report) -> Snapshot | None:
    """Return the snapshot that a report of ``health_snapshot`` carries, or None when it carries none."""
    try:
        return Snapshot.model_validate(report.data)
    except ValidationError:
        return None


def report_of(snapshot: Snapshot, request: Request, tools: Tools, known: frozenset[str]) -> Report:
    """Write the report of ``snapshot``; ``known`` are the fingerprints of the night before."""
    late_s = snapshot.observed_at - request.window.end_at
    seen = datetime.fromtimestamp(snapshot.observed_at, tools.settings.zone)
    reasons = (
        (f"this was seen on {seen:%Y-%m-%d at %H:%M}; the machine's state of the night {request.night} is gone",)
        if late_s > STALE_S
        else ()
    )
    return Report(
        asset=ASSET,
        night=request.night,
        outcome=Outcome.DEGRADED if reasons else Outcome.RAN,
        reasons=reasons,
        headline=_headline(snapshot.checks),
        markdown=_markdown(snapshot.checks, reasons, f"{seen:%Y-%m-%d %H:%M %Z}"),
        numbers={
            _BY_NAME[check.name].number: check.value
            for check in snapshot.checks
            if check.value is not None and check.name in _BY_NAME
        },
        findings=by_weight(
            [_finding(c, snapshot.observed_at, known) for c in snapshot.checks if c.status in _SEVERITY]
        ),
        gaps=tuple(Gap(what=c.title, why=c.detail) for c in snapshot.checks if c.status is Status.UNKNOWN),
        data=snapshot.model_dump(mode="json"),
    )


def _known(history: NightStore, night: str) -> frozenset[str]:
    last = next(history.reports(ASSET, before=night, limit=1), None)
    return frozenset() if last is None else frozenset(finding.fingerprint for finding in last.findings)


def _finding(check: Check, observed_at: float, known: frozenset[str]) -> Finding:
    gauge = _BY_NAME.get(check.name, Gauge(check.name, check.title, check.unit, "forge"))
    name = fingerprint("health", check.name)
    seen = f"{check.shown} ({check.threshold})" if check.value is not None else check.detail
    return Finding(
        fingerprint=name,
        rule=f"health:{check.name}",
        severity=_SEVERITY[check.status],
        title=f"{check.title}: {seen}",
        detail=". ".join(part.rstrip(".") for part in (check.detail, gauge.advice) if part),
        evidence=(Evidence(source=gauge.source, observed_at=observed_at, quote=check.detail or check.shown),),
        is_new=name not in known,
    )


def _headline(checks: Sequence[Check]) -> str:
    bad = troubled(checks)
    passed = len(checks) - len(bad)
    if not bad:
        return f"All {len(checks)} checks of the machine pass."
    named = ", ".join(f"{check.title} ({check.status})" for check in bad[:3])
    return f"{passed} of {len(checks)} checks pass; not: {named}{' and more' if len(bad) > 3 else ''}."  # noqa: PLR2004


def _markdown(checks: Sequence[Check], reasons: Iterable[str], seen: str) -> str:
    lines = ["## Health snapshot", "", f"Seen {markdown(seen)}. {markdown(_headline(checks), 400)}", ""]
    lines += [f"> Degraded: {markdown(reason)}" for reason in reasons]
    lines += ["", "| check | status | value | limits | seen |", "|---|---|---|---|---|"]
    for check in (*troubled(checks), *(c for c in checks if c.status is Status.OK)):
        told = (check.title, check.status, check.shown, check.threshold, check.detail)
        lines.append("| " + " | ".join(markdown(cell) for cell in told) + " |")
    return "\n".join(lines) + "\n"
