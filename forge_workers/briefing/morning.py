"""The desk ``morning_briefing``: compose, render, keep, deliver. It is last, and it runs whatever failed before it.

Belongs here: that order, and what happens when a part of it fails: the briefing still goes out, and says so. Does not
belong here: what is said (``compose.py``), how it looks (the renderers), or how it is sent (``deliver.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import Timeout
from pydantic import ValidationError

from forge_workers import files
from forge_workers.attempt import read, running
from forge_workers.briefing import earlier_nights, html, index, markdown, parcels, slack, timeline
from forge_workers.briefing.compose import compose
from forge_workers.briefing.deliver import Delivery, deliver
from forge_workers.briefing.model import Briefing
from forge_workers.errors import Damaged, ForgeError, Permanent, Snooze
from forge_workers.feedback import Feedback, Views
from forge_workers.night import BRIEFING, Step, gather
from forge_workers.nights import asked
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

    A night that is done late, and was never told, is told on its pages alone: the next briefing names it.

    Args:
        request: The night; its upstream reports are not used, since steps may have failed.
        tools: Its means.
        steps: What became of every step before this one.
        sleep: Waits some seconds while Slack asks for it.
    """
    views, unheard = _views(tools.settings.home)
    told = _redacted(_composed(request, tools, steps, views))
    image = timeline.picture(told)
    charts = tuple(picture for step in steps if step.report for picture in step.report.images)
    text = markdown.render(told)
    folder = tools.settings.home / "briefings"
    before, after = index.neighbours(folder, request.night)
    pages = {"html": html.render(told, (image, *charts), before=before, after=after), "md": text}
    written, reasons = _kept(folder, request.night, pages)
    listed, missed = _listed(folder, tools.history, told)
    sent = _sent(request, tools, told, (image, *charts), sleep)
    done = Delivery(effects=sent.effects, reasons=(*unheard, *reasons, *missed, *sent.reasons))
    return _report(told, text, image, (*written, *listed), done)


def told_again(request: Request, tools: Tools) -> Report:
    """Tell a night once more, from what its steps left in the store; the day's face of :func:`morning_briefing`.

    Raises:
        Snooze: The night is being run just now, and tells itself at its end.
        Permanent: Nothing was ever done for this night.
    """
    if running(read(tools.history.root, request.night)):
        raise Snooze(_NIGHT_S, f"the night {request.night} is being run and tells itself at its end")
    skipped = asked.skipped(tools.history.root, request.night)
    steps = gather(tools.history, request.night, skipped=skipped)
    if not any((step.report and step.report.receipt) or step.failure for step in steps):
        raise Permanent(f"nothing was done for the night {request.night}: run it first, forge night {request.night}")
    return morning_briefing(request, tools, steps=steps)


def _views(home: Path) -> tuple[Views, tuple[str, ...]]:
    """Return what people said of findings; a file that cannot be read is a reason, not an end."""
    try:
        return Feedback(home).views(), ()
    except (Damaged, OSError) as error:
        return Views(), (f"opinions and snoozes are left aside: {error}",)


def _composed(request: Request, tools: Tools, steps: tuple[Step, ...], views: Views) -> Briefing:
    settings, history = tools.settings, tools.history
    before = _before(history, request.night)
    if request.publishes:
        caught_up = earlier_nights.sentences(history, request.night, settings)
    else:
        caught_up = before.caught_up if before else ()
    return compose(
        steps,
        night=request.night,
        window=request.window,
        timezone=settings.zone,
        earlier=_earlier(steps, request.night, history),
        now=tools.now(),
        before=before,
        caught_up=caught_up,
        publishes=request.publishes,
        views=views,
    )


def _before(history: NightStore, night: str) -> Briefing | None:
    """Return the edition that the store has of this night; one that is damaged is none."""
    try:
        report = history.load(BRIEFING, night)
    except (Damaged, OSError):
        return None
    return None if report is None else briefing_of(report)


def _sent(
    request: Request, tools: Tools, told: Briefing, images: tuple[Image, ...], sleep: Callable[[float], None]
) -> Delivery:
    """Deliver the edition, unless its night is done late and nobody was told of it in its morning."""
    settings, home = tools.settings, tools.settings.home
    out = parcels.marker_path(home, told.night).exists() or parcels.path_of(home, told.night).exists()
    if not request.publishes and not out:
        why = "the night was done late, so the next briefing names it"
        return Delivery(effects=(Effect(name="briefing", target="pages only", verified=True, detail=why),))
    messages = slack.render(told, buttons=settings.slack.app_token is not None)
    return deliver(messages, told.night, settings, images=images, made_at=told.made_at, sleep=sleep)


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


def _listed(folder: Path, history: NightStore, told: Briefing) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Put the night into the index of nights; what keeps it out is a reason, not an end."""
    try:
        page = index.refresh(folder, history, told)
    except (OSError, ForgeError, Timeout) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        return (), (f"the index of nights could not be made: {why}",)
    return (Effect(name="page written", target=str(page), verified=page.is_file()),), ()


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
