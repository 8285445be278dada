"""One notice: something a worker wants a person to know now, checked and bounded on its way in.

Belongs here: the value and its check. Does not belong here: how it looks (``blocks.py``), when it goes out
(``rules.py``), where it waits (``outbox.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, cast, get_args

from pydantic import Field, JsonValue

from forge_workers.briefing.told import linkable
from forge_workers.errors import BadArgs
from forge_workers.plain import plain
from forge_workers.report import Frozen, fingerprint

Kind = Literal["done", "failed", "contention", "buried", "alarm"]
#: Characters of a title, a detail and a worker's name. Escaped for Slack each can grow fivefold, and every one then
#: still fits the 3,000 characters of one text object. Source: docs.slack.dev, Block Kit reference.
TITLE_CHARS, DETAIL_CHARS, WORKER_CHARS = 200, 400, 64
#: Of a longer text, how much is looked through for secrets before it is cut: what is never kept need not be searched.
_SEARCHED = 8
_KINDS = get_args(Kind)
_TAKEN = ("kind", "title", "worker", "detail", "reason", "urgent", "link")


class Notice(Frozen):
    """One notice on its way to people.

    Attributes:
        id: The job's id; the same id is the same notice.
        kind: What happened: a job done, failed or buried, two wanting the GPU, or an alarm.
        worker: Whom it is about.
        title: One plain line.
        detail: More of it, one plain line, "" for none.
        key: The same for notices that tell the same thing again; see :func:`notice_from`.
        urgent: May break the quiet hours.
        link: An https address that code produced.
        at: When it happened, UTC unix seconds.
        count: How many notices it stands for; more than one only where others had to be dropped.
    """

    id: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Kind
    worker: Annotated[str, Field(min_length=1, max_length=WORKER_CHARS)]
    title: Annotated[str, Field(min_length=1, max_length=TITLE_CHARS)]
    detail: Annotated[str, Field(max_length=DETAIL_CHARS)] = ""
    key: str
    urgent: bool = False
    link: str | None = None
    at: float
    count: Annotated[int, Field(ge=1)] = 1


def notice_from(arguments: Mapping[str, JsonValue], job_id: str, at: float, masked: Callable[[str], str]) -> Notice:
    """Check a job's arguments and return their notice.

    The key is made of kind, worker, urgency and ``reason``, or the title where no reason is given. Urgency is part of
    it, so that an urgent notice is never hidden in the count of one that was not.

    Args:
        arguments: ``kind``, ``title`` and ``worker``; if wanted ``detail``, ``reason``, ``urgent`` and ``link``.
        job_id: The job's id.
        at: When it happened, UTC unix seconds.
        masked: Hides secrets in a text.

    Raises:
        BadArgs: One is missing, unknown, or of no use; the message is one line that names it.
    """
    unknown = next((name for name in arguments if name not in _TAKEN), None)
    if unknown is not None:
        raise BadArgs(f"a notice has no {plain(unknown, 40)!r}: it takes {', '.join(_TAKEN)}")
    kind, urgent, link = _text(arguments, "kind", needed=True), arguments.get("urgent", False), arguments.get("link")
    if kind not in _KINDS:
        raise BadArgs(f"kind of a notice must be one of {', '.join(_KINDS)}")
    if not isinstance(urgent, bool):
        raise BadArgs("urgent of a notice must be true or false")
    if link is not None and (not isinstance(link, str) or linkable(link) is None):
        raise BadArgs("link of a notice must be an https address with nothing but a host and a path")
    worker = _told(arguments, "worker", WORKER_CHARS, masked)
    title = _told(arguments, "title", TITLE_CHARS, masked)
    if not worker or not title:
        raise BadArgs(f"{'title' if worker else 'worker'} of a notice has no character that can be shown")
    reason = _text(arguments, "reason") or title
    return Notice(
        id=job_id,
        kind=cast("Kind", kind),
        worker=worker,
        title=title,
        detail=_told(arguments, "detail", DETAIL_CHARS, masked),
        key=fingerprint(kind, worker, str(urgent), reason),
        urgent=urgent,
        link=link,
        at=at,
    )


def withheld(notice: Notice) -> Notice:
    """Return the notice with nothing left of it but that it was there and may not be told."""
    title = "a notice was withheld, because it holds one of Forge's own secrets"
    key = fingerprint("withheld", notice.kind, str(notice.urgent))
    hidden = {"worker": "slack_notifier", "title": title, "detail": "", "link": None, "key": key}
    return notice.model_copy(update=hidden)


def _text(arguments: Mapping[str, JsonValue], name: str, *, needed: bool = False) -> str:
    value = arguments.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str):
        raise BadArgs(f"{name} of a notice {'is missing' if value is None else 'must be a text'}")
    return value


def _told(arguments: Mapping[str, JsonValue], name: str, limit: int, masked: Callable[[str], str]) -> str:
    """Return a text without secrets as one line; they are hidden first, so that a cut leaves no half of one."""
    return plain(masked(_text(arguments, name, needed=name != "detail")[: limit * _SEARCHED]), limit)
