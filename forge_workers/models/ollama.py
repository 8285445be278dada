"""Ollama's wire, through its own client: every answer whole, in time and about the whole prompt, or a plain fault.

Asked with streaming on, so that half an answer shows (no ``done``) and the lease can be looked at between the pieces.
Every request sends the same ``num_ctx``, since another one makes the server load the model anew; ``num_predict`` may
differ. Proxies from the environment and redirects are not followed: a prompt goes where the settings say.

Was the whole prompt read? Ollama drops the front of a prompt that is too long, answers 200, and tells only by the
number of tokens it read (ollama/ollama#3839). An answer is taken only if none of these holds:

1. ``prompt_eval_count`` is missing: nothing is known.
2. It has reached the window.
3. It is below nine tenths of what the server's own tokenizer makes of the whole prompt. That number is the length of
   ``context``, which the server encodes from the untruncated prompt and its answer, less ``eval_count``.
4. It is below one token for every 8 characters with runs squeezed, which no vocabulary reaches on average.
5. It is exactly what Ollama >= 0.30 leaves after cutting, ``num_keep + (num_ctx - num_keep) / 2``, and the prompt is
   long enough in bytes to have been cut, and there is no ``context`` to show otherwise.

The count includes tokens whose state was cached (0.30.0 up to ollama/ollama#16428 left them out, versions before 0.4
could leave the number out): with such a server rules 1, 3 and 4 may refuse a good answer, but none takes a bad one.

Belongs here: the wire. Does not belong here: what is asked, kept or redacted.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import ollama

from forge_workers.models.bounded import Bounded
from forge_workers.models.engine import ModelFault, ModelMissing, NoServer, Reply, Resident, Unread
from forge_workers.models.question import cleaned
from forge_workers.plain import plain
from forge_workers.settings_sections import Models

#: Seconds for connecting, and for requests that only look.
_LOOK_S = 10.0
#: Tokens at the front that the server keeps when it cuts; its own default, sent so that rule 5 is exact.
_NUM_KEEP = 4
#: Characters that a token stands for at most, on average over a prompt with runs squeezed.
_CHARACTERS_PER_TOKEN = 8
#: Looks, half a second apart, at whether an unloaded model is gone: a busy one finishes its answer first.
_UNLOAD_LOOKS = 60
_RUNS = re.compile(r"(\s)\s+|(.)\2{3,}")


class OllamaModel:
    """One model at one Ollama.

    Args:
        settings: Address, model, window and times.
        pause: How to wait between two looks at the server.
    """

    def __init__(self, settings: Models, pause: Callable[[float], None] = time.sleep) -> None:
        self.model = settings.generate
        self._settings = settings
        self._pause = pause
        parts = urlsplit(settings.ollama_url)
        self._place = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._look_s = min(_LOOK_S, settings.timeout_s)
        self._looking = _client(settings.ollama_url, self._look_s)
        self._loading = _client(settings.ollama_url, settings.load_timeout_s)
        self._asking = _client(settings.ollama_url, settings.timeout_s)
        self._think: bool | None = False

    def digest(self) -> str:
        """Return the digest of the model's weights and settings.

        Raises:
            NoServer: Nothing, or nothing that is Ollama, answers there.
            ModelMissing: The server does not have the model; the message says how to get it.
        """
        with self._faults(self._look_s):
            try:
                found = self._looking.list().models
            except ollama.ResponseError as error:
                raise NoServer(f"what answers at {self._place} is not Ollama: status {error.status_code}") from None
            for model in found:
                if _same(model.model or "", self.model) and model.digest:
                    return model.digest
        raise self._missing()

    def load(self) -> Resident | None:
        """Load the model and read back what the server holds of it."""
        with self._faults(self._settings.load_timeout_s):
            self._loading.generate(self.model, options=self._options(), keep_alive=self._settings.keep_alive_s)
        return self._own()

    def unload(self) -> None:
        """Unload the model and wait until the server no longer lists it.

        Raises:
            ModelFault: It is still resident half a minute later.
        """
        with self._faults(self._look_s):
            self._looking.generate(self.model, keep_alive=0)
        for _ in range(_UNLOAD_LOOKS):
            if self._own() is None:
                return
            self._pause(0.5)
        raise ModelFault(f"Ollama at {self._place} still holds {plain(self.model)} in memory after it was unloaded")

    def resident(self) -> tuple[Resident, ...]:
        """Return every model the server holds in memory."""
        with self._faults(self._look_s):
            return tuple(
                Resident(
                    name=model.model or model.name or "",
                    size_bytes=int(model.size or 0),
                    gpu_bytes=int(model.size_vram or 0),
                    context_tokens=model.context_length,
                )
                for model in self._looking.ps().models
            )

    def ask(
        self, text: str, *, schema: Mapping[str, Any] | None, output_tokens: int, meanwhile: Callable[[], None]
    ) -> Reply:
        """Ask once.

        Raises:
            ModelFault: The server failed, broke off, took too long or wrote nothing; :class:`Unread` when it did not
                read the whole prompt. The message is one plain sentence.
        """
        with self._faults(self._settings.timeout_s):
            try:
                return self._answer(text, schema, output_tokens, meanwhile)
            except ollama.ResponseError as error:
                if error.status_code != httpx.codes.BAD_REQUEST or "think" not in str(error.error):
                    raise
            self._think = None
            return self._answer(text, schema, output_tokens, meanwhile)

    def parameters(self, output_tokens: int) -> Mapping[str, Any]:
        """Return everything besides text and schema that shapes an answer."""
        return {**self._options(), "num_predict": output_tokens, "think": False}

    def close(self) -> None:
        """Let the connections go."""
        for client in (self._looking, self._loading, self._asking):
            client.close()  # type: ignore[no-untyped-call]

    def _options(self) -> dict[str, Any]:
        """Return the options of every request: the same window always, and the same answer to the same question."""
        return {"num_ctx": self._settings.context_tokens, "num_keep": _NUM_KEEP, "temperature": 0.0, "seed": 1}

    def _answer(
        self, text: str, schema: Mapping[str, Any] | None, output_tokens: int, meanwhile: Callable[[], None]
    ) -> Reply:
        stream: Iterator[ollama.GenerateResponse] = self._asking.generate(
            self.model,
            text,
            stream=True,
            think=self._think,
            format=dict(schema) if schema is not None else None,
            options={**self._options(), "num_predict": output_tokens},
            keep_alive=self._settings.keep_alive_s,
        )
        parts: list[str] = []
        last = None
        with contextlib.closing(stream):  # type: ignore[type-var]  # the client's iterator is a generator
            for piece in stream:
                meanwhile()
                parts.append(piece.response or "")
                if piece.done:
                    last = piece
                    break
        if last is None:
            raise ModelFault(f"Ollama at {self._place} broke off in the middle of an answer")
        return self._whole("".join(parts), last, text)

    def _whole(self, answer: str, last: ollama.GenerateResponse, asked: str) -> Reply:
        why = unread(
            asked,
            read=last.prompt_eval_count,
            written=last.eval_count or 0,
            encoded=len(last.context) if last.context else None,
            window=self._settings.context_tokens,
        )
        if why is not None:
            raise Unread(why)
        answer, cut = cleaned(answer), last.done_reason == "length"
        if not answer:
            raise ModelFault(f"{plain(self.model)} wrote nothing" + (" but its thinking" if cut else ""))
        return Reply(
            text=answer,
            prompt_tokens=last.prompt_eval_count or 0,
            output_tokens=last.eval_count or 0,
            write_s=(last.eval_duration or 0) / 1e9,
            cut=cut,
        )

    def _own(self) -> Resident | None:
        return next((held for held in self.resident() if _same(held.name, self.model)), None)

    def _missing(self) -> ModelMissing:
        pull = f"ollama pull {shlex.quote(plain(self.model))}"
        return ModelMissing(f"Ollama at {self._place} does not have the model {plain(self.model)}: run {pull}")

    @contextlib.contextmanager
    def _faults(self, timeout_s: float) -> Iterator[None]:
        """Turn everything a server or its connection may do into one plain sentence."""
        try:
            yield
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout):
            raise NoServer(f"Ollama does not answer at {self._place}") from None
        except httpx.TimeoutException:
            raise ModelFault(f"Ollama at {self._place} did not finish within {timeout_s:g} s") from None
        except httpx.HTTPError:
            raise ModelFault(f"Ollama at {self._place} broke off in the middle of an answer") from None
        except ollama.ResponseError as error:
            raise self._refusal(error) from None
        except (ValueError, TypeError, AttributeError):
            raise ModelFault(f"what answers at {self._place} does not speak Ollama's protocol") from None

    def _refusal(self, error: ollama.ResponseError) -> ModelFault:
        if error.status_code == httpx.codes.NOT_FOUND:
            return self._missing()
        if error.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return ModelFault(f"Ollama at {self._place} is too busy: its queue is full")
        said = plain(str(error.error), 120)
        if error.status_code < 0:
            return ModelFault(f"Ollama at {self._place} gave up in the middle of an answer: {said}")
        return ModelFault(f"Ollama at {self._place} refused with status {error.status_code}: {said}")


def unread(sent: str, *, read: int | None, written: int, encoded: int | None, window: int) -> str | None:
    """Say why the server cannot have read the whole prompt, or None; the rules are in the module's docstring.

    Args:
        sent: The prompt.
        read: ``prompt_eval_count``.
        written: ``eval_count``.
        encoded: Length of ``context``: the whole prompt and the answer in the server's own tokens.
        window: ``num_ctx``.
    """
    if not read:  # 1
        return "the server did not say how much of the prompt it read"
    if read >= window:  # 2
        return f"the prompt filled the whole window of {window} tokens, so part of it was not read"
    whole = encoded - written if encoded is not None else 0
    if read < 0.9 * whole:  # 3
        return f"the server read only {read} of the prompt's {whole} tokens"
    least = len(_RUNS.sub(r"\1\2", sent)) // _CHARACTERS_PER_TOKEN
    if read < least:  # 4
        return f"the server read only {read} tokens of a prompt of at least {least}"
    left_by_cutting = _NUM_KEEP + (window - _NUM_KEEP) // 2
    if encoded is None and read == left_by_cutting and len(sent.encode("utf-8", "surrogatepass")) > window:  # 5
        return f"the server cut the prompt to {read} tokens"
    return None


def _same(name: str, wanted: str) -> bool:
    """Whether two model names mean the same model: the tag ``latest`` goes without saying, case does not matter."""
    return _tagged(name) == _tagged(wanted)


def _tagged(name: str) -> str:
    return (name if ":" in name.rpartition("/")[2] else f"{name}:latest").lower()


def _client(url: str, timeout_s: float) -> ollama.Client:
    return ollama.Client(
        host=url,
        timeout=httpx.Timeout(timeout_s, connect=min(_LOOK_S, timeout_s)),
        transport=Bounded(timeout_s, verify=url.startswith("https:")),
        follow_redirects=False,
    )
