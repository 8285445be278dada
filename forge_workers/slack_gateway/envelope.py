"""What Slack hands over, read into one checked value.

Belongs here: the shapes of Slack's payloads, and bounds on them. Does not belong here: whether somebody may do it
(``people.py``), or doing it (``actions.py``, ``commands.py``).

Source: docs.slack.dev, "Using Socket Mode" (envelopes), "block_actions payload", "view_submission payload", "Slash
commands".
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Literal

from forge_workers.errors import BadArgs
from forge_workers.plain import plain
from forge_workers.report import Frozen
from forge_workers.slack_gateway.modal import reason_in

#: Most characters of one text in a payload that is looked at, by what it is.
MOST_COMMAND, _MOST_VALUE, _MOST_ID, _MOST_URL = 500, 4_000, 200, 500


class Ask(Frozen):
    """One thing that a person asked for.

    Attributes:
        key: Names this one press, submission or command for ever; a second delivery has the same.
        kind: ``button``, ``reason`` (the dismissal's form was sent) or ``command``.
        by: The person's id.
        team: The workspace the person belongs to.
        app: The app that Slack says it is for.
        channel: Where it was asked, "" in a form.
        at: When it came, UTC unix seconds.
        name: The button's action id, the form's callback id, or the command.
        value: What the button or the form carries, or what follows the command.
        reason: What was written into the form.
        message_ts: Of the message that holds the button, Slack's own name for it: its time in unix seconds.
        message_by: Who posted that message.
        trigger: Lets a form be opened within three seconds.
        response_url: Where an answer only this person sees may be posted.
    """

    key: str
    kind: Literal["button", "reason", "command"]
    by: str
    team: str
    app: str
    channel: str = ""
    at: float
    name: str
    value: str = ""
    reason: str = ""
    message_ts: str = ""
    message_by: str = ""
    trigger: str = ""
    response_url: str = ""


def read(kind: str, payload: Mapping[str, Any], now: float) -> Ask | None:
    """Return what was asked, or None for what asks for nothing, such as an event or a form that was closed.

    Args:
        kind: The envelope's type.
        payload: Its payload.
        now: UTC unix seconds.

    Raises:
        BadArgs: It is none of Slack's shapes, or a text in it is out of bounds; one line says so.
    """
    try:
        if kind == "slash_commands":
            return _command(payload, now)
        if kind == "interactive" and payload.get("type") == "block_actions":
            return _button(payload, now)
        if kind == "interactive" and payload.get("type") == "view_submission":
            return _reason(payload, now)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise BadArgs(f"Slack sent a {plain(kind, 40)} that is none of its shapes") from None
    return None


def _button(payload: Mapping[str, Any], now: float) -> Ask:
    (pressed,) = _one(payload["actions"])
    container = payload.get("container") or {}
    message = payload.get("message") or {}
    name, ts = _text(pressed["action_id"], _MOST_ID), _text(container.get("message_ts") or message.get("ts"), _MOST_ID)
    by = _text(payload["user"]["id"], _MOST_ID)
    return Ask(
        key=" ".join(("button", ts, _text(pressed["action_ts"], _MOST_ID), by, name)),
        kind="button",
        by=by,
        team=_team(payload),
        app=_text(payload["api_app_id"], _MOST_ID),
        channel=_text(container.get("channel_id") or payload["channel"]["id"], _MOST_ID),
        at=now,
        name=name,
        value=_text(pressed.get("value") or "", _MOST_VALUE),
        message_ts=ts,
        message_by=_text(message.get("user") or "", _MOST_ID),
        trigger=_text(payload.get("trigger_id") or "", _MOST_ID),
        response_url=_text(payload.get("response_url") or "", _MOST_URL),
    )


def _reason(payload: Mapping[str, Any], now: float) -> Ask:
    view = payload["view"]
    return Ask(
        key=f"reason {_text(view['id'], _MOST_ID)}",
        kind="reason",
        by=_text(payload["user"]["id"], _MOST_ID),
        team=_team(payload),
        app=_text(payload["api_app_id"], _MOST_ID),
        at=now,
        name=_text(view["callback_id"], _MOST_ID),
        value=_text(view.get("private_metadata") or "", _MOST_VALUE),
        reason=_text(reason_in(view), _MOST_VALUE),
    )


def _command(payload: Mapping[str, Any], now: float) -> Ask:
    text = payload.get("text") or ""
    if len(text) > MOST_COMMAND:
        command = plain(payload["command"], 40)
        raise BadArgs(f"what follows {command} has {len(text)} characters, at most {MOST_COMMAND} are taken")
    return Ask(
        key=f"command {_text(payload['trigger_id'], _MOST_ID)}",
        kind="command",
        by=_text(payload["user_id"], _MOST_ID),
        team=_text(payload["team_id"], _MOST_ID),
        app=_text(payload["api_app_id"], _MOST_ID),
        channel=_text(payload["channel_id"], _MOST_ID),
        at=now,
        name=_text(payload["command"], _MOST_ID),
        value=_text(html.unescape(text), MOST_COMMAND),  # Slack escapes what is typed
        trigger=_text(payload["trigger_id"], _MOST_ID),
        response_url=_text(payload.get("response_url") or "", _MOST_URL),
    )


def _one(actions: Any) -> tuple[Mapping[str, Any]]:
    if not isinstance(actions, list) or len(actions) != 1:
        raise TypeError
    return (actions[0],)


def _team(payload: Mapping[str, Any]) -> str:
    """Return the person's workspace: in a shared channel it may be another than the app's."""
    return _text(payload["user"].get("team_id") or payload["team"]["id"], _MOST_ID)


def _text(value: Any, most: int) -> str:
    """Return a text of a payload.

    Raises:
        TypeError: It is none.
        BadArgs: It is too long, or cannot be written down.
    """
    if not isinstance(value, str):
        raise TypeError
    if len(value) > most:
        raise BadArgs(f"Slack sent a text of {len(value)} characters where at most {most} are taken")
    return value.encode("utf-8", "replace").decode()
