"""A stand-in for an Ollama server over a real socket, with misbehaviour on demand.

Belongs here: what the server remembers: its models, what is loaded until when, what it was asked; and how it counts and
cuts a prompt that is too long. A token is four characters here, so that tests can count. Does not belong here: the wire
(``ollama_wire.py``), or any judgement of an answer, which tests make.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from forge_workers.settings import Settings
from forge_workers.settings_sections import Models
from tests.standins.ollama_wire import DETAILS, SIZE, Body, Fault, Recorded, Server, count, seconds, stamp, tagged

__all__ = ["Body", "Fault", "OllamaStandIn", "Recorded"]

_NUM_KEEP = 4
_DEFAULT_WINDOW = 4096


class OllamaStandIn:
    """An Ollama on a port of its own, from ``with`` to the end of it.

    Args:
        models: Name to digest of the models it has.
        answer: Makes the text of an answer from the request's body; a fixed text from the prompt's digest if None.

    Attributes:
        requests: Every request, in order.
        fault: What goes wrong with questions, from now on.
        load_fault: What goes wrong with loading and unloading, from now on.
        bad_answers: So many answers from now on do not fit any schema.
        window: The most tokens the server allots whatever is asked, None for what is asked.
        old_cut: Cut as Ollama before 0.30 did: to the window, not to its half.
        with_context: Send ``context``, the whole prompt in tokens.
        unload_looks: How many looks at ``/api/ps`` an unloaded model survives.
        gpu_share: Part of a model that fits on the GPU.
        lists_resident: False hides every model from ``/api/ps``.
        delay_s: Seconds for ``Fault.SLOW`` and between the bytes of ``Fault.TRICKLE``.
        hoards: An unloaded model goes from the list and keeps its memory for good.
        release_readings: How many readings of the memory an unloaded model keeps its own for.
    """

    def __init__(self, models: dict[str, str] | None = None, answer: Callable[[Body], str] | None = None) -> None:
        self.models = {"qwen3:8b": "500a1f067a9f" + "0" * 52} if models is None else models
        self.answer = answer or _fixed
        self.requests: list[Recorded] = []
        self.fault: Fault | None = None
        self.load_fault: Fault | None = None
        self.bad_answers = 0
        self.window: int | None = None
        self.old_cut = False
        self.with_context = True
        self.unload_looks = 0
        self.gpu_share = 1.0
        self.lists_resident = True
        self.delay_s = 0.2
        self.hoards = False
        self.release_readings = 0
        self._lingering: list[float] = []
        self._loaded: dict[str, tuple[float, int]] = {}  # name -> (expires at, window)
        self._leaving: dict[str, int] = {}
        self._released = threading.Event()
        self._server = Server(self)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def asked(self) -> list[Body]:
        """The bodies of all requests that carried a question."""
        return [r.body for r in self.requests if r.body.get("prompt") or r.body.get("messages")]

    @property
    def heard(self) -> str:
        """Everything that was ever sent to it, as one text."""
        return "\n".join(f"{r.path}\n{r.raw}" for r in self.requests)

    def settings(self, home: Path, **models: Any) -> Settings:
        """Return settings that use this server; ``models`` are keys of their section of that name."""
        quick = {"ollama_url": self.url, "timeout_s": 5.0, "load_timeout_s": 5.0}
        chosen = Models.model_validate({**quick, **models})
        return Settings(home=home, repositories=(str(home),), timezone="UTC", models=chosen)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, delay_s: float) -> None:
        """Wait, but no longer than the server lives."""
        self._released.wait(delay_s)

    def find(self, name: str) -> str | None:
        """Return the name under which a model is stored."""
        wanted = tagged(name).lower()
        return next((own for own in self.models if tagged(own).lower() == wanted), None)

    def keep(self, name: str, keep_alive: float | str | None, options: Body) -> None:
        """Load a model, or set when a loaded one goes."""
        lasts_s = seconds(300 if keep_alive is None else keep_alive)
        if lasts_s == 0:
            self._leaving[name] = self.unload_looks
            return
        self._leaving.pop(name, None)
        asked = int(options.get("num_ctx", _DEFAULT_WINDOW))
        expires_at = time.time() + lasts_s if lasts_s > 0 else 1.1e10
        self._loaded[name] = (expires_at, min(asked, self.window or asked))

    def memory_in_use(self) -> int:
        """Return the bytes that its models take, listed or not, beside what the machine itself uses."""
        self._lingering = [left - 1 for left in self._lingering if left > 0]
        return 8_000_000_000 + SIZE * (len(self._loaded) + len(self._lingering))

    def use(self, name: str) -> None:
        """Load and use a model as a program would that knows no lease; it expires later than before."""
        expires_at, window = self._loaded.get(name, (time.time(), _DEFAULT_WINDOW))
        self._loaded[name] = (expires_at + 60, window)

    def resident(self) -> list[Body]:
        """Return the rows of ``/api/ps``."""
        for name, looks in list(self._leaving.items()):
            self._leaving[name] = looks - 1
            if looks <= 0:
                self._leaving.pop(name)
                if self._loaded.pop(name, None) is not None:
                    self._lingering.append(float("inf") if self.hoards else self.release_readings)
        rows = sorted(self._loaded.items(), key=lambda row: -row[1][0])
        return [
            {
                "name": tagged(name),
                "model": tagged(name),
                "size": SIZE,
                "digest": self.models[name],
                "details": DETAILS,
                "expires_at": stamp(expires_at),
                "size_vram": int(SIZE * self.gpu_share),
                "context_length": window,
            }
            for name, (expires_at, window) in rows
            if expires_at > time.time() and self.lists_resident
        ]

    def final(self, name: str, body: Body, prompt: str, text: str) -> Body:
        """Return the counters of the last line of an answer; zero values are left out."""
        window, limit = self._loaded[name][1], int(body.get("options", {}).get("num_predict", 1 << 30))
        whole, written = count(prompt), min(count(text), limit)
        read = whole
        if whole > window:
            read = window if self.old_cut else _NUM_KEEP + (window - _NUM_KEEP) // 2
        counters = {
            "total_duration": 900_000_000,
            "load_duration": 50_000_000,
            "prompt_eval_count": 0 if self.fault is Fault.NO_COUNT else read,
            "prompt_eval_duration": 300_000_000,
            "eval_count": written,
            "eval_duration": 25_000_000 * written,
        }
        reason = "length" if count(text) > limit else "stop"
        return {"done": True, "done_reason": reason, **{k: v for k, v in counters.items() if v}}


def _fixed(body: Body) -> str:
    """Answer the same to the same question."""
    asked = json.dumps(body.get("prompt") or body.get("messages"))
    return f"The answer is {hashlib.sha256(asked.encode()).hexdigest()[:8]}."
