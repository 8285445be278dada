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
5. Then its charts are uploaded into the thread (``uploads.py``); one that waits keeps the parcel in the spool,
   though not for ever.

Parcels go out in the order of their nights. A later edition takes the place of an earlier one that still waits, and
what was composed earlier never takes the place of what was composed later. A parcel that Slack left unanswered on
several deliveries goes last, and one that it refuses for what it holds is passed over, so that nothing hides behind
it for ever.

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

from forge_workers import files
from forge_workers.briefing import parcels
from forge_workers.briefing.blocks import Message, escape
from forge_workers.briefing.channel import PAUSES_S, Busy, Channel, Refused, Seen, Unclear, origin_of
from forge_workers.briefing.uploads import Gallery, Show, Shown, pictures
from forge_workers.log import event
from forge_workers.redact import Redactor
from forge_workers.report import Effect, Frozen, Image
from forge_workers.settings import Settings

_LOG = logging.getLogger(__name__)
#: Slack's words for "not in this layout"; the same words without blocks still go through.
_LAYOUT = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch"})
#: Slack's words for a message that may not be edited any more.
_FINAL = frozenset({"edit_window_closed", "cant_update_message"})
#: Longest wait for another process that delivers just now, in seconds.
_LOCK_S = 120.0

Sleep = Callable[[float], None]


class Placed(NamedTuple):
    """One part as it now stands in Slack."""

    ts: str
    digest: str
    note: str


class Delivery(Frozen):
    """What came of it: changes made outside, each verified or not, and what did not work."""

    effects: tuple[Effect, ...] = ()
    reasons: tuple[str, ...] = ()


def deliver(
    messages: tuple[Message, ...],
    night: str,
    settings: Settings,
    *,
    images: tuple[Image, ...] = (),
    made_at: float = 0.0,
    sleep: Sleep = time.sleep,
) -> Delivery:
    """Post what earlier nights left over and the briefing of ``night``, or update it where it is posted already.

    Args:
        messages: The first for the channel, the others for its thread.
        night: The night's key.
        settings: With or without Slack.
        images: Charts for the thread, where they have a file.
        made_at: When it was composed, UTC unix seconds; an edition composed later is never replaced by this one.
        sleep: Waits some seconds.

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
    parcel = parcels.Parcel(night=night, messages=messages, pictures=pictures(images, night), made_at=made_at)
    if _holds_secret(parcel, Redactor(settings.secrets)):
        event(_LOG, "briefing.blocked", logging.ERROR, night=night, reason="own_secret")
        return Delivery(reasons=("the briefing holds one of Forge's own secrets, so it was not sent to Slack",))  # 3
    try:
        parcels.put(home, parcel)
        with FileLock(home / "spool" / "slack.lock", timeout=_LOCK_S):
            return _all(night, Gallery(slack, origin_of(home), sleep), home, sleep)  # 4
    except Timeout:
        return Delivery(reasons=("another process is delivering to Slack; the briefing is spooled",))
    except OSError as error:
        return Delivery(reasons=(f"the briefing could not be spooled for Slack: {error.strerror}",))


def _all(night: str, channel: Gallery, home: Path, sleep: Sleep) -> Delivery:
    """Send every parcel, oldest night first, until Slack is away or refuses whatever it gets."""
    effects: list[Effect] = []
    refusals: list[str] = []
    for parcel in parcels.in_order(home):
        late = "" if parcel.night == night else f"the briefing of {parcel.night}: "
        try:
            effect = _send(parcel, channel, home, sleep)
            charts = _charts(parcel, channel, home, sleep)
        except (Refused, Busy, Unclear) as error:
            event(_LOG, "briefing.spooled", logging.WARNING, night=parcel.night, error=type(error).__name__)
            reason = f"{error}; it is spooled for the next delivery"
            again = late and any(said.endswith(reason) for said in refusals)
            refusals += [] if again else [f"{late}{reason}"]
            if isinstance(error, Unclear):
                parcels.unanswered(home, parcel)
            if not isinstance(error, Refused) or error.everything:
                refusals[-1] += "" if parcel.night >= night else f", and the briefing of {night} waits behind it"
                break
        else:
            effects += [effect, *charts.effects]
            refusals += [f"{late}{charts.reason}{_rest(parcel, charts, home)}"] if charts.reason else []
            if charts.settled:
                parcels.taken_out(home, parcel)
    unsure = [f"Slack holds the briefing, but: {e.detail}" for e in effects if not e.verified]
    return Delivery(effects=tuple(effects), reasons=(*refusals, *unsure))


def _rest(parcel: parcels.Parcel, charts: Shown, home: Path) -> str:
    """Say what becomes of charts that Slack left unanswered, "" for those it refused."""
    if charts.settled:
        return ""
    waits = parcels.waits_for_charts(home, parcel)
    return "; they are spooled for the next delivery" if waits else "; they are given up after so many deliveries"


def _send(parcel: parcels.Parcel, channel: Channel, home: Path, sleep: Sleep) -> Effect:
    """Bring the channel to hold exactly this parcel, remembering where, and read it back."""
    night, path = parcel.night, parcels.marker_path(home, parcel.night)
    marker = parcels.marker_of(path, channel.id)
    seen = _held(channel, night, marker.ts if marker else None)
    if marker and 0 in seen and marker.made_at > parcel.made_at:
        return _effect(night, channel, marker.ts, verified=True, detail="a later edition stands there already")
    sent: list[Placed] = []
    for part, message in enumerate(parcel.messages):
        thread_ts = sent[0].ts if sent else None
        old = seen.get(part)
        if old is not None and old.digest == _digest(message):
            placed = Placed(old.ts, old.digest, "")  # what people answered in it stays as it is
        else:
            placed = _place(message, old, part=part, thread_ts=thread_ts, night=night, channel=channel, sleep=sleep)
        sent.append(placed)
        if part == 0:
            uploading = marker.uploading if marker and marker.ts == placed.ts else {}
            now = parcels.Marker(channel=channel.id, ts=placed.ts, made_at=parcel.made_at, uploading=uploading)
            files.replace(path, now.model_dump_json())
    _withdraw(seen, len(sent), night, channel)
    held = channel.thread(sent[0].ts, night)
    verified = all(held.get(part) == Seen(ts=placed.ts, digest=placed.digest) for part, placed in enumerate(sent))
    event(_LOG, "briefing.delivered", night=night, parts=len(sent), updated=bool(seen), verified=verified)
    details = [f"{'updated' if seen else 'posted'} in {len(sent)} parts", *dict.fromkeys(p.note for p in sent),
               "" if verified else "it could not be read back as it was sent"]  # fmt: skip
    return _effect(night, channel, sent[0].ts, verified=verified, detail="; ".join(filter(None, details)))


def _effect(night: str, channel: Channel, ts: str, *, verified: bool, detail: str) -> Effect:
    return Effect(name=f"briefing of {night}", target=f"Slack {channel.id} {ts}", verified=verified, detail=detail)


def _charts(parcel: parcels.Parcel, channel: Gallery, home: Path, sleep: Sleep) -> Shown:
    """Bring the thread to hold the parcel's charts; where Slack refuses them, the thread says why."""
    night, path = parcel.night, parcels.marker_path(home, parcel.night)
    marker = parcels.marker_of(path, channel.id)
    if marker is None or marker.made_at > parcel.made_at:
        return Shown((), "", settled=True)
    noted = dict(marker.uploading)

    def keep() -> None:
        files.replace(path, marker.model_copy(update={"uploading": dict(noted)}).model_dump_json())

    shown = Show(channel, marker.ts, night, noted=noted, keep=keep, sleep=sleep)(parcel.pictures)
    if shown.reason and shown.settled:
        note = Message(text=escape(f"{shown.reason[0].upper()}{shown.reason[1:]}."), blocks=())
        part = len(parcel.messages)
        old = channel.thread(marker.ts, night).get(part)
        _place(note, old, part=part, thread_ts=marker.ts, night=night, channel=channel, sleep=sleep)
    return shown


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


def _holds_secret(parcel: parcels.Parcel, redactor: Redactor) -> bool:
    said = [message.model_dump() for message in parcel.messages]
    said += [picture.model_dump(exclude={"png"}) for picture in parcel.pictures]
    texts = (html.unescape(text) for one in said for text in _texts(one))
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
