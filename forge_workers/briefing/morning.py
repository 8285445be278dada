"""The desk ``morning_briefing``: compose, render, keep, deliver. It is last, and it runs whatever failed before it.

Belongs here: that order, and what happens when a part of it fails: the briefing still goes out, and says so. Does not
belong here: what is said (``compose.py``), how it looks (the renderers), or how it is sent (``deliver.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forge_workers import files
from forge_workers.attempt import read, running
from forge_workers.briefing import html, markdown, slack, timeline
from forge_workers.briefing.compose import compose
from forge_workers.briefing.deliver import Delivery, deliver
from forge_workers.briefing.model import Briefing
from forge_workers.errors import Permanent, Snooze
from forge_workers.night import BRIEFING, Step, gather
from forge_workers.redact import Redactor
from forge_workers.report import Effect, Image, Outcome, Report
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools

#: Seconds until a night that is at work is looked at again.
_NIGHT_S = 300.0


def morning_briefing(
    request: Request, tools: Tools, *, steps: tuple[Step, ...], sleep: Callable[[float], None] = time.sleep
) -> Report:
    """Tell the night.

    Args:
        request: The night; its upstream reports are not used, since steps may have failed.
        tools: Its means.
        steps: What became of every step before this one.
        sleep: Waits some seconds while Slack asks for it.
    """
    told = _redacted(
        compose(
            steps,
            night=request.night,
            window=request.window,
            timezone=tools.settings.zone,
            earlier=_earlier(steps, request.night, tools.history),
            now=tools.now(),
        )
    )
    image = timeline.picture(told)
    charts = tuple(picture for step in steps if step.report for picture in step.report.images)
    text = markdown.render(told)
    pages = {"html": html.render(told, (image, *charts)), "md": text}
    written, reasons = _kept(tools.settings.home / "briefings", request.night, pages)
    sent = deliver(slack.render(told), request.night, tools.settings, sleep=sleep)
    return _report(told, text, image, written, Delivery(effects=sent.effects, reasons=(*reasons, *sent.reasons)))


def told_again(request: Request, tools: Tools) -> Report:
    """Tell a night once more, from what its steps left in the store; the day's face of :func:`morning_briefing`.

    Raises:
        Snooze: The night is being run just now, and tells itself at its end.
        Permanent: Nothing was ever done for this night.
    """
    if running(read(tools.history.root, request.night)):
        raise Snooze(_NIGHT_S, f"the night {request.night} is being run and tells itself at its end")
    steps = gather(tools.history, request.night)
    if not any(step.report or step.failure for step in steps):
        raise Permanent(f"nothing was done for the night {request.night}: run it first, forge night {request.night}")
    return morning_briefing(request, tools, steps=steps)


def briefing_of(report: Report) -> Briefing | None:
    """Return the briefing that a report of ``morning_briefing`` carries, or None when another version wrote it."""
    try:
        return Briefing.model_validate(dict(report.data))
    except ValidationError:
        return None


def _redacted(told: Briefing) -> Briefing:
    """Hide the secrets that people wrote into commits, titles and code, before any page shows them.

    Forge's own are left for ``deliver.py`` to see: they keep the whole briefing from being sent.
    """
    redactor = Redactor(())

    def hidden(value: Any) -> Any:
        if isinstance(value, str):
            return redactor.text(value)
        if isinstance(value, dict):
            return {name: hidden(inner) for name, inner in value.items()}
        return [hidden(inner) for inner in value] if isinstance(value, list) else value

    return Briefing.model_validate(hidden(told.model_dump(mode="json")))


def _earlier(steps: tuple[Step, ...], night: str, history: NightStore) -> dict[str, Report]:
    newest = ((step.asset, next(history.reports(step.asset, before=night, limit=1), None)) for step in steps)
    return {asset: report for asset, report in newest if report is not None}


def _kept(folder: Path, night: str, pages: dict[str, str]) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Write the pages and read them back; a disk that refuses is a reason, not an end."""
    effects: list[Effect] = []
    reasons: list[str] = []
    for suffix, page in pages.items():
        path = folder / f"{night}.{suffix}"
        try:
            files.replace(path, page)
            same = path.read_bytes() == page.encode("utf-8", "replace")
        except OSError as error:
            reasons.append(f"{path} could not be written: {error.strerror}")
        else:
            effects.append(Effect(name="page written", target=str(path), verified=same))
    return tuple(effects), tuple(reasons)


def _report(told: Briefing, text: str, image: Image, written: tuple[Effect, ...], sent: Delivery) -> Report:
    broken = sum(line.outcome in {"failed", "missing"} for line in told.steps)
    more = sum(number for _, number in told.findings_more)
    return Report(
        asset=BRIEFING,
        night=told.night,
        outcome=Outcome.DEGRADED if sent.reasons else Outcome.RAN,
        reasons=sent.reasons,
        headline=f"{told.verdict.level}: {told.verdict.sentence}",
        markdown=text,
        numbers={
            "needs_you": float(len(told.needs_you)),
            "new_findings": float(len(told.findings) + more),
            "steps_broken": float(broken),
            "shortfalls": float(len(told.shortfalls)),
            "night_s": sum(line.seconds or 0.0 for line in told.steps),
        },
        effects=(*written, *sent.effects),
        data=told.model_dump(mode="json"),
        images=(image,),
    )
