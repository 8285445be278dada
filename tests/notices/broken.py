"""Senders that are broken on purpose: the controls that prove a check sees what it claims to see."""

from __future__ import annotations

from pathlib import Path

from forge_workers.briefing.channel import Channel, origin_of
from forge_workers.briefing.slack import Message
from forge_workers.notices.notice import Notice
from forge_workers.notices.outbox import Outbox
from forge_workers.notices.send import EVENT, _Flush
from forge_workers.notices.state import UnderWay
from tests.notices.scenes import Clock, chosen


class _Blind(_Flush):
    def _look(self, under: UnderWay) -> str | None:
        return None


def flush_blindly(home: Path, url: str, clock: Clock) -> None:
    """Flush without looking for what may be there already."""
    settings = chosen(home, url)
    channel = Channel(settings.slack, origin_of(home), clock.sleep, about=EVENT)
    _Blind(settings, Outbox(home), channel, clock.now, clock.sleep).run()


def post_plainly(home: Path, url: str, notices: list[Notice], timeout_s: float = 0.4) -> None:
    """Post each notice at once, kept nowhere and with nothing but its marks."""
    channel = Channel(chosen(home, url, timeout_s=timeout_s).slack, origin_of(home), Clock().sleep, about=EVENT)
    for one in notices:
        channel.post(Message(text=one.title, blocks=()), {"id": one.id, "key": one.key, "count": 1}, None)
