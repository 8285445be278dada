"""The wire of the Ollama stand-in: requests read, answers and faults written, as ollama/ollama v0.33 does.

Belongs here: ``/``, ``/api/version``, ``/api/tags``, ``/api/ps``, ``/api/show``, ``/api/generate`` and ``/api/chat``,
NDJSON streams, status codes, time formats. Does not belong here: what the server remembers (``ollama.py``).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.standins.serving import StandInServer

if TYPE_CHECKING:
    from tests.standins.ollama import OllamaStandIn

Body = dict[str, Any]
#: Bytes that every model takes in memory.
SIZE = 5_200_000_000
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "qwen3",
    "families": ["qwen3"],
    "parameter_size": "8.2B",
    "quantization_level": "Q4_K_M",
}


class Fault(StrEnum):
    """How a request for an answer may go wrong."""

    SLOW = "slow"  # the answer comes whole, after ``delay_s``
    TRICKLE = "trickle"  # a byte at a time, for ever, never a whole line
    MISSING = "missing"  # 404
    BUSY = "busy"  # 503
    BROKEN = "broken"  # 500
    GARBAGE = "garbage"  # 200 and no JSON
    NOT_OBJECTS = "not objects"  # 200 and JSON of the wrong shape
    HALF = "half"  # the stream ends in order, without ``done``
    CUT = "cut"  # the connection dies in the middle
    HANG = "hang"  # nothing is ever sent
    ERROR_LINE = "error line"  # an error in the middle of the stream
    EMPTY = "empty"  # a whole answer of no text
    NO_COUNT = "no count"  # ``prompt_eval_count`` is missing, as when a prompt was cached
    NO_THINK = "no think"  # 400 for any ``think``
    REDIRECT = "redirect"  # 307 to somewhere else


class Recorded(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    body: Body
    raw: str


class Server(StandInServer):
    """Listens on a port of its own for one stand-in."""

    def __init__(self, stand_in: OllamaStandIn) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stand_in = stand_in

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hung up: that is what several tests have them do."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the acknowledgement of its head
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""

    def do_GET(self) -> None:
        """Answer what only looks."""
        here = self.server.stand_in
        here.requests.append(Recorded("GET", self.path, {}, ""))
        if self.path == "/":
            self._send("Ollama is running", kind="text/plain")
        elif self.path == "/api/version":
            self._send({"version": "0.33.0"})
        elif self.path == "/api/tags":
            self._send({"models": [_row(name, digest) for name, digest in here.models.items()]})
        elif self.path == "/api/ps":
            self._send({"models": here.resident()})
        else:
            self._send("404 page not found", kind="text/plain", status=404)

    def do_POST(self) -> None:
        """Answer what uses a model."""
        here = self.server.stand_in
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            body = json.loads(raw)
        except ValueError:
            self._send({"error": "missing request body"}, status=400)
            return
        here.requests.append(Recorded("POST", self.path, body, raw))
        name = here.find(str(body.get("model", "")))
        fault = here.fault if body.get("prompt") or body.get("messages") else here.load_fault
        if self.path not in {"/api/show", "/api/generate", "/api/chat"}:
            self._send("404 page not found", kind="text/plain", status=404)
        elif name is None or fault is Fault.MISSING:
            self._send({"error": f"model '{body.get('model')}' not found"}, status=404)
        elif self.path == "/api/show":
            info = {"general.architecture": "qwen3", "qwen3.context_length": 40_960}
            self._send({"details": DETAILS, "model_info": info, "capabilities": ["completion"]})
        elif not self._refused(fault, body):
            self._generate(name, body)

    def _refused(self, fault: Fault | None, body: Body) -> bool:
        """Misbehave before the first byte of an answer, if that is the fault."""
        here = self.server.stand_in
        match fault:
            case Fault.BUSY:
                said = "server busy, please try again.  maximum pending requests exceeded"
                self._send({"error": said}, status=503)
            case Fault.BROKEN:
                self._send({"error": "llama runner process has terminated: exit status 2"}, status=500)
            case Fault.REDIRECT:
                self._send("", status=307, headers={"Location": "http://127.0.0.1:9/"})
            case Fault.NO_THINK if "think" in body:
                self._send({"error": f'"{body["model"]}" does not support thinking'}, status=400)
            case Fault.HANG:
                here.wait(60)
                self.close_connection = True
            case Fault.TRICKLE:
                self._stream(_trickle(here), "application/x-ndjson")
            case Fault.GARBAGE:
                self._send("<html>502 Bad Gateway</html>", kind="text/html")
            case Fault.NOT_OBJECTS:
                self._send('[1]\n"two"\n', kind="application/x-ndjson")
            case _:
                return False
        return True

    def _generate(self, name: str, body: Body) -> None:
        here = self.server.stand_in
        chat = self.path == "/api/chat"
        prompt = "\n".join(m["content"] for m in body.get("messages", [])) if chat else body.get("prompt", "")
        keep_alive = body.get("keep_alive")
        if not prompt:
            here.keep(name, keep_alive, body.get("options", {}))
            unload = keep_alive is not None and seconds(keep_alive) == 0
            ending = {"done": True, "done_reason": "unload" if unload else "load"}
            self._send({**self._line(body, ""), **ending})
            return
        here.keep(name, 300, body.get("options", {}))
        if here.fault is Fault.SLOW:
            here.wait(here.delay_s)
        lines = self._lines(name, body, str(prompt))
        if body.get("stream", True):
            self._stream((json.dumps(line) + "\n" for line in lines), "application/x-ndjson")
        else:
            whole = list(lines)
            self._send({**whole[-1], **self._line(body, "".join(_text_of(line) for line in whole)), "done": True})
        here.keep(name, keep_alive, body.get("options", {}))

    def _lines(self, name: str, body: Body, prompt: str) -> Iterator[Body]:
        here = self.server.stand_in
        text = here.answer(body)
        if here.bad_answers > 0:
            here.bad_answers -= 1
            text = '{"unwanted": true}'
        final = here.final(name, body, prompt, text)
        text = "" if here.fault is Fault.EMPTY else text[: 4 * final.get("eval_count", 0)]
        pieces = re.findall(r"[\s\S]{1,12}", text)
        for number, piece in enumerate(pieces):
            if number == len(pieces) // 2 and here.fault in {Fault.HALF, Fault.CUT, Fault.ERROR_LINE}:
                if here.fault is Fault.ERROR_LINE:
                    yield {"error": "an error was encountered while running the model: unexpected EOF"}
                if here.fault is Fault.CUT:
                    self.close_connection = True
                    raise ConnectionAbortedError
                return
            yield {**self._line(body, piece), "done": False}
        if self.path == "/api/generate" and here.with_context and not body.get("raw"):
            final["context"] = [1] * (count(prompt) + final.get("eval_count", 0))
        yield {**self._line(body, ""), **final}

    def _line(self, body: Body, text: str) -> Body:
        line = {"model": body["model"], "created_at": stamp(time.time())}
        if self.path == "/api/chat":
            return {**line, "message": {"role": "assistant", "content": text}}
        return {**line, "response": text}

    def _send(
        self,
        content: Body | str,
        *,
        kind: str = "application/json; charset=utf-8",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, parts: Iterator[str], kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            data = part.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def _row(name: str, digest: str) -> Body:
    modified_at = "2026-11-20T08:00:00.123456789+01:00"
    details = {"size": SIZE, "digest": digest, "details": DETAILS}
    return {"name": tagged(name), "model": tagged(name), "modified_at": modified_at, **details}


def _text_of(line: Body) -> str:
    return str(line.get("response") or line.get("message", {}).get("content", ""))


def _trickle(here: OllamaStandIn) -> Iterator[str]:
    for _ in range(10_000):
        yield " "
        here.wait(here.delay_s)


def count(text: str) -> int:
    """Return the tokens of ``text``: one for every four characters."""
    return -(-len(text) // 4)


def tagged(name: str) -> str:
    """Return a model's name with its tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def stamp(moment: float) -> str:
    """Write a time as Go does, with nanoseconds."""
    return datetime.fromtimestamp(min(moment, 1.1e10), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"


def seconds(duration: float | str) -> float:
    """Read ``keep_alive``: seconds, or a duration as Go writes it; negative is for ever."""
    if isinstance(duration, int | float):
        return float(duration)
    parts = re.findall(r"(-?[\d.]+)(ms|s|m|h)", duration)
    if not parts and duration != "0":
        raise ValueError(f'time: missing unit in duration "{duration}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
