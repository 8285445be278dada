"""A stand-in for Slack's Web API on a real socket, driven by the real client: ``WebClient(base_url=server.url)``.

It keeps the messages it is given, refuses what Slack's documented limits refuse, and misbehaves when told to. Every
request is recorded.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.standins.serving import StandInServer
from tests.standins.slack_files import Shelf

TOKEN = "xoxb-1111-2222-standinstandinstandin"
CHANNEL = "C0BRIEFING"
BOT = "U0FORGE"
TEAM = "T1"

#: ``lost`` keeps the message and drops the connection; ``kept_500`` keeps it and answers 500; ``hang`` keeps it and
#: never answers; ``hang_before`` answers never and keeps nothing; ``no_ts`` keeps it and does not name it; ``slow``
#: keeps an answer and takes four seconds to say so. Every other name is a Slack error code.
Kind = str


@dataclass
class Fault:
    """What goes wrong at the ``times`` requests of ``method`` ("*" for any) that follow the next ``after`` ones."""

    kind: Kind
    method: str = "chat.postMessage"
    times: int = 1
    after: int = 0
    retry_after: str | None = "7"


@dataclass
class SlackServer:
    """The server's state, for a test to read and to spoil."""

    url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    hanging: threading.Event = field(default_factory=threading.Event)
    views: list[dict[str, Any]] = field(default_factory=list)
    whispers: list[dict[str, Any]] = field(default_factory=list)
    socket_url: str = ""
    app_token: str = ""
    tickets: set[str] = field(default_factory=set)
    link_disabled: bool = False
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def hook(self) -> str:
        """An address for answers, as Slack gives one with each press: ``response_url``."""
        return f"{self.url.removesuffix('/api')}/actions/{TEAM}/1111/standin"

    def calls(self) -> Counter[str]:
        """Return how often each method was called."""
        return Counter(method for method, _ in self.requests)

    def parts(self, night: str) -> Counter[int]:
        """Return how many messages stand for each part of a night's briefing; once each is how it should be."""
        marks = [m["metadata"]["event_payload"] for m in self.messages if m.get("metadata")]
        return Counter(int(mark["part"]) for mark in marks if mark["night"] == night)

    def take(self, method: str) -> Fault | None:
        """Return the fault of this request, if one is due."""
        for fault in self.faults:
            if fault.method not in {method, "*"} or fault.times == 0:
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            return fault
        return None

    def answer(self, method: str, sent: dict[str, Any]) -> dict[str, Any]:
        """Do what a method does, in memory."""
        if method == "auth.test":
            return {"ok": True, "user_id": BOT, "bot_id": "B0FORGE", "team_id": TEAM}
        if method == "apps.connections.open":
            return self._connections_open()
        if method == "views.open":
            return self._views_open(sent)
        if method.startswith("files."):
            return self._files(method, sent)
        if sent.get("channel") != CHANNEL:
            return {"ok": False, "error": "channel_not_found"}
        acts = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "chat.postEphemeral": self.whisper,
        }
        act = acts.get(method)
        return {"ok": False, "error": "unknown_method"} if act is None else act(sent)

    def _files(self, method: str, sent: dict[str, Any]) -> dict[str, Any]:
        if method == "files.getUploadURLExternal":
            return self.shelf.room(sent, self.url.removesuffix("/api"))
        if method == "files.delete":
            return self.shelf.delete(sent, self.messages)
        if method != "files.completeUploadExternal":
            return {"ok": False, "error": "unknown_method"}
        if sent.get("channel_id") != CHANNEL:
            return {"ok": False, "error": "channel_not_found"}
        blocks = json.loads(sent.get("blocks") or "[]")
        if not all(block.get("type") == "rich_text" and _fits(block) for block in blocks):
            return {"ok": False, "error": "invalid_blocks"}
        shown = {"user": BOT, "thread_ts": sent.get("thread_ts"), "text": "", "blocks": blocks}
        return self.shelf.complete(sent, {"type": "message", **shown})

    def _connections_open(self) -> dict[str, Any]:
        if self.link_disabled or not self.socket_url:
            return {"ok": False, "error": "internal_error"}
        ticket = f"ticket-{len(self.requests)}"
        self.tickets.add(ticket)
        return {"ok": True, "url": f"{self.socket_url}?ticket={ticket}&app_id=A0FORGE"}

    def _views_open(self, sent: dict[str, Any]) -> dict[str, Any]:
        if not sent.get("trigger_id"):
            return {"ok": False, "error": "invalid_trigger_id"}
        view = sent["view"]
        titles = [view["title"]["text"], view["submit"]["text"], view["close"]["text"]]
        if any(len(title) > 24 for title in titles) or len(view.get("private_metadata", "")) > 3_000:
            return {"ok": False, "error": "invalid_arguments"}
        self.views.append({**view, "id": f"V{len(self.views) + 1}"})
        return {"ok": True, "view": self.views[-1]}

    def whisper(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Keep what only one person sees: ``chat.postEphemeral``, or an answer to a ``response_url``."""
        refusal = broken_limit(sent)
        if refusal:
            return {"ok": False, "error": refusal}
        self.whispers.append(sent)
        return {"ok": True, "message_ts": f"{1_796_000_000 + len(self.whispers)}.000000"}

    def _post(self, sent: dict[str, Any]) -> dict[str, Any]:
        refusal = broken_limit(sent)
        if refusal:
            return {"ok": False, "error": refusal}
        ts = f"{1_796_000_000 + len(self.messages)}.{len(self.messages):06d}"
        kept = {name: sent[name] for name in ("text", "blocks", "metadata", "thread_ts") if sent.get(name)}
        self.messages.append({"type": "message", "user": BOT, "bot_id": "B0FORGE", "ts": ts, **kept})
        return {"ok": True, "channel": CHANNEL, "ts": ts, "message": self.messages[-1]}

    def _update(self, sent: dict[str, Any]) -> dict[str, Any]:
        refusal = broken_limit(sent)
        message = next((m for m in self.messages if m["ts"] == sent["ts"]), None)
        if refusal or message is None:
            return {"ok": False, "error": refusal or "message_not_found"}
        message.update({name: sent[name] for name in ("text", "blocks", "metadata") if name in sent})
        return {"ok": True, "channel": CHANNEL, "ts": sent["ts"], "text": message["text"]}

    def _history(self, sent: dict[str, Any]) -> dict[str, Any]:
        found = [m for m in reversed(self.messages) if "thread_ts" not in m and float(m["ts"]) > float(sent["oldest"])]
        return _page(found, sent)

    def _replies(self, sent: dict[str, Any]) -> dict[str, Any]:
        for message in self.shelf.shows():
            self.messages.append({**message, "ts": f"{1_796_000_000 + len(self.messages)}.{len(self.messages):06d}"})
        found = [m for m in self.messages if sent["ts"] in {m["ts"], m.get("thread_ts")}]
        return _page(found, sent) if found else {"ok": False, "error": "thread_not_found"}


def _page(found: list[dict[str, Any]], sent: dict[str, Any]) -> dict[str, Any]:
    """Answer with one page of what was found."""
    start, limit = int(sent.get("cursor") or 0), min(int(sent.get("limit") or 100), 200)
    more = {"next_cursor": str(start + limit)} if len(found) > start + limit else {}
    return {"ok": True, "messages": _told(found[start : start + limit], sent), "response_metadata": more}


def _told(messages: list[dict[str, Any]], sent: dict[str, Any]) -> list[dict[str, Any]]:
    """Leave the metadata out unless it was asked for, as Slack does."""
    whole = str(sent.get("include_all_metadata", "")).lower() in {"1", "true"}
    return [m if whole else {name: value for name, value in m.items() if name != "metadata"} for m in messages]


def broken_limit(sent: dict[str, Any]) -> str | None:
    """Return Slack's error for a message that breaks its limits, or None.

    Source: docs.slack.dev, Block Kit reference and chat.postMessage; github.com/slackapi/bolt-js/issues/2509 for the
    undocumented length of all blocks together.
    """
    blocks, text = sent.get("blocks") or [], sent.get("text") or ""
    if not blocks and not text:
        return "no_text"
    if len(text) > 40_000:
        return "msg_too_long"
    names = [block["block_id"] for block in blocks if "block_id" in block]
    if len(blocks) > 50 or not all(_fits(block) for block in blocks) or len(set(names)) < len(names):
        return "invalid_blocks"
    if len(json.dumps(blocks)) > 13_200:
        return "msg_blocks_too_long"
    metadata = sent.get("metadata") or {}
    return "metadata_too_large" if len(json.dumps(metadata)) > 8_000 else None


def _fits(block: dict[str, Any]) -> bool:
    kind = block.get("type")
    if kind == "header":
        return block["text"]["type"] == "plain_text" and 1 <= len(block["text"]["text"]) <= 150
    if kind == "section":
        fields = block.get("fields", [])
        texts = [*([block["text"]] if "text" in block else []), *fields]
        sizes = all(1 <= len(t["text"]) <= (2_000 if t in fields else 3_000) for t in texts)
        return bool(texts) and len(fields) <= 10 and sizes
    if kind == "context":
        return 1 <= len(block["elements"]) <= 10 and all(1 <= len(e["text"]) <= 3_000 for e in block["elements"])
    if kind == "rich_text":
        return bool(block["elements"]) and all(_rich_fits(element) for element in block["elements"])
    if kind == "actions":
        pressed = block["elements"]
        named = len({button["action_id"] for button in pressed}) == len(pressed) <= 25
        return named and 1 <= len(block.get("block_id", "x")) <= 255 and all(_pressable(button) for button in pressed)
    return kind == "divider"


def _pressable(button: dict[str, Any]) -> bool:
    """Say whether a button is one that Slack takes. Source: docs.slack.dev, button element and confirmation dialog."""
    sizes = ((button["action_id"], 255), (button["text"]["text"], 75), (button["value"], 2_000),
             (button.get("accessibility_label", "x"), 75))  # fmt: skip
    ask = button.get("confirm", {})
    asked = all(1 <= len(ask[name]["text"]) <= most for name, most in
                (("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)) if ask)  # fmt: skip
    kinds = {button["text"]["type"], *(part["type"] for part in ask.values())}
    return button["type"] == "button" and kinds == {"plain_text"} and asked and all(
        1 <= len(text) <= most for text, most in sizes
    )  # fmt: skip


def _rich_fits(element: dict[str, Any]) -> bool:
    kind = element["type"]
    if kind == "rich_text_list":
        nested = all(inner["type"] == "rich_text_section" and _rich_fits(inner) for inner in element["elements"])
        return element.get("style") in {"bullet", "ordered"} and bool(element["elements"]) and nested
    if kind == "rich_text_section":
        return bool(element["elements"]) and all(_rich_fits(inner) for inner in element["elements"])
    return (kind == "text" and bool(element.get("text"))) or (kind == "link" and element["url"].startswith("https://"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        state = self.server.state
        method = urlsplit(self.path).path.rpartition("/")[2]
        sent = self._sent()
        if self.path.startswith("/upload/"):
            method = "upload"
        elif not self.path.startswith("/api/"):
            method = "response_url"
        with state.lock:
            state.requests.append((method, sent))
            fault = state.take(method)
            answer = self._answer(method, sent, fault)
        if fault and fault.kind == "slow":
            state.closing.wait(4)
        if fault and fault.kind in {"hang", "hang_before"}:
            state.hanging.set()
            state.closing.wait(30)
        if fault and fault.kind in {"hang", "hang_before", "lost"}:
            self.close_connection = True
            return
        status = {"429": 429, "500": 500, "kept_500": 500, "garbage": 200}.get(fault.kind if fault else "", 200)
        status = 400 if method == "upload" and status == 200 and not answer["ok"] else status
        body = b"<html>upstream</html>" if fault and fault.kind in {"garbage", "500"} else json.dumps(answer).encode()
        self.send_response(status)
        if status == 429 and fault and fault.retry_after is not None:
            self.send_header("Retry-After", fault.retry_after)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, method: str, sent: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        if method == "upload":
            return {"ok": fault is None and self.server.state.shelf.take(sent["id"], sent["body"])}
        if method == "response_url":
            return {"ok": False} if fault and fault.kind != "slow" else self.server.state.whisper(sent)
        token = self.server.state.app_token if method == "apps.connections.open" else TOKEN
        if self.headers.get("Authorization") != f"Bearer {token}":
            return {"ok": False, "error": "invalid_auth"}
        if fault is None or fault.kind in {"lost", "hang", "kept_500"}:
            return self.server.state.answer(method, sent)
        if fault.kind == "no_ts":
            return {**self.server.state.answer(method, sent), "ts": None}
        return {"ok": False, "error": "ratelimited" if fault.kind == "429" else fault.kind}

    def _sent(self) -> dict[str, Any]:
        """Return the arguments: of a form, of JSON, or of the address, where Slack's client puts those of a read."""
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/upload/"):
            return {"id": self.path.rpartition("/")[2], "body": content}
        body = content.decode()
        asked: dict[str, Any] = dict(parse_qsl(urlsplit(self.path).query))
        if body and self.headers.get("Content-Type", "").startswith("application/json"):
            asked |= json.loads(body)
            return asked
        return asked | dict(parse_qsl(body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


class _Server(StandInServer):
    def __init__(self, state: SlackServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state


@contextlib.contextmanager
def slack_server(*faults: Fault) -> Iterator[SlackServer]:
    """Run a stand-in until the block ends."""
    state = SlackServer(faults=deque(faults))
    server = _Server(state)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/api"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
