"""What the tests of the gateway share: a home with two nights, an ear in place of the socket, and the real thing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from forge_workers.briefing.buttons import Verb, action_id, value
from forge_workers.redis_server import url_of
from forge_workers.report import Evidence, Finding, Report, Severity
from forge_workers.settings import Settings
from forge_workers.settings_sections import Slack, SlackMay
from forge_workers.slack_gateway.gateway import Gateway
from forge_workers.slack_gateway.people import Here
from forge_workers.slack_gateway.service import Stop, serve
from forge_workers.store import NightStore
from forge_workers.wire import Wire
from tests.standins.repositories import Repo
from tests.standins.slack import BOT, CHANNEL, TEAM, TOKEN, Fault, SlackServer, slack_server
from tests.standins.slack_socket import APP, APP_TOKEN, Socket, pressed, slack_socket

NIGHT = "2026-11-23"
#: Noon of the day after in Paris, UTC unix seconds, and Slack's name for a message posted that morning.
NOON = 1_795_518_000.0
POSTED = f"{NOON - 5 * 3_600:.6f}"
HERE = Here(APP, TEAM, BOT, CHANNEL)
ALICE, BOB, EVE = "U0ALICE", "U0BOB", "U0EVE"
#: Alice may do everything, Bob what everyone may.
MAY = SlackMay(hide=(ALICE,), work=(ALICE,))
SHELL, KEY, OPEN = "00000000000000aa", "00000000000000bb", "00000000000000cc"


def finding(fingerprint: str, severity: Severity = Severity.HIGH, **more: Any) -> Finding:
    """Return a finding of the night."""
    seen = Evidence(source="bandit", observed_at=NOON - 86_400, repository="orchard", commit="a" * 40, path="app.py")
    facts = {"rule": "bandit:B602", "title": "A shell runs what a stranger typed", "evidence": (seen,), **more}
    return Finding(fingerprint=fingerprint, severity=severity, **facts)


def furnish(home: Path, *, edition: int = 1) -> None:
    """Keep a night with a high and a critical finding, one that is still open, and its briefing."""
    store = NightStore(home / "nights")
    row = {"fingerprint": OPEN, "rule": "bandit:B301", "severity": "high", "title": "Old", "repository": "orchard",
           "commit": "b" * 40, "path": "old.py", "line": 1}  # fmt: skip
    found = (finding(SHELL), finding(KEY, Severity.CRITICAL))
    store.save(
        Report(asset="security_review", night=NIGHT, headline="Two findings.", findings=found, data={"open": [row]})
    )
    store.save(Report(asset="morning_briefing", night=NIGHT, headline="RED", data={"edition": edition}))


def chosen(home: Path, url: str, may: SlackMay = MAY, **more: Any) -> Settings:
    """Return settings that watch one repository and speak to the stand-in."""
    slack = Slack(
        token=SecretStr(TOKEN), app_token=SecretStr(APP_TOKEN), channel=CHANNEL, api_url=url, timeout_s=5.0, may=may
    )
    watched = (str(home.parent / "orchard"),)
    return Settings(home=home, repositories=watched, timezone="Europe/Paris", slack=slack, **more)


def orchard(folder: Path) -> Repo:
    """Make the repository that is watched."""
    repo = Repo(folder / "orchard")
    repo.commit({"app.py": "print()\n"})
    return repo


def carried(verb: Verb, fingerprint: str | None = SHELL, **more: Any) -> str:
    """Return what a button of the night's briefing carries."""
    return value(verb, **{"night": NIGHT, "fingerprint": fingerprint, **more})


@dataclass
class Ear:
    """Takes acknowledgements where the socket would; ``at`` says when each came, by ``time.monotonic``."""

    acks: list[dict[str, Any]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def send_socket_mode_response(self, response: SocketModeResponse) -> None:
        """Keep one."""
        self.acks.append(response.to_dict())
        self.at.append(time.monotonic())


@dataclass
class Desk:
    """A gateway without its socket, and what it said and did."""

    home: Path
    web: SlackServer
    gateway: Gateway
    ear: Ear
    now: list[float]

    def send(self, kind: str, payload: Any) -> dict[str, Any]:
        """Hand over one envelope, wait until it came to an end, and return its acknowledgement."""
        before, number = len(self.record()), len(self.ear.acks)
        request = SocketModeRequest(kind, f"e-{number}", payload, accepts_response_payload=True)
        self.gateway.hear(self.ear, request)
        wait_for(lambda: len(self.record()) > before)
        self.idle()
        return self.ear.acks[number]

    def press(self, verb: Verb, fingerprint: str | None = SHELL, *, by: str = ALICE, **more: Any) -> dict[str, Any]:
        """Press a button of the night's briefing and return the line in the record."""
        changed = {name: more.pop(name) for name in ("ts",) if name in more}
        payload = pressed(action_id(verb), carried(verb, fingerprint, **more), by=by, **{"ts": POSTED, **changed})
        return self.sent(payload)

    def sent(self, payload: dict[str, Any], kind: str = "interactive") -> dict[str, Any]:
        """Send a payload that can be answered, and return the last line in the record."""
        self.send(kind, {**payload, "response_url": self.web.hook})
        return self.record()[-1]

    def said(self) -> str:
        """Return the last answer."""
        return str(self.web.whispers[-1]["text"])

    def record(self) -> list[dict[str, Any]]:
        """Return the lines of the record."""
        return record_of(self.home)

    def idle(self) -> None:
        """Wait until nothing is under way."""
        wait_for(lambda: not self.gateway.busy)


def record_of(home: Path) -> list[dict[str, Any]]:
    """Return the lines of the record."""
    path = home / "logs" / "slack_actions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(holds: Callable[[], object], longest_s: float = 10.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + longest_s
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.005)


@contextmanager
def desk(folder: Path, make: Callable[..., Gateway] = Gateway, **settings: Any) -> Iterator[Desk]:
    """Give a gateway at noon whose envelopes a test hands over itself."""
    home, now = folder / "forge", [NOON]
    furnish(home)
    with slack_server() as web:
        chose = chosen(home, web.url, **settings)
        wire = Wire(url_of(chose), timeout_s=1.0)
        gateway = make(chose, HERE, wire, clock=lambda: now[0])
        try:
            yield Desk(home, web, gateway, Ear(), now)
        finally:
            gateway.stop(5.0)
            wire.close()


@dataclass
class Live:
    """The whole service in a thread, connected to the stand-in by slack_sdk's own client."""

    home: Path
    web: SlackServer
    socket: Socket


@contextmanager
def live(
    folder: Path, *, make: Callable[..., Gateway] = Gateway, faults: tuple[Fault, ...] = (), **settings: Any
) -> Iterator[Live]:
    """Run the service until the block ends; it must end within ten seconds."""
    home, stop = folder / "forge", Stop()
    furnish(home)
    with slack_server(*faults) as web, slack_socket(web) as socket:
        chose = chosen(home, web.url, **settings)
        thread = threading.Thread(target=serve, args=(chose, stop), kwargs={"make": make}, daemon=True)
        thread.start()
        try:
            assert socket.connected.wait(15)
            yield Live(home, web, socket)
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()
