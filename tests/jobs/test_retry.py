"""What becomes of a job that failed, as a table of cases."""

from __future__ import annotations

import pytest

from forge_workers.errors import BadArgs, Damaged, LeaseLost, Permanent, Snooze, Transient
from forge_workers.jobs.job import Job
from forge_workers.jobs.retry import Bury, Later, Retry, after_failure
from tests.jobs.toy_daemon import toy_row

ROW = toy_row(max_attempts=4, backoff_s=10.0, backoff_cap_s=25.0)


def job(attempt: int) -> Job:
    """Return a job at its ``attempt``."""
    return Job(id="a" * 32, worker="toy", args={}, queued_at=0.0, attempt=attempt)


@pytest.mark.parametrize("error", [Transient("x"), LeaseLost("x"), ValueError("x"), OSError("x"), KeyError("x")])
def test_a_passing_or_unknown_fault_is_tried_again_until_the_last_attempt(error: Exception) -> None:
    """The wait doubles, within its cap, and is random from nothing to all of it."""
    longest = [10.0, 20.0, 25.0]
    for attempt, wait_s in enumerate(longest, start=1):
        for share in (0.0, 0.5, 0.999):
            decision = after_failure(job(attempt), error, ROW, now=100.0, jitter=lambda share=share: share)
            assert decision == Retry(100.0 + wait_s * share)

    assert isinstance(after_failure(job(4), error, ROW, now=0.0, jitter=lambda: 0.5), Bury)


@pytest.mark.parametrize("error", [Permanent("why"), BadArgs("why"), Damaged("why")])
def test_what_would_end_the_same_way_is_buried_at_once(error: Exception) -> None:
    """With its reason."""
    assert after_failure(job(1), error, ROW, now=0.0, jitter=lambda: 0.5) == Bury("why")


def test_a_snooze_counts_no_attempt_however_often() -> None:
    """Not our turn is no failure."""
    assert after_failure(job(4), Snooze(30.0), ROW, now=100.0, jitter=lambda: 0.5) == Later(130.0)


def test_a_reason_is_one_safe_line() -> None:
    """Whatever the error says."""
    error = ValueError("a\n\x1b[31mb\u202e" + "c" * 1_000)
    decision = after_failure(job(4), error, ROW, now=0.0, jitter=lambda: 0.0)

    assert isinstance(decision, Bury)
    assert "\n" not in decision.reason
    assert "\x1b" not in decision.reason
    assert len(decision.reason) < 350


def test_ten_thousand_failures_at_once_do_not_come_back_at_once() -> None:
    """Full jitter spreads them over the whole wait: no second holds more than three times its share."""
    import random  # noqa: PLC0415

    rng = random.Random(7)
    row = toy_row(max_attempts=9, backoff_s=100.0, backoff_cap_s=100.0)
    seconds = [0] * 100
    for _ in range(10_000):
        decision = after_failure(job(1), Transient(), row, now=0.0, jitter=rng.random)
        assert isinstance(decision, Retry)
        seconds[int(decision.at)] += 1

    assert max(seconds) <= 300
