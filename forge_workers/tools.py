"""What a desk is handed: a request saying which stretch of time to look at, and the tools to do it with.

Belongs here: the two frozen values that the nightly asset builds from the night and a daemon from a queue job. Does not
belong here: any logic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    """

    night: str
    window: Window
    upstream: Mapping[str, Report] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """The means of one step.

    Attributes:
        settings: The user's settings.
        models: The way to the language model; counts what it costs.
        history: The reports of earlier nights.
        now: The wall clock in UTC unix seconds, only for marking when something was observed.
    """

    settings: Settings
    models: Gateway
    history: NightStore
    now: Callable[[], float]
