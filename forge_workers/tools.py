"""What a desk is handed: a request saying which stretch of time to look at, and the tools to do it with.

Belongs here: the two frozen values that the nightly asset builds from the night and a daemon from a queue job. Does not
belong here: any logic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from forge_workers.models.gateway import Gateway
from forge_workers.report import Report
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import Window


@dataclass(frozen=True)
class Request:
    """What to look at.

    Attributes:
        night: The night's key.
        window: Its stretch of time; everything is selected by it and by nothing else.
        upstream: Reports of the steps before this one, by asset; only those the desk asks for.
        publishes: Whether what is made may be told to people who did not hear of it yet; not for a night that is
            backfilled or caught up.
    """

    night: str
    window: Window
    upstream: Mapping[str, Report] = field(default_factory=dict)
    publishes: bool = True


class Enqueue(Protocol):
    """Puts a job in line for a worker."""

    def __call__(self, worker: str, args: Mapping[str, Any], *, key: str = "", by: str = "person") -> object:
        """Put it there; a second one with the same ``key`` is not taken while the first waits or runs."""


def nobody(worker: str, args: Mapping[str, Any], *, key: str = "", by: str = "person") -> object:
    """Take no job: where nobody works for anybody, as in a night."""


@dataclass(frozen=True)
class Tools:
    """The means of one step.

    Attributes:
        settings: The user's settings.
        models: The way to the language model; counts what it costs.
        history: The reports of earlier nights.
        now: The wall clock in UTC unix seconds, only for marking when something was observed.
        enqueue: Gives a job to a worker.
    """

    settings: Settings
    models: Gateway
    history: NightStore
    now: Callable[[], float]
    enqueue: Enqueue = nobody
