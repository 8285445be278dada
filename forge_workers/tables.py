"""What ``forge`` prints besides briefings: nights, checks, the GPU lease.

Belongs here: rich tables. Does not belong here: finding anything out, or the briefing, which its own desk draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from forge_workers import attempt
from forge_workers.errors import Damaged
from forge_workers.gpu.status import Claim, LeaseStatus
from forge_workers.health.checks import Check, Status
from forge_workers.night import BRIEFING, STEPS, Step, gather
from forge_workers.plain import plain
from forge_workers.plural import count
from forge_workers.report import Outcome, Report
from forge_workers.settings import Settings
from forge_workers.store import NightStore

#: How many nights are shown unless told otherwise.
_NIGHTS = 14
_DOTS = {
    Outcome.RAN: ("●", "green"),
    Outcome.SKIPPED: ("○", "dim"),
    Outcome.DEGRADED: ("◐", "yellow"),
    Outcome.FAILED: ("✗", "red"),
}
_LEVEL_STYLE = {"GREEN": "green", "YELLOW": "yellow", "RED": "red", "INCOMPLETE": "magenta"}
_STATUS_STYLE = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "yellow"}


def nights(settings: Settings, now: float, *, most: int = _NIGHTS) -> RenderableType:
    """Draw the newest nights, at most ``most``, a dot per step, and say what runs now."""
    store = NightStore(settings.home / "nights")
    kept = store.all_nights()[:most]
    if not kept:
        return Text(f"No night has run yet under {settings.home}: run `forge night`.")
    table = Table(box=None, pad_edge=False)
    for heading in ("night", "verdict", "briefed", "steps", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for night in kept:
        table.add_row(*_night(night, store, settings.zone, now))
    legend = Text("● ran  ○ skipped  ◐ degraded  ✗ failed  · not done; in the order ", style="dim")
    return Group(table, Text(), legend.append(", ".join((*STEPS, BRIEFING))))


def _night(night: str, store: NightStore, zone: ZoneInfo, now: float) -> tuple[RenderableType, ...]:
    noted = attempt.read(store.root, night)
    of_attempt = NightStore(store.root, noted.name if noted else "")
    steps = gather(of_attempt, night)
    briefing = _briefing(of_attempt, night)
    outcomes = [_outcome(step) for step in steps] + [briefing.outcome if briefing else None]
    if attempt.running(noted) and noted is not None:
        what = f"runs since {_clock(noted.started_at, zone)} as process {noted.pid}"
    elif noted is not None and not noted.finished and briefing is None:
        what = f"did not finish: `forge night --date {night}` goes on"
    else:
        what = _what(steps)
    dots = Text.assemble(*(_DOTS[outcome] if outcome else ("·", "dim") for outcome in outcomes))
    return Text(night), _verdict(briefing), Text(_briefed(briefing, zone, now)), dots, Text(what)


def _outcome(step: Step) -> Outcome | None:
    return Outcome.FAILED if step.failure else step.report.outcome if step.report else None


def _what(steps: Sequence[Step]) -> str:
    """Say why steps failed, or else which were degraded or skipped."""
    failed = [f"{s.asset}: {s.failure.reasons[0]}" for s in steps if s.failure and s.failure.reasons]
    less = [s.asset for s in steps if _outcome(s) in {Outcome.DEGRADED, Outcome.SKIPPED}]
    return "; ".join(failed) or (f"less than whole: {', '.join(less)}" if less else "")


def _briefing(store: NightStore, night: str) -> Report | None:
    """Return the briefing that the newest attempt made, or None."""
    try:
        return store.load(BRIEFING, night) if store.attempt in {"", store.attempt_of(BRIEFING, night)} else None
    except (Damaged, OSError):
        return None


def _verdict(report: Report | None) -> Text:
    from forge_workers.briefing.morning import briefing_of  # noqa: PLC0415  it draws charts, which few commands need

    told = None if report is None else briefing_of(report)
    return Text("–", style="dim") if told is None else Text(told.verdict.level, style=_LEVEL_STYLE[told.verdict.level])


def _briefed(report: Report | None, zone: ZoneInfo, now: float) -> str:
    if report is None or report.receipt is None:
        return "–"
    at = report.receipt.started_at
    day = "today" if _day(at, zone) == _day(now, zone) else _day(at, zone)
    return f"{day} {_clock(at, zone)}"


def checks(found: Sequence[Check]) -> RenderableType:
    """Draw what must be mended first, a paragraph each, then what is fine, a line each, then the sum."""
    bad = [check for check in found if check.status is not Status.OK]
    good = Table.grid(padding=(0, 2))
    for check in found:
        if check.status is Status.OK:
            good.add_row(Text("ok", style="green"), Text(check.title), Text(check.detail or check.shown, style="dim"))
    return Group(*(_trouble(check) for check in bad), good, Text(), _sum(bad))


def _trouble(check: Check) -> RenderableType:
    limits = f" ({check.threshold})" if check.threshold else ""
    head = Text.assemble((check.status, _STATUS_STYLE[check.status]), "  ", (check.title, "bold"))
    return Group(head, Padding(Text(f"{check.detail or check.shown}{limits}"), (0, 0, 1, 6)))


def _sum(bad: Sequence[Check]) -> Text:
    failed = sum(check.status is Status.FAIL for check in bad)
    must = f"{count(failed, 'thing')} must be mended" if failed else "Nothing must be mended"
    return Text(f"{must}; {count(len(bad) - failed, 'warning')}.")


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
