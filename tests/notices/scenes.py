"""What the tests of notices share: settings, a clock that only moves when told to, and the checks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from forge_workers.notices.notice import Notice, notice_from
from forge_workers.notices.outbox import Outbox
from forge_workers.settings import Settings
from forge_workers.settings_sections import Slack as SlackSettings
from tests.standins.slack import CHANNEL, TOKEN, SlackServer

#: A quiet Wednesday noon in Paris.
NOON = 1_795_604_400.0


class Clock:
    """A wall clock that waits make go on."""

    def __init__(self, at: float = NOON) -> None:
        self.at = at
        self.waits: list[float] = []

    def now(self) -> float:
        """Return the time."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.waits.append(seconds)
        self.at += seconds


def chosen(home: Path, url: str, **more: Any) -> Settings:
    """Return settings that send to the stand-in."""
    facts = {"token": SecretStr(TOKEN), "channel": CHANNEL, "api_url": url, "timeout_s": 0.4, **more}
    return Settings(home=home, repositories=("/src/orchard",), timezone="Europe/Paris", slack=SlackSettings(**facts))


def notice(name: str, key: str = "", *, at: float = NOON, **more: Any) -> Notice:
    """Return a notice with ``name`` for id; those with the same ``key`` tell the same."""
    facts = {"kind": "failed", "worker": "code_review", "title": f"job {key or name} failed", **more}
    return notice_from(facts, name, at, str)


def put(home: Path, *notices: Notice) -> None:
    """Accept notices into the outbox."""
    for one in notices:
        assert Outbox(home).accept(one)


def held(server: SlackServer) -> list[tuple[str, int]]:
    """Return id and count of each message of ours, in the order of the channel."""
    marks = [m["metadata"]["event_payload"] for m in server.messages if m.get("metadata")]
    return [(mark["id"], mark["count"]) for mark in marks]


def once_in_order(server: SlackServer, *expected: tuple[str, int]) -> bool:
    """The check of these tests: Slack holds exactly these messages, each once, in this order, with these counts."""
    return held(server) == list(expected)


def total(server: SlackServer) -> int:
    """Return how many notices the messages in Slack stand for."""
    return sum(count for _, count in held(server))


def kinds(server: SlackServer) -> Counter[str]:
    """Return how often a message was posted and updated."""
    return Counter({name: n for name, n in server.calls().items() if name.startswith("chat.")})
