"""Sending what waits in the outbox: in order, once each, whatever happens in between.

1. What goes out next is decided by ``rules.py`` and noted in the outbox before the first request.
2. Each message carries its id in its Slack metadata. After a reply that did not come, and where an earlier process left
   a message under way, the channel is searched for it before it is sent again. An update says the same twice and needs
   no search.
3. When Slack holds it, the outbox notes that, and only then lets go of the notices.
4. At the end the channel is read back; only what was read back counts as verified.

What stays open: a request that Slack works on only after we gave up waiting and looked. Belongs here: this order. Does
not belong here: the wire (``briefing/channel.py``), or what waits (``outbox.py``).
"""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from filelock import FileLock, Timeout

from forge_workers.briefing.channel import PAUSES_S, Busy, Channel, Refused, Unclear, origin_of
from forge_workers.briefing.slack import Message
from forge_workers.log import event
from forge_workers.notices.blocks import render
from forge_workers.notices.notebook import write_down
from forge_workers.notices.notice import Notice, withheld
from forge_workers.notices.outbox import Outbox
from forge_workers.notices.quiet import quiet_hours
from forge_workers.notices.rules import PACE_S, Wait, decide
from forge_workers.notices.state import UnderWay
from forge_workers.plural import count
from forge_workers.redact import Redactor
from forge_workers.report import Effect, Frozen
from forge_workers.settings import Settings

_LOG = logging.getLogger(__name__)
EVENT = "forge_notice"
#: Messages and waits of one flush, and seconds after which it begins no other: the briefing waits 120 s for the lock.
MOST_STEPS, FLUSH_S = 80, 40.0
#: Longest single wait that Slack may ask of one flush, in seconds, for the same reason; a later flush obeys the rest.
PATIENCE_S = 10.0
#: Longest time that Slack is left alone because it asked to be, and longest rest noted for the watch, in seconds.
_LONGEST_ASKED_S, _LONGEST_REST_S = 3_600.0, 600.0
#: How far back a message under way is looked for, in seconds: a day bears any difference between two clocks.
_LOOK_BACK_S = 86_400.0
#: Seconds to wait for another process that sends to Slack; the next flush is half a minute away.
_LOCK_S = 1.0
#: Slack's words for "not in this layout"; the same words without blocks still go through.
_LAYOUT = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch"})
#: Slack's words for a message that takes no update any more.
_CLOSED = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})
#: Slack's words that would meet every message alike: a setting is wrong, and no notice is at fault. Source:
#: docs.slack.dev, errors of chat.postMessage.
_ALL = frozenset(
    {
        "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission",
        "missing_scope", "not_allowed_token_type", "org_login_required", "two_factor_setup_required",
        "access_denied", "team_access_not_granted", "ekm_access_denied", "enterprise_is_restricted",
        "channel_not_found", "not_in_channel", "is_archived", "restricted_action",
        "restricted_action_read_only_channel",
    }
)  # fmt: skip

Clock = Callable[[], float]
Sleep = Callable[[float], None]


class Flushed(Frozen):
    """What came of one flush.

    Attributes:
        messages: How many were posted or updated.
        notices: How many notices reached Slack, or the log where no token is set.
        aside: How many notices were put aside because Slack refused them.
        waiting: How many notices wait.
        until: When more can go out by our rules, UTC unix seconds; None where nothing waits for that.
        effects: Each message, verified or not.
        reasons: What did not work, one plain sentence each.
    """

    messages: int = 0
    notices: int = 0
    aside: int = 0
    waiting: int = 0
    until: float | None = None
    effects: tuple[Effect, ...] = ()
    reasons: tuple[str, ...] = ()


def flush(settings: Settings, *, now: Clock = time.time, sleep: Sleep = time.sleep) -> Flushed:
    """Send what waits and may go out now; without a token, write it into the log instead.

    Args:
        settings: The user's settings.
        now: The wall clock, UTC unix seconds.
        sleep: Waits some seconds.

    Raises:
        Transient: Another process holds the outbox.
        OSError: The disk refuses; nothing is lost.
    """
    outbox = Outbox(settings.home)
    waiting, asked = outbox.waiting(), outbox.state().asked_until
    if waiting == 0:
        return Flushed()
    if settings.slack.token is None:
        return Flushed(notices=outbox.drain(lambda notices: write_down(notices, settings.home, settings.zone)))
    if settings.slack.channel is None:
        reason = "Slack has a token but no channel: set slack.channel to a channel's id, such as C0123456789"
        return Flushed(waiting=waiting, reasons=(reason,))
    if 0 < asked - now() <= _LONGEST_ASKED_S:
        return Flushed(waiting=waiting, until=asked)
    try:
        channel = Channel(settings.slack, origin_of(settings.home), sleep, about=EVENT, patience_s=PATIENCE_S)
        with FileLock(settings.home / "spool" / "slack.lock", timeout=_LOCK_S):
            return _Flush(settings, outbox, channel, now, sleep).run()
    except Timeout:
        return Flushed(
            waiting=waiting, reasons=("another process is sending to Slack; notices wait for the next time",)
        )


@dataclass
class _Flush:
    settings: Settings
    outbox: Outbox
    channel: Channel
    now: Clock
    sleep: Sleep
    sent: list[tuple[str, UnderWay]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    aside: int = 0
    until: float | None = None

    def run(self) -> Flushed:
        redactor = Redactor(self.settings.secrets)
        ends = self.now() + FLUSH_S
        try:
            self._resume()
            for _ in range(MOST_STEPS):
                if self.now() >= ends or not self._step(redactor):
                    break
        except Busy as busy:
            self.until = self.now() + min(busy.wait_s, _LONGEST_ASKED_S)
            self.outbox.rest(until=self.until, asked=True)
            self.reasons.append(f"{busy}; notices wait in the outbox")
        except (Refused, Unclear) as error:
            self.outbox.rest(until=self.now())
            self.reasons.append(f"{error}; notices wait in the outbox")
        for reason in self.reasons:
            event(_LOG, "notice.held", logging.WARNING, reason=reason)
        return Flushed(
            messages=len(self.sent),
            notices=sum(under.fresh for _, under in self.sent),
            aside=self.aside,
            waiting=self.outbox.waiting(),
            until=self.until,
            effects=self._verified(),
            reasons=tuple(dict.fromkeys(self.reasons)),
        )

    def _resume(self) -> None:
        """Find out what became of a message that an earlier flush left under way."""
        under = self.outbox.state().under_way
        if under is None:
            return
        if under.ts is None:
            self.sleep(min(PAUSES_S[0], max(0.0, under.began_at + PAUSES_S[0] - self.now())))
            found = self._look(under)
            if found is not None:
                self._settle(found, under)
                return
        self.outbox.cancel()

    def _step(self, redactor: Redactor) -> bool:
        """Send one message, or wait a moment for it; False when nothing more can go out."""
        hours = quiet_hours(self.settings)
        now = self.now()
        quiet_until = hours.until(now) if hours else None
        decision = self.outbox.begin(lambda pending, sent: decide(pending, sent, now, quiet_until), now)
        if isinstance(decision, Wait):
            if decision.until - now > PACE_S:
                self.until = decision.until
                self.outbox.rest(until=min(decision.until, now + _LONGEST_REST_S))
                return False
            self.sleep(decision.until - now)
            return True
        under = self.outbox.state().under_way
        if decision is None or under is None:
            return False
        message = render(under.letter, self.settings.zone)
        words = html.unescape(message.text)
        if any(map(redactor.holds_own_secret, (words, words.replace("\n", "")))):
            self._put_aside("it holds one of Forge's own secrets", under, hidden=withheld)
            return True
        try:
            self._settle(self._sent(under, message), under)
        except Refused as refused:
            self._refused(refused, under)
        return True

    def _refused(self, refused: Refused, under: UnderWay) -> None:
        """Decide what a refusal means.

        1. It would meet every message: the notices stay, and the flush ends.
        2. The message to update is closed: the notices stay, and get a message of their own.
        3. It is about this message: its notices are put aside.
        """
        if refused.code in _ALL:
            self.outbox.cancel()
            raise refused  # 1
        if under.ts is not None and refused.code in _CLOSED:
            self.outbox.cancel(closed=under.ts)  # 2
        else:
            self._put_aside(str(refused), under, hidden=lambda notice: notice)  # 3

    def _sent(self, under: UnderWay, message: Message) -> str:
        """Post or update until Slack holds the message, and return its timestamp.

        Raises:
            Refused, Busy: At once.
            Unclear: After the last attempt; nothing was posted twice.
        """
        marks = {"id": under.id, "key": under.key, "count": under.letter.count}
        pauses = iter(PAUSES_S)
        while True:
            try:
                if under.ts is None:
                    return self.channel.post(message, marks, None)
                self.channel.update(under.ts, message, marks)
            except Refused as refused:
                if refused.code not in _LAYOUT or not message.blocks:
                    raise
                message = Message(text=message.text, blocks=())
            except Unclear:
                pause = next(pauses, None)
                if pause is None:
                    raise
                self.sleep(pause)
                found = self._look(under) if under.ts is None else None
                if found is not None:
                    return found
            else:
                return under.ts

    def _look(self, under: UnderWay) -> str | None:
        """Return the timestamp of the message under way, None when the channel does not hold it.

        Raises:
            Busy, Unclear: It cannot be said.
        """
        history = self.channel.history(under.began_at - _LOOK_BACK_S)
        try:
            return next((ts for ts, marks in history if marks.get("id") == under.id), None)
        except Refused as refused:
            raise Unclear(f"whether Slack holds a notice could not be looked up: {refused}") from None

    def _settle(self, ts: str, under: UnderWay) -> None:
        self.outbox.settle(ts, self.now())
        self.sent.append((ts, under))
        event(_LOG, "notice.updated" if under.ts else "notice.posted", notice=under.id, ts=ts, count=under.letter.count)

    def _put_aside(self, reason: str, under: UnderWay, hidden: Callable[[Notice], Notice]) -> None:
        aside = self.outbox.put_aside(reason, hidden)
        self.aside += aside
        event(_LOG, "notice.put_aside", logging.ERROR, notice=under.id, notices=aside, reason=reason)
        self.reasons.append(f"{count(aside, 'notice')} put aside in spool/notices/aside: {reason}")

    def _verified(self) -> tuple[Effect, ...]:
        """Read back what was sent; of several updates of one message the last counts."""
        last = dict(self.sent)
        held: dict[str, int] = {}
        try:
            for ts, marks in self.channel.history(min(map(float, last)) - 1) if last else ():
                held[ts] = marks.get("count", 0)
                if held.keys() >= last.keys():
                    break
        except (Refused, Busy, Unclear) as error:
            self.reasons.append(f"what was posted could not be read back: {error}")
        return tuple(
            Effect(
                name="notice",
                target=f"Slack {self.channel.id} {ts}",
                verified=held.get(ts) == under.letter.count,
                detail=f"{'updated' if under.ts else 'posted'}, {count(under.letter.count, 'notice')}",
            )
            for ts, under in last.items()
        )
