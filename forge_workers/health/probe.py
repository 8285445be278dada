"""One look at one thing: what it may use, what it may say, and how long anybody waits for it.

Belongs here: the deadline, and turning whatever happens into a check. Does not belong here: what is looked at
(``probes.py``, ``doctor.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from forge_workers.errors import ForgeError
from forge_workers.health.checks import Check, Gauge, Snapshot, Status
from forge_workers.redact import Redactor
from forge_workers.tools import Tools

#: Seconds after the end of the window from which on a look tells nothing of that night any more: a night and a half.
STALE_S = 36 * 3600


@dataclass(frozen=True)
class Scene:
    """What a probe may look with.

    Attributes:
        tools: The means of the step.
        night: The night that is asked about.
        now: When the look began, UTC unix seconds.
        earlier: The looks of the nights before, newest first, at least half a day apart.
    """

    tools: Tools
    night: str
    now: float
    earlier: tuple[Snapshot, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a probe saw: a value to judge, or a fact that settles the status without one.

    Attributes:
        value: In the gauge's unit; None when there is no number.
        detail: What was seen, in words that can stand without the value.
        status: Set when the fact settles it; None leaves it to the gauge's limits.
    """

    value: float | None = None
    detail: str = ""
    status: Status | None = None


@dataclass(frozen=True)
class Probe:
    """A gauge with the way to its value.

    Attributes:
        gauge: Judges the value.
        look: Obtains it; may raise anything.
        deadline_s: Seconds after which nobody waits for it any more.
    """

    gauge: Gauge
    look: Callable[[Scene], Reading]
    deadline_s: float


def observe(probe: Probe, scene: Scene) -> Check:
    """Look once and judge.

    The look has a thread of its own that nobody waits for after the deadline: a hung network volume cannot be
    interrupted, only left behind.

    Returns:
        The check; ``unknown`` with the reason when the look raised, hung or saw nothing.
    """
    seen: list[Reading | Exception] = []

    def look() -> None:
        try:
            seen.append(probe.look(scene))
        except Exception as error:  # noqa: BLE001 - whatever a source throws at a probe is a fact about that source
            seen.append(error)

    thread = threading.Thread(target=look, name=f"probe-{probe.gauge.name}", daemon=True)
    thread.start()
    thread.join(probe.deadline_s)
    reading = seen[0] if seen else TimeoutError(f"no answer within {probe.deadline_s:g} s")
    if isinstance(reading, Exception):
        return probe.gauge.unknown(told(reading, scene))
    if reading.status is not None:
        return probe.gauge.settled(reading.status, reading.detail, reading.value)
    if reading.value is None:
        return probe.gauge.unknown(reading.detail or "it gave no value")
    return probe.gauge.judge(reading.value, reading.detail)


def told(error: Exception, scene: Scene) -> str:
    """Say what went wrong; our own errors are sentences already, others need their type beside them."""
    message = str(error) if isinstance(error, ForgeError | TimeoutError) else f"{type(error).__name__}: {error}"
    return Redactor(scene.tools.settings.secrets).text(message)
