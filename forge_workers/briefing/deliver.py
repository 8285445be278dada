"""Delivering the briefing to Slack: once per night, whatever happens in between.

The life of one night's messages:

1. They are written to ``spool/slack/<night>.json`` before anything is sent, and removed when Slack holds them all. So
   what could not be delivered goes out with the next delivery, once.
2. Each message is named by its part, 0 for the channel and 1, 2 ... for the thread, and carries that name in its Slack
   metadata (event type ``forge_briefing``, night, part). ``briefings/<night>.slack.json`` marks where part 0 stands.
   A part that Slack holds is updated, never posted again.
3. Before a part is posted, the marked thread, or without a mark the channel, is searched for it; and again after a
   reply that did not come. So a repeat finds what is there, whether a reply was lost or this process died.
4. At the end the thread is read back; only what was read back counts as verified.

What stays open: a request that Slack works on only after we gave up waiting and looked. Belongs here: this order. Does
not belong here: the wire (``channel.py``), the messages (``slack.py``).
"""

from __future__ import annotations

import hashlib
import html
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from pydantic import ValidationError

from forge_workers import files
from forge_workers.briefing.channel import PAUSES_S, Busy, Channel, Refused, Seen, Unclear, origin_of
from forge_workers.briefing.slack import Message
from forge_workers.log import event
from forge_workers.redact import Redactor
from forge_workers.report import Effect, Frozen
from forge_workers.settings import Settings
from forge_workers.windows import NightKey, check_night

_LOG = logging.getLogger(__name__)
#: Slack's words for "not in this layout"; the same words without blocks still go through.
_LAYOUT = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch"})
#: Slack's words for a message that may not be edited any more.
_FINAL = frozenset({"edit_window_closed", "cant_update_message"})
#: Longest wait for another process that delivers just now, in seconds.
_LOCK_S = 120.0

Sleep = Callable[[float], None]


class Parcel(Frozen):
    """One night's messages on their way."""

    night: NightKey
    messages: tuple[Message, ...]


class Marker(Frozen):
    """Where a night's first message stands; its thread holds the others."""

    channel: str
    ts: str


class Placed(NamedTuple):
    """One part as it now stands in Slack."""

    ts: str
    digest: str
    note: str


class Delivery(Frozen):
    """What came of it: changes made outside, each verified or not, and what did not work."""

    effects: tuple[Effect, ...] = ()
    reasons: tuple[str, ...] = ()


def deliver(messages: tuple[Message, ...], night: str, settings: Settings, *, sleep: Sleep = time.sleep) -> Delivery:
    """Post the briefing of ``night``, or update it where it is posted already, then what earlier nights left over.

    1. No token: nothing is sent; the terminal shows the briefing. No fault.
    2. No channel: nothing is sent, with the reason.
    3. The messages hold one of Forge's own secrets: nothing is sent or spooled, with the reason.
    4. Otherwise they are sent; what fails stays in the spool, with the reason.
    """
    slack, home = settings.slack, settings.home
    if slack.token is None:
        shown = "no Slack token is set, so the terminal shows the briefing"
        return Delivery(effects=(Effect(name="briefing", target="terminal", verified=False, detail=shown),))  # 1
    if slack.channel is None:
        reason = "Slack has a token but no channel: set slack.channel to a channel's id, such as C0123456789"
        return Delivery(reasons=(reason,))  # 2
    if _holds_secret(messages, Redactor(settings.secrets)):
        event(_LOG, "briefing.blocked", logging.ERROR, night=night, reason="own_secret")
        return Delivery(reasons=("the briefing holds one of Forge's own secrets, so it was not sent to Slack",))  # 3
    try:
        files.replace(_spool(home, night), Parcel(night=night, messages=messages).model_dump_json())
        with FileLock(home / "spool" / "slack.lock", timeout=_LOCK_S):
            return _all(night, Channel(slack, origin_of(home), sleep), home, sleep)  # 4
    except Timeout:
        return Delivery(reasons=("another process is delivering to Slack; the briefing is spooled",))
    except OSError as error:
        return Delivery(reasons=(f"the briefing could not be spooled for Slack: {error.strerror}",))


def _all(night: str, channel: Channel, home: Path, sleep: Sleep) -> Delivery:
    """Send tonight's parcel, then the ones left over, oldest first, until Slack is away or refuses all alike."""
    waiting = sorted(path.stem for path in _spool(home, night).parent.glob("*.json"))
    effects: list[Effect] = []
    refusals: list[str] = []
    for key in (night, *(other for other in waiting if other != night)):
        parcel = _parcel(_spool(home, key))
        if parcel is None:
            continue
        try:
            effects.append(_send(parcel, channel, home, sleep))
        except (Refused, Busy, Unclear) as error:
            event(_LOG, "briefing.spooled", logging.WARNING, night=key, error=type(error).__name__)
            late = "" if key == night else f"the briefing of {key}: "
            reason = f"{error}; it is spooled for the next delivery"
            again = any(said.endswith(reason) for said in refusals)
            refusals += [] if again else [f"{late}{reason}"]
            if again or not isinstance(error, Refused):
                break
        else:
            _spool(home, key).unlink(missing_ok=True)
    unsure = [f"Slack holds the briefing, but: {e.detail}" for e in effects if not e.verified]
    return Delivery(effects=tuple(effects), reasons=(*refusals, *unsure))


def _send(parcel: Parcel, channel: Channel, home: Path, sleep: Sleep) -> Effect:
    """Bring the channel to hold exactly this parcel, remembering where, and read it back."""
    night, path = parcel.night, _marker(home, parcel.night)
    seen = _held(channel, night, _remembered(path, channel.id))
    sent: list[Placed] = []
    for part, message in enumerate(parcel.messages):
        thread_ts = sent[0].ts if sent else None
        old = seen.get(part)
        placed = _place(message, old, part=part, thread_ts=thread_ts, night=night, channel=channel, sleep=sleep)
        sent.append(placed)
        if part == 0:
            files.replace(path, Marker(channel=channel.id, ts=sent[0].ts).model_dump_json())
    _withdraw(seen, len(sent), night, channel)
    held = channel.thread(sent[0].ts, night)
    verified = all(held.get(part) == Seen(ts=placed.ts, digest=placed.digest) for part, placed in enumerate(sent))
    event(_LOG, "briefing.delivered", night=night, parts=len(sent), updated=bool(seen), verified=verified)
    details = [f"{'updated' if seen else 'posted'} in {len(sent)} parts", *dict.fromkeys(p.note for p in sent),
               "" if verified else "it could not be read back as it was sent"]  # fmt: skip
    return Effect(
        name=f"briefing of {night}",
        target=f"Slack {channel.id} {sent[0].ts}",
        verified=verified,
        detail="; ".join(filter(None, details)),
    )


def _held(channel: Channel, night: str, ts: str | None) -> dict[int, Seen]:
    """Return what Slack holds of a night's briefing: where the marker says, or else wherever the channel has it."""
    seen = channel.thread(ts, night) if ts else {}
    if 0 not in seen:
        found = channel.find(night)
        seen = channel.thread(found, night) if found else {}
    return seen


def _place(
    message: Message,
    old: Seen | None,
    *,
    part: int,
    thread_ts: str | None,
    night: str,
    channel: Channel,
    sleep: Sleep,
) -> Placed:
    """Post or update one part until Slack holds it.

    Raises:
        Refused: At once.
        Busy: At once; the waits that Slack asked for lie behind it.
        Unclear: After the last try; nothing was posted twice.
    """
    ts, note = old.ts if old else None, ""
    pauses = iter(PAUSES_S)
    while True:
        marks = {"night": night, "part": part, "digest": _digest(message)}
        try:
            if ts is None:
                ts = channel.post(message, marks, thread_ts)
            else:
                channel.update(ts, message, marks)
        except Refused as refused:
            if refused.code in _LAYOUT and message.blocks:
                message, note = Message(text=message.text, blocks=()), "as plain text, since Slack refused the layout"
            elif refused.code == "message_not_found" and ts is not None:
                ts = None  # somebody deleted it
            elif refused.code in _FINAL and old is not None:
                return Placed(old.ts, old.digest, "Slack allows no more edits, so the first version stands")
            else:
                raise
        except Unclear:
            pause = next(pauses, None)
            if pause is None:
                raise
            sleep(pause)
            ts = ts or _look(part, night, thread_ts, channel)
        else:
            return Placed(ts, _digest(message), note)


def _look(part: int, night: str, thread_ts: str | None, channel: Channel) -> str | None:
    """Return the timestamp of a part whose reply was lost, or None when Slack does not hold it."""
    if thread_ts is None:
        return channel.find(night)
    found = channel.thread(thread_ts, night).get(part)
    return found.ts if found else None


def _withdraw(seen: dict[int, Seen], parts: int, night: str, channel: Channel) -> None:
    """Empty the parts that a shorter briefing no longer has."""
    gone = Message(text="This part is no longer in the briefing.", blocks=())
    for part, old in sorted(seen.items()):
        if part >= parts:
            try:
                channel.update(old.ts, gone, {"night": night, "part": part, "digest": _digest(gone)})
            except Refused as refused:
                if refused.code not in _FINAL | {"message_not_found"}:
                    raise


def _holds_secret(messages: tuple[Message, ...], redactor: Redactor) -> bool:
    texts = (html.unescape(text) for message in messages for text in _texts(message.model_dump()))
    return any(redactor.holds_own_secret(text) for text in texts)


def _texts(value: Any) -> list[str]:
    """Return every text in a message, and neighbours joined, since a secret may stand split over two elements."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [inner for name, inner in value.items() if name != "type"]
    found = [text for inner in value for text in _texts(inner)] if isinstance(value, (list, tuple)) else []
    return [*found, "".join(found)] if found else []


def _digest(message: Message) -> str:
    return hashlib.sha256(message.model_dump_json().encode()).hexdigest()[:16]


def _spool(home: Path, night: str) -> Path:
    return home / "spool" / "slack" / f"{check_night(night)}.json"


def _marker(home: Path, night: str) -> Path:
    return home / "briefings" / f"{night}.slack.json"


def _parcel(path: Path) -> Parcel | None:
    """Return what is spooled at ``path``; a damaged file is put aside, since nothing in it can be trusted."""
    try:
        return Parcel.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        event(_LOG, "briefing.spool_damaged", logging.ERROR, file=path.name)
        path.replace(path.with_suffix(".damaged"))
        return None


def _remembered(path: Path, channel: str) -> str | None:
    """Return the marked timestamp; a marker that is damaged or of another channel tells nothing."""
    try:
        marker = Marker.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return marker.ts if marker.channel == channel else None
