"""A stand-in for the Socket Mode side of Slack, driven by the real client of slack_sdk.

``apps.connections.open`` (answered by ``tests/standins/slack.py``) names this server's address with a ticket, and over
the WebSocket go envelopes as Slack sends them: ``hello`` first, then ``interactive``, ``slash_commands`` and
``events_api`` with ``envelope_id``, ``payload`` and ``accepts_response_payload``, and ``disconnect`` with its reason.
An envelope without an acknowledgement within three seconds, or whose connection ended, is delivered again. It
misbehaves when told to.

Source: docs.slack.dev, "Using Socket Mode".
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.standins.slack import BOT, CHANNEL, TEAM, SlackServer

APP = "A0FORGE"
APP_TOKEN = "xapp-1-A0FORGE-2222-standinstandinstandin"
#: Seconds after which an envelope that was not acknowledged is delivered again. Source: docs.slack.dev.
PATIENCE_S = 3.0


@dataclass
class Sent:
    """One envelope on its way: how often it was delivered, and its acknowledgement."""

    envelope: dict[str, Any]
    at: float = 0.0
    deliveries: int = 0
    acked_after: float | None = None
    ack: dict[str, Any] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, longest_s: float = 10.0) -> dict[str, Any]:
        """Return the acknowledgement once it came."""
        assert self.done.wait(longest_s), "no acknowledgement came"
        return self.ack


@dataclass
class Socket:
    """The server's state, for a test to read and to spoil.

    Attributes:
        web: Where ``apps.connections.open`` and the answers go.
        hang_up_on: Envelopes after whose delivery the connection is cut without a word, so many times.
        lose_acks: Acknowledgements that are read and thrown away together with the connection, so many.
    """

    web: SlackServer
    url: str = ""
    connections: list[ServerConnection] = field(default_factory=list)
    opened: int = 0
    sent: list[Sent] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    hang_up_on: int = 0
    lose_acks: int = 0
    connected: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def push(self, kind: str, payload: Any, *, twice: bool = False, **more: Any) -> Sent:
        """Deliver one envelope; again and again until it is acknowledged."""
        number = next(self.numbers)
        envelope = {"envelope_id": f"e-{number:06d}", "type": kind, "payload": payload,
                    "accepts_response_payload": kind != "events_api", **more}  # fmt: skip
        sent = Sent(envelope)
        with self.lock:
            self.sent.append(sent)
        for _ in range(2 if twice else 1):
            self._deliver(sent)
        return sent

    def raw(self, text: str) -> None:
        """Send something that is no envelope."""
        with self.lock, contextlib.suppress(ConnectionClosed):
            self.connections[-1].send(text)

    def disconnect(self, reason: str) -> None:
        """Say that this connection ends, and for every reason but ``warning`` end it, as Slack does."""
        with self.lock:
            connection = self.connections[-1]
        with contextlib.suppress(ConnectionClosed):
            connection.send(json.dumps({"type": "disconnect", "reason": reason, "debug_info": {"host": "stand-in"}}))
        if reason == "link_disabled":
            self.web.link_disabled = True
        if reason != "warning":
            time.sleep(0.2)
            self.cut(connection)

    def cut(self, connection: ServerConnection | None = None) -> None:
        """End a connection without a close frame."""
        with self.lock:
            connection = connection or (self.connections[-1] if self.connections else None)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(2)

    def redeliver(self) -> None:
        """Deliver again what was not acknowledged in time."""
        with self.lock:
            late = [one for one in self.sent if not one.done.is_set() and time.monotonic() - one.at > PATIENCE_S]
        for sent in late:
            self._deliver(sent)

    def _deliver(self, sent: Sent) -> None:
        with self.lock:
            if not self.connections:
                sent.at = sent.at or time.monotonic()
                return
            connection = self.connections[-1]
            sent.at = time.monotonic()
            sent.deliveries += 1
            cut = self.hang_up_on > 0
            self.hang_up_on -= cut
        with contextlib.suppress(ConnectionClosed):
            connection.send(json.dumps(sent.envelope))
        if cut:
            self.cut(connection)

    def handle(self, connection: ServerConnection) -> None:
        """Serve one connection: its ticket, the greeting, then acknowledgements until it ends."""
        assert connection.request is not None
        ticket = parse_qs(urlsplit(connection.request.path).query).get("ticket", [""])[0]
        if ticket not in self.web.tickets:
            connection.close(4001, "unknown ticket")
            return
        self.web.tickets.discard(ticket)
        hello = {"type": "hello", "connection_info": {"app_id": APP}, "num_connections": 1, "debug_info": {}}
        connection.send(json.dumps(hello))
        with self.lock:
            self.connections.append(connection)
            self.opened += 1
            waiting = [one for one in self.sent if not one.done.is_set()]
        self.connected.set()
        for sent in waiting:
            self._deliver(sent)
        try:
            for text in connection:
                self._hear(str(text), connection)
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self.lock:
                self.connections.remove(connection)
                if not self.connections:
                    self.connected.clear()

    def _hear(self, text: str, connection: ServerConnection) -> None:
        ack = json.loads(text)
        with self.lock:
            sent = next((one for one in self.sent if one.envelope["envelope_id"] == ack.get("envelope_id")), None)
            if sent is None:
                self.stray.append(text)
                return
            if self.lose_acks:
                self.lose_acks -= 1
                self.cut(connection)
                return
            if not sent.done.is_set():
                sent.acked_after = time.monotonic() - sent.at
                sent.ack = ack
                sent.done.set()


@contextlib.contextmanager
def slack_socket(web: SlackServer) -> Iterator[Socket]:
    """Run the stand-in beside that of the Web API until the block ends."""
    state = Socket(web)
    with serve(state.handle, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
        port = server.socket.getsockname()[1]
        state.url = f"ws://127.0.0.1:{port}/link/"
        web.socket_url, web.app_token = state.url, APP_TOKEN
        running = [threading.Thread(target=server.serve_forever, daemon=True)]
        ended = threading.Event()
        running.append(threading.Thread(target=_keep_delivering, args=(state, ended), daemon=True))
        for thread in running:
            thread.start()
        try:
            yield state
        finally:
            ended.set()
            web.closing.set()
            _close(server, state)
            for thread in running:
                thread.join(5)


def _keep_delivering(state: Socket, ended: threading.Event) -> None:
    while not ended.wait(0.05):
        state.redeliver()


def _close(server: Server, state: Socket) -> None:
    server.shutdown()
    for connection in list(state.connections):
        state.cut(connection)


def pressed(action: str, value: str, *, by: str = "U0ALICE", ts: str = "1796000000.000000", **changed: Any) -> Any:
    """Return the payload of a press, as Slack sends it; ``changed`` replaces parts of it."""
    number = f"{time.time():.6f}"
    payload: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": by, "username": by.lower(), "name": by.lower(), "team_id": TEAM},
        "api_app_id": APP,
        "token": "verification",
        "container": {"type": "message", "message_ts": ts, "channel_id": CHANNEL, "is_ephemeral": False},
        "trigger_id": f"13345224609.738474920.{number}",
        "team": {"id": TEAM, "domain": "example"},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {"id": CHANNEL, "name": "briefing"},
        "message": {"type": "message", "user": BOT, "bot_id": "B0FORGE", "app_id": APP, "ts": ts, "text": "briefing"},
        "state": {"values": {}},
        "response_url": "",
        "actions": [
            {"type": "button", "action_id": action, "block_id": "b1", "value": value, "action_ts": number,
             "text": {"type": "plain_text", "text": "Press"}}
        ],
    }  # fmt: skip
    return {**payload, **changed}


def submitted(view: dict[str, Any], reason: str | None, *, by: str = "U0ALICE", **changed: Any) -> Any:
    """Return the payload of a form that was sent, made from the view that ``views.open`` was given."""
    block, field_name = next((b["block_id"], b["element"]["action_id"]) for b in view["blocks"] if b["type"] == "input")
    typed = {"type": "plain_text_input", "value": reason}
    payload: dict[str, Any] = {
        "type": "view_submission",
        "team": {"id": TEAM, "domain": "example"},
        "user": {"id": by, "username": by.lower(), "name": by.lower(), "team_id": TEAM},
        "api_app_id": APP,
        "token": "verification",
        "trigger_id": f"13345224609.738474920.{time.time():.6f}",
        "view": {**view, "id": view.get("id", "V1"), "team_id": TEAM, "app_id": APP, "bot_id": "B0FORGE",
                 "hash": "156772938.1827394", "state": {"values": {block: {field_name: typed}}}},
        "response_urls": [],
    }  # fmt: skip
    return {**payload, **changed}


def typed(text: str, *, by: str = "U0ALICE", **changed: Any) -> Any:
    """Return the payload of a slash command, as Slack sends it: what was typed is escaped."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    payload = {
        "token": "verification",
        "team_id": TEAM,
        "team_domain": "example",
        "channel_id": CHANNEL,
        "channel_name": "briefing",
        "user_id": by,
        "user_name": by.lower(),
        "command": "/forge",
        "text": escaped,
        "api_app_id": APP,
        "is_enterprise_install": "false",
        "response_url": "",
        "trigger_id": f"13345224609.738474920.{time.time():.6f}",
    }
    return {**payload, **changed}
