"""What ``forge`` prints besides briefings: nights, checks, the GPU lease.

Belongs here: rich tables. Does not belong here: finding anything out, or the briefing, which its own desk draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forge_workers import attempt
from forge_workers.errors import Damaged
from forge_workers.gpu.status import Claim, LeaseStatus
from forge_workers.health.checks import Check
from forge_workers.night import BRIEFING, STEPS, gather
from forge_workers.plain import plain
from forge_workers.report import Outcome
from forge_workers.settings import Settings
from forge_workers.store import NightStore

#: How many nights ``forge status`` shows.
_NIGHTS = 14
_DOTS = {
    Outcome.RAN: ("●", "green"),
    Outcome.SKIPPED: ("○", "dim"),
    Outcome.DEGRADED: ("◐", "yellow"),
    Outcome.FAILED: ("✗", "red"),
}
_STATUS_STYLE = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "yellow"}


def nights(settings: Settings, now: float) -> RenderableType:
    """Draw the newest nights, a dot per step, and say what runs now."""
    store = NightStore(settings.home / "nights")
    kept = store.all_nights()[:_NIGHTS]
    if not kept:
        return Text(f"No night has run yet under {settings.home}: run `forge night`.")
    table = Table(box=None, pad_edge=False)
    for heading in ("night", "steps", "briefing", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for night in kept:
        table.add_row(*_night(night, store, settings.zone, now))
    legend = Text("● ran  ○ skipped  ◐ degraded  ✗ failed  · not done, in the order ", style="dim")
    return Group(table, Text(), legend.append(", ".join(STEPS)))


def _night(night: str, store: NightStore, zone: ZoneInfo, now: float) -> tuple[RenderableType, ...]:
    noted = attempt.read(store.root, night)
    of_attempt = NightStore(store.root, noted.name if noted else "")
    dots, reasons = Text(), []
    for step in gather(of_attempt, night):
        outcome = Outcome.FAILED if step.failure else step.report.outcome if step.report else None
        mark, style = _DOTS[outcome] if outcome else ("·", "dim")
        dots.append(mark, style)
        reasons += [f"{step.asset}: {step.failure.reasons[0]}"] if step.failure and step.failure.reasons else []
    if attempt.running(noted) and noted is not None:
        what = f"runs since {_clock(noted.started_at, zone)} as process {noted.pid}"
    elif noted is not None and not noted.finished and not reasons:
        what = f"did not finish: `forge night --date {night}` goes on"
    else:
        what = "; ".join(reasons)
    return Text(night), dots, _briefed(of_attempt, night, zone, now), Text(what)


def _briefed(store: NightStore, night: str, zone: ZoneInfo, now: float) -> Text:
    try:
        report = store.load(BRIEFING, night)
    except Damaged:
        return Text("damaged", style="red")
    if report is None or report.receipt is None:
        return Text("–", style="dim")
    at = report.receipt.started_at
    day = "today" if _day(at, zone) == _day(now, zone) else _day(at, zone)
    return Text(f"{day} {_clock(at, zone)}")


def checks(found: Iterable[Check]) -> RenderableType:
    """Draw one line per check with its status, value, threshold and detail."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "value", "limits", "what was seen"):
        table.add_column(heading)
    for check in found:
        style = _STATUS_STYLE[check.status]
        status = Text(check.status, style=style)
        table.add_row(
            status, Text(check.title), Text(check.shown), Text(check.threshold, style="dim"), Text(check.detail)
        )
    return table


def lease(status: LeaseStatus, zone: ZoneInfo) -> RenderableType:
    """Draw who has the GPU, for what, since when, in which term, and who waits."""
    if status.holder is None:
        return Text(status.sentence)
    holder = status.holder
    rows = (
        ("device", status.device),
        ("holder", f"process {holder.pid} on {plain(holder.host)}"),
        ("purpose", plain(holder.purpose)),
        ("since", f"{_clock(holder.since_at, zone)} ({status.observed_at - holder.since_at:.0f} s ago)"),
        ("term", str(status.term)),
        ("expires in", f"{status.expires_in_s or 0:.0f} s unless renewed"),
        ("waiting", "\n".join(_waiter(n, w, zone) for n, w in enumerate(status.waiters, 1)) or "nobody"),
    )
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _waiter(place: int, claim: Claim, zone: ZoneInfo) -> str:
    return f"{place}. {plain(claim.purpose)}, process {claim.pid}, since {_clock(claim.since_at, zone)}"


def _clock(moment: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(moment, zone).strftime("%H:%M")


def _day(moment: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(moment, zone).date().isoformat()
