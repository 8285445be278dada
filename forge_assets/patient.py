"""Dagster's executor, taught to wait: without this it spins a whole core while a step waits to be tried again.

When no step of a run is at work and the next may not begin yet, because of a retry's delay or a full pool, Dagster
1.13 asks again at once, thousands of times a second (measured: 20.8 CPU seconds for a delay of 15 s; 6.3 with this). A
private method of Dagster is wrapped, so the version is pinned and a test holds this against it. Belongs here: that one
wrap. Does not belong here: when a step is tried again, which is ``steps.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps

from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.step import ExecutionStep

#: Seconds between two questions; small beside a delay of minutes.
PAUSE_S = 0.25

_Ask = Callable[..., Sequence[ExecutionStep]]


def patient(ask: _Ask, sleep: Callable[[float], None] = time.sleep) -> _Ask:
    """Return ``ask`` with a pause when there is nothing to do and nothing at work."""

    @wraps(ask)
    def asking(self: ActiveExecution, limit: int | None = None) -> Sequence[ExecutionStep]:
        steps = ask(self, limit)
        if not steps and not self._in_flight and not self.is_complete:
            sleep(PAUSE_S)
        return steps

    asking.__dict__["patient"] = True
    return asking


def teach() -> None:
    """Wrap Dagster's method, once per process."""
    ask: _Ask = ActiveExecution.get_steps_to_execute
    if not getattr(ask, "patient", False):
        ActiveExecution.get_steps_to_execute = patient(ask)  # type: ignore[method-assign]
