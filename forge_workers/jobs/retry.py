"""What becomes of a job whose handler raised or whose lease did not come.

Belongs here: decisions, as values. Does not belong here: carrying them out (``daemon.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from forge_workers.catalog import Worker
from forge_workers.errors import BadArgs, ForgeError, Permanent, Snooze
from forge_workers.jobs.job import Job
from forge_workers.plain import plain


@dataclass(frozen=True)
class Retry:
    """Another attempt at ``at``, UTC unix seconds."""

    at: float


@dataclass(frozen=True)
class Later:
    """Not our turn: again at ``at``, and the attempt is not counted."""

    at: float


@dataclass(frozen=True)
class Bury:
    """No further attempt; ``reason`` is for a person."""

    reason: str


def after_failure(
    job: Job, error: BaseException, row: Worker, *, now: float, jitter: Callable[[], float]
) -> Retry | Later | Bury:
    """Decide what becomes of a job whose handler raised.

    1. ``Snooze``: later, not counted.
    2. ``Permanent`` or ``BadArgs``: another attempt would end the same way.
    3. The last attempt: no further one.
    4. Anything else, known or not: another attempt after a random time between 0 and
       ``min(cap, base * 2 ** (attempt - 1))`` seconds.

    Args:
        job: As reserved; ``job.attempt`` already counts this attempt, from 1.
        error: What the handler raised.
        row: The worker's catalogue row.
        now: Unix time in seconds.
        jitter: Returns a number in [0, 1).

    Source: full jitter, M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.
    """
    if isinstance(error, Snooze):  # 1
        return Later(now + error.delay_s)
    reason = reason_of(error)
    if isinstance(error, Permanent | BadArgs):  # 2
        return Bury(reason)
    if job.attempt >= row.max_attempts:  # 3
        return Bury(f"{reason} (attempt {job.attempt} of {row.max_attempts})")
    longest = min(row.backoff_cap_s, row.backoff_s * 2 ** min(job.attempt - 1, 32))
    return Retry(now + longest * jitter())  # 4


def reason_of(error: BaseException) -> str:
    """Say in one line what went wrong."""
    said = str(error) if isinstance(error, ForgeError) else f"{type(error).__name__}: {error}"
    return plain(said, 300)
