"""The way to the model for one job: under the lease that its keeper holds, or to none at all.

A row that does not ask for the GPU asks no model, so that none is ever used without the lease. Belongs here: that
choice. Does not belong here: taking the lease (``doing.py``), or how a model is asked (``forge_workers/models``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from forge_workers.jobs.order import Order, Say
from forge_workers.models.asking import Held
from forge_workers.models.cache import AnswerCache
from forge_workers.models.engine import NoServer
from forge_workers.models.gateway import Gateway, open_gateway
from forge_workers.redact import Redactor
from forge_workers.settings import Settings


def gateway_for(order: Order, settings: Settings, say: Say) -> Gateway:
    """Return the way to the model for ``order``.

    Without the lease nothing that could ask a model is even loaded: that is half of what a small job costs.

    Args:
        order: Says whether the keeper holds the lease.
        settings: Which model.
        say: Is told that the model is at work, which the keeper must hear to renew the lease.
    """
    if order.gpu:

        @contextmanager
        def lease() -> Iterator[Held]:
            yield _Kept(order.term, say)

        return open_gateway(settings, lease=lease)
    chosen = settings.models
    return Gateway(
        engine=_NoTurn(chosen.generate, order.worker) if chosen.engine == "ollama" else None,
        context_tokens=chosen.context_tokens,
        redact=Redactor(settings.secrets).text,
        cache=AnswerCache(settings.home / "cache" / "models", time.time),
        stand_by=_digest,
        lease=None,
    )


class _Kept:
    """The lease as its user sees it: the keeper renews it, and ends this process when it is lost."""

    def __init__(self, term: int | None, say: Say) -> None:
        self.term = term
        self._say = say

    def check(self) -> None:
        """Say that the work goes on."""
        self._say("the model is at work")


class _NoTurn:
    """Stands for the model server where nobody holds the lease: it is not reached, and the reason is said."""

    def __init__(self, model: str, worker: str) -> None:
        self.model = model
        self._why = f"{worker} works without the GPU lease, so it asks none"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NoServer(self._why)

    digest = load = ask = resident = parameters = _refuse

    def close(self) -> None:
        """Nothing was opened."""


def _digest(texts: Iterable[str]) -> str:
    from forge_workers.models import extractive  # noqa: PLC0415  a third of a second that few jobs need

    return extractive.digest(texts)
