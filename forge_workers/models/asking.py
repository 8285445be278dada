"""Using an engine under the GPU lease: taken when first needed, checked around every request, counted, given up.

Belongs here: when the model may be used, and what that cost. Does not belong here: what is asked, or what becomes of
the answer.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from forge_workers import log
from forge_workers.errors import ForgeError, LeaseLost
from forge_workers.models.engine import Engine, ModelFault, ModelMissing, NoServer, Reply, Resident, Unread
from forge_workers.report import Usage

#: Faults of the server in a row after which no more is asked: a server that hangs would cost the night its timeout
#: for every question.
_PATIENCE = 2

_LOG = logging.getLogger(__name__)


class Held(Protocol):
    """A lease that was taken."""

    @property
    def term(self) -> int | None:
        """Which time round it is, None where nobody counts."""

    def check(self) -> None:
        """Raise ``LeaseLost`` when it is no longer held."""


class Asking:
    """One engine, one lease, and what they cost. Not for use by several threads at once.

    Args:
        engine: The model server, or None to ask no model.
        lease: Takes the GPU lease, or None where nothing else uses the GPU.
        clock: A clock in seconds that never goes back.

    Attributes:
        fault: Why nothing more is asked, or None.
        term: Of the lease that was taken last, None when none was.
    """

    def __init__(
        self,
        engine: Engine | None,
        lease: Callable[[], AbstractContextManager[Held]] | None,
        clock: Callable[[], float],
    ) -> None:
        self.fault: ModelFault | None = None if engine else NoServer("the settings choose to ask no model")
        self.term: int | None = None
        self._engine = engine
        self._lease = lease
        self._clock = clock
        self._open = contextlib.ExitStack()
        self._check: Callable[[], None] | None = None
        self._held_since: float | None = None
        self._digest: str | None = None
        self._loaded = False
        self._faults_in_a_row = 0
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """What was used so far, the time the lease is held included."""
        if self._held_since is None:
            return self._usage
        return self._usage.model_copy(update={"gpu_s": self._usage.gpu_s + self._clock() - self._held_since})

    def count(self, **more: int) -> None:
        """Add to the counters of :attr:`usage`."""
        counted = {name: getattr(self._usage, name) + number for name, number in more.items()}
        self._usage = self._usage.model_copy(update=counted)

    def ready(self) -> tuple[Engine, str]:
        """Return the engine and the model's digest. The server is asked once, without the lease: looking is free.

        Raises:
            ModelFault: What is in the way, now or ever since.
        """
        if self._engine is not None and self._digest is None and self.fault is None:
            try:
                self._digest = self._engine.digest()
            except ModelFault as fault:
                self.fault = fault
        if self.fault is not None or self._engine is None or self._digest is None:
            raise type(self.fault or ModelFault())(str(self.fault))
        return self._engine, self._digest

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """Hold the lease: taken now if it was not before, checked here, at every request, and at the end.

        Raises:
            ModelFault: The lease cannot be had; nothing more is asked then.
            LeaseLost: It is no longer held.
        """
        if self._check is None:
            self._check = self._taken()
        self._check()
        try:
            yield
        except ModelFault as fault:
            self._note(fault)
            raise
        self._faults_in_a_row = 0
        self._check()

    def load(self) -> Resident | None:
        """Load the model and return what the server then holds of it; only inside :meth:`in_turn`."""
        own = self.ready()[0].load()
        self._loaded = True
        return own

    def ask(self, text: str, *, schema: Mapping[str, Any] | None, output_tokens: int) -> Reply:
        """Ask once, loading the model first if nobody did; only inside :meth:`in_turn`."""
        engine, _ = self.ready()
        if not self._loaded:
            self.load()
        check = self._check or _nothing_to_check
        check()
        self.count(calls=1)
        self._usage = self._usage.model_copy(update={"model": engine.model})
        reply = engine.ask(text, schema=schema, output_tokens=output_tokens, meanwhile=check)
        self.count(prompt_tokens=reply.prompt_tokens, output_tokens=reply.output_tokens)
        return reply

    def close(self) -> None:
        """Let the connections go and give the lease back. Once is enough, more does no harm."""
        self._usage = self.usage
        self._held_since = self._check = None
        if self._engine is not None:
            self._engine.close()
        self._open.close()

    def _taken(self) -> Callable[[], None]:
        if self._lease is None:
            return _nothing_to_check
        try:
            held = self._open.enter_context(self._lease())
        except LeaseLost:
            raise
        except ForgeError as error:
            # Kept, since the next question would wait as long again, and a step that has its rules goes on without.
            self.fault = ModelFault(f"the GPU lease cannot be had: {error}")
            raise self.fault from error
        self._held_since = self._clock()
        self.term = held.term
        return held.check

    def _note(self, fault: ModelFault) -> None:
        """Ask no more when the server is gone, cannot load the model, or failed too often in a row."""
        log.event(_LOG, "model.fault", logging.WARNING, fault=str(fault))
        if isinstance(fault, Unread):
            return
        self._faults_in_a_row += 1
        gone = isinstance(fault, NoServer | ModelMissing) or not self._loaded
        if gone or self._faults_in_a_row >= _PATIENCE:
            self.fault = fault


def _nothing_to_check() -> None:
    """Stand for a lease that nobody asked for."""
