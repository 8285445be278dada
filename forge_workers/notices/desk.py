"""The worker ``slack_notifier``: the one door to Slack for what workers want people to know now.

A job carries one notice or none. The notice is in the outbox, on disk, before anything else happens, so that the job
may be acknowledged whatever Slack does; then all that waits and may go out is sent. Belongs here: that, and its report.
Does not belong here: the outbox, the rules, or the sending.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from forge_workers.errors import Transient
from forge_workers.log import event
from forge_workers.notices.notice import Notice, notice_from, withheld
from forge_workers.notices.outbox import Outbox
from forge_workers.notices.send import Clock, Flushed, Sleep, flush
from forge_workers.plural import count
from forge_workers.redact import Redactor
from forge_workers.report import Frozen, Outcome, Report
from forge_workers.settings import Settings
from forge_workers.tools import Tools

_LOG = logging.getLogger(__name__)


class Asked(Protocol):
    """What a job asks of this desk."""

    @property
    def night(self) -> str:
        """The night's key."""

    @property
    def args(self) -> Mapping[str, JsonValue]:
        """The job's arguments; none for only sending what waits."""

    @property
    def job_id(self) -> str:
        """The job's id."""

    @property
    def queued_at(self) -> float:
        """When the job was first asked for, UTC unix seconds."""


class NotifyResult(Frozen):
    """What came of one notice.

    Attributes:
        accepted: Whether it is new; False when its id was accepted before.
        flushed: What was sent on this occasion, of this and of other notices.
    """

    accepted: bool
    flushed: Flushed


def slack_notifier(request: Asked, tools: Tools) -> Report:
    """Accept the notice the job carries, if it carries one, and send what waits.

    Raises:
        BadArgs: The arguments are no notice.
        Transient: The notice could not be kept; the job should come again.
    """
    if request.args:
        result = notify(request.args, request.job_id, tools.settings, at=request.queued_at, now=tools.now)
        return report_of(result.flushed, request.night)
    return report_of(flush_only(tools.settings, now=tools.now), request.night)


def notify(
    arguments: Mapping[str, JsonValue],
    job_id: str,
    settings: Settings,
    *,
    at: float,
    now: Clock = time.time,
    sleep: Sleep = time.sleep,
) -> NotifyResult:
    """Keep the notice a job carries, then send what waits; what cannot be sent is no fault of the job.

    Args:
        arguments: The job's arguments.
        job_id: The job's id; the same id is the same notice.
        settings: The user's settings.
        at: When it happened, UTC unix seconds.
        now: The wall clock, UTC unix seconds.
        sleep: Waits some seconds.

    Raises:
        BadArgs: The arguments are no notice.
        Transient: The notice could not be kept; the job should come again.
    """
    accepted = keep(arguments, job_id, settings, at=at)
    return NotifyResult(accepted=accepted, flushed=flush_only(settings, now=now, sleep=sleep))


def keep(arguments: Mapping[str, JsonValue], notice_id: str, settings: Settings, *, at: float) -> bool:
    """Keep a notice, durable when this returns, for whoever sends next; False when its id was kept before.

    Args:
        arguments: As :func:`notify` takes them.
        notice_id: The same id is the same notice.
        settings: The user's settings.
        at: When it happened, UTC unix seconds.

    Raises:
        BadArgs: The arguments are no notice.
        Transient: It could not be kept.
    """
    notice = _checked(arguments, notice_id, at, Redactor(settings.secrets))
    try:
        accepted = Outbox(settings.home).accept(notice)
    except OSError as error:
        raise Transient(f"a notice could not be kept in spool/notices: {error.strerror}") from None
    event(_LOG, "notice.accepted", notice=notice_id, kind=notice.kind, new=accepted)
    return accepted


def flush_only(settings: Settings, *, now: Clock = time.time, sleep: Sleep = time.sleep) -> Flushed:
    """Send what waits and may go out now."""
    try:
        return flush(settings, now=now, sleep=sleep)
    except (Transient, OSError) as error:
        reason = f"notices wait in the outbox: {getattr(error, 'strerror', None) or error}"
        event(_LOG, "notice.held", logging.WARNING, reason=reason)
        return Flushed(reasons=(reason,))


def report_of(flushed: Flushed, night: str) -> Report:
    """Return the report of one flush."""
    waits = f", {count(flushed.waiting, 'notice')} waiting" if flushed.waiting else ""
    return Report(
        asset="slack_notifier",
        night=night,
        outcome=Outcome.DEGRADED if flushed.reasons else Outcome.RAN,
        reasons=flushed.reasons,
        headline=f"{count(flushed.notices, 'notice')} delivered{waits}.",
        numbers={
            "notices": flushed.notices,
            "messages": flushed.messages,
            "waiting": flushed.waiting,
            "put_aside": flushed.aside,
        },
        effects=flushed.effects,
    )


def _checked(arguments: Mapping[str, JsonValue], job_id: str, at: float, redactor: Redactor) -> Notice:
    """Return the notice, with nothing of its text left where that holds one of Forge's own secrets."""
    notice = notice_from(arguments, job_id, at, redactor.text)
    given = [value for value in arguments.values() if isinstance(value, str)]
    kept = (notice.worker, notice.title, notice.detail)  # again: what was cut out of a text may have split a secret
    if any(map(redactor.holds_own_secret, (*given, *kept, "".join(given), "".join(kept)))):
        event(_LOG, "notice.withheld", logging.ERROR, notice=job_id)
        return withheld(notice)
    return notice
