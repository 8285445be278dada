"""What the gateway expects of a model server, and the faults one may show.

Belongs here: the values that cross between the gateway and an engine. Does not belong here: a wire (``ollama.py``), or
what is done about a fault (``gateway.py``). Kept free of heavy imports, since every desk loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from forge_workers.errors import Transient
from forge_workers.report import Frozen


class ModelFault(Transient):
    """The model gave no answer."""


class NoServer(ModelFault):
    """There is no model server to ask."""


class ModelMissing(ModelFault):
    """The server does not have the model."""


class Unread(ModelFault):
    """The server did not read the whole prompt."""


class Reply(Frozen):
    """One whole answer as the server gave it.

    Attributes:
        text: The answer, without the model's thinking.
        prompt_tokens: Tokens read, as the server counted them.
        output_tokens: Tokens written, as the server counted them.
        write_s: Seconds spent writing them.
        cut: The answer reached its token limit and is not finished.
    """

    text: str
    prompt_tokens: int
    output_tokens: int
    write_s: float
    cut: bool


class Resident(Frozen):
    """A model that the server holds in memory.

    Attributes:
        name: The model's name with its tag.
        size_bytes: All the memory it takes.
        gpu_bytes: The part of it on the GPU.
        context_tokens: The context window it was loaded with, None when the server does not say.
    """

    name: str
    size_bytes: int
    gpu_bytes: int
    context_tokens: int | None


class Engine(Protocol):
    """A model server with one model chosen. Every method may raise :class:`ModelFault`."""

    model: str

    def digest(self) -> str:
        """Return the digest that names the model's exact weights and settings."""

    def load(self) -> Resident | None:
        """Load the model and return what the server then holds of it, None when it lists nothing."""

    def ask(
        self, text: str, *, schema: Mapping[str, Any] | None, output_tokens: int, meanwhile: Callable[[], None]
    ) -> Reply:
        """Ask once; ``meanwhile`` runs before each piece of the answer and may raise to stop it."""

    def resident(self) -> tuple[Resident, ...]:
        """Return every model the server holds in memory."""

    def parameters(self, output_tokens: int) -> Mapping[str, Any]:
        """Return everything besides the text and the schema that shapes an answer."""

    def close(self) -> None:
        """Let the connections go; the model stays loaded for as long as its ``keep_alive`` says."""
