"""The one way to a language model: redact, look in the cache, take the lease, ask, check, keep.

Belongs here: what every question goes through. Does not belong here: how it is laid out (``question.py``), when the
model may be used (``asking.py``), the wire (``ollama.py``), the stand-by that needs no model (``extractive.py``), or
what is asked, which each desk writes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from forge_workers import log
from forge_workers.errors import BadArgs
from forge_workers.models.asking import Asking, Held
from forge_workers.models.cache import AnswerCache, Kept, key_of
from forge_workers.models.engine import Engine, ModelFault, Resident
from forge_workers.models.question import Block, Budget, Prompt, compose, problem_of, repair, tokens
from forge_workers.report import Frozen, Usage
from forge_workers.settings import Settings

__all__ = ["Answer", "Block", "Budget", "Gateway", "Held", "Prompt", "WarmUp", "open_gateway", "tokens"]

_WARM_UP = "Write the numbers from one to thirty in words, separated by commas."
_WARM_UP_TOKENS = 64

_LOG = logging.getLogger(__name__)


class Answer(Frozen):
    """What came back. With a schema, ``value`` holds it, or is None when nothing valid came.

    Attributes:
        text: The answer; untrusted, "" when nothing came.
        value: The validated instance of the schema asked for.
        engine: Who wrote the text; ``none`` when nobody did.
        model: The model that wrote it.
        cached: It was asked before; nothing was asked now.
        degraded: What is wrong with it, in one plain sentence.
    """

    text: str
    value: BaseModel | None = None
    engine: Literal["ollama", "extractive", "none"]
    model: str | None = None
    cached: bool = False
    degraded: str | None = None


class WarmUp(Frozen):
    """What loading the model gave.

    Attributes:
        model: Its name.
        digest: Its digest.
        load_s: Seconds until it was loaded; near 0 when it was already.
        tokens_per_s: Speed of writing, as the server measured it; 0 when it did not say.
        own: What the server holds of it, None when it lists nothing.
        resident: Every model the server holds.
    """

    model: str
    digest: str
    load_s: float
    tokens_per_s: float
    own: Resident | None
    resident: tuple[Resident, ...]


class Gateway:
    """The models of one step. Not for use by several threads at once.

    Args:
        engine: The model server, or None to ask no model.
        context_tokens: The model's window.
        redact: Hides secrets in a text.
        cache: Where answers are kept.
        stand_by: Makes a digest of texts without a model.
        lease: Takes the GPU lease, or None where nothing else uses the GPU.
        clock: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        *,
        engine: Engine | None,
        context_tokens: int,
        redact: Callable[[str], str],
        cache: AnswerCache,
        stand_by: Callable[[Iterable[str]], str],
        lease: Callable[[], AbstractContextManager[Held]] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asking = Asking(engine, lease, clock)
        self._window = context_tokens
        self._redact = redact
        self._cache = cache
        self._stand_by = stand_by
        self._clock = clock

    @property
    def usage(self) -> Usage:
        """What this gateway cost since it was made."""
        return self._asking.usage

    @property
    def term(self) -> int | None:
        """The term of the GPU lease that was taken last, None when none was."""
        return self._asking.term

    def generate(self, prompt: Prompt, *, schema: type[BaseModel] | None = None, budget: Budget) -> Answer:
        """Ask, or say why there is no answer; never raises for a fault of the model.

        A prompt over the budget is cut, the last blocks first, and the answer's ``degraded`` says so. Of the window a
        quarter at most goes to the answer, and as much again is kept free for asking once more.

        Raises:
            LeaseLost: The GPU lease was lost; nothing was kept.
        """
        prompt = self._redacted(prompt)
        output_tokens = min(budget.output_tokens, self._window // 4)
        wanted = schema.model_json_schema() if schema is not None else None
        try:
            self._asking.ready()
            composed = compose(prompt, wanted, limit=min(budget.prompt_tokens, self._window - 2 * output_tokens))
            model, key = self._name(composed.text, wanted, output_tokens)
            kept = self._cache.get(key)
            cached = kept is not None and (kept.dropped is not None or _problem(kept.text, schema) is None)
            if kept is None or not cached:
                kept = self._asked(prompt, composed.text, schema, output_tokens)
                self._cache.put(key, kept)
        except (ModelFault, BadArgs) as fault:
            return self._without_model(prompt, schema, str(fault))
        if cached:
            self._asking.count(saved_by_cache=1)
        return _answer(kept, schema, model, cached=cached, left_out=composed.left_out)

    def probe(self) -> str | None:
        """Say in one sentence why no model can be asked, or return None. The server is asked once."""
        with contextlib.suppress(ModelFault):
            self._asking.ready()
        return str(self._asking.fault) if self._asking.fault else None

    def digest(self) -> str:
        """Return the digest of the model that would be asked; nothing is loaded for it.

        Raises:
            NoServer: There is no server, or the settings choose to ask no model.
            ModelMissing: The server does not have the model.
        """
        return self._asking.ready()[1]

    def warm_up(self) -> WarmUp:
        """Load the model under the lease, measure it and read back what the server holds.

        Raises:
            NoServer: There is no server, or the settings choose to ask no model.
            ModelMissing: The server does not have the model.
            ModelFault: It could not be loaded or did not answer.
            LeaseLost: The GPU lease was lost.
        """
        engine, digest = self._asking.ready()
        with self._asking.in_turn():
            started = self._clock()
            own = self._asking.load()
            load_s = self._clock() - started
            reply = self._asking.ask(_WARM_UP, schema=None, output_tokens=_WARM_UP_TOKENS)
            resident = engine.resident()
        speed = reply.output_tokens / reply.write_s if reply.write_s else 0.0
        return WarmUp(model=engine.model, digest=digest, load_s=load_s, tokens_per_s=speed, own=own, resident=resident)

    def spare(self, calls: int) -> None:
        """Count ``calls`` requests that rules made unnecessary."""
        self._asking.count(saved_by_rules=calls)

    def close(self) -> None:
        """Give the lease back and let the connections go. The model stays loaded for its ``keep_alive``."""
        self._asking.close()

    def _redacted(self, prompt: Prompt) -> Prompt:
        """Hide secrets in each part by itself, so that a key without an end takes no fence with it."""

        def hidden(text: str) -> str:
            return self._redact(text.encode("utf-8", "replace").decode())

        blocks = tuple(Block(label=hidden(b.label), text=hidden(b.text)) for b in prompt.blocks)
        return prompt.model_copy(update={"instructions": hidden(prompt.instructions), "blocks": blocks})

    def _name(self, text: str, schema: Mapping[str, Any] | None, output_tokens: int) -> tuple[str, str]:
        """Return the model's name and the key under which its answer is kept."""
        engine, digest = self._asking.ready()
        parameters = engine.parameters(output_tokens)
        key = key_of(
            engine="ollama", model=engine.model, digest=digest, parameters=parameters, schema=schema, prompt=text
        )
        return engine.model, key

    def _asked(self, prompt: Prompt, text: str, schema: type[BaseModel] | None, output_tokens: int) -> Kept:
        """Ask; with a schema, ask once more when the answer does not fit it."""
        wanted = schema.model_json_schema() if schema is not None else None
        with self._asking.in_turn():
            reply = self._asking.ask(text, schema=wanted, output_tokens=output_tokens)
            problem = _problem(reply.text, schema)
            if problem is not None:
                log.event(_LOG, "model.repair", purpose=prompt.purpose)
                shown = self._redact(reply.text)[: 2 * output_tokens]
                again = compose(
                    repair(prompt, shown, problem, cut=reply.cut), wanted, limit=self._window - output_tokens
                )
                reply = self._asking.ask(again.text, schema=wanted, output_tokens=output_tokens)
                problem = _problem(reply.text, schema)
        log.event(_LOG, "model.answered", purpose=prompt.purpose, tokens=reply.output_tokens)
        return Kept(text=reply.text, cut=reply.cut, dropped=problem)

    def _without_model(self, prompt: Prompt, schema: type[BaseModel] | None, why: str) -> Answer:
        """Answer without a model: nothing where a schema is wanted, otherwise the blocks' weightiest sentences."""
        text = "" if schema is not None else self._stand_by(block.text for block in prompt.blocks)
        return Answer(text=text, engine="extractive" if text else "none", degraded=f"no model: {why}")


def open_gateway(settings: Settings, *, lease: Callable[[], AbstractContextManager[Held]] | None) -> Gateway:
    """Return the gateway that ``settings`` choose. Nothing is asked and no lease taken until a question needs it.

    Args:
        settings: Which engine, model and window; their secrets are hidden from every prompt.
        lease: Takes the GPU lease, or None where nothing else uses the GPU.
    """
    # Here and not above: they take 2 s to import, which commands that ask no model need not pay.
    from forge_workers.models import extractive, ollama  # noqa: PLC0415
    from forge_workers.redact import Redactor  # noqa: PLC0415

    chosen = settings.models
    return Gateway(
        engine=ollama.OllamaModel(chosen) if chosen.engine == "ollama" else None,
        context_tokens=chosen.context_tokens,
        redact=Redactor(settings.secrets).text,
        cache=AnswerCache(settings.home / "cache" / "models", time.time),
        stand_by=extractive.digest,
        lease=lease,
    )


def _answer(kept: Kept, schema: type[BaseModel] | None, model: str, *, cached: bool, left_out: str | None) -> Answer:
    if kept.dropped is not None:
        why = f"the answer of {model} was dropped, since it was still not valid when asked again: {kept.dropped}"
        return Answer(text="", engine="none", model=model, cached=cached, degraded=why)
    value = schema.model_validate_json(kept.text) if schema is not None else None
    cut = "the answer reached its length limit and is not finished" if kept.cut and schema is None else None
    degraded = "; ".join(note for note in (left_out, cut) if note) or None
    return Answer(text=kept.text, value=value, engine="ollama", model=model, cached=cached, degraded=degraded)


def _problem(text: str, schema: type[BaseModel] | None) -> str | None:
    """Say what is wrong with an answer, or None when it fits ``schema`` or none is wanted."""
    try:
        if schema is not None:
            schema.model_validate_json(text)
    except ValidationError as error:
        return problem_of(error)
    return None
