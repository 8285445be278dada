"""The queue's storm in its short form, and the broken queues that a storm must see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.queue_storm import SHORT, SMALL, storm
from tests.jobs import broken

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_storm_loses_no_job_and_leaves_each_in_one_place(tmp_path: Path) -> None:
    """A hundred thousand jobs under kills, stops, server crashes and lost replies: one effect each, none lost."""
    figures = storm(SHORT, tmp_path / "forge")
    print(figures.table())  # noqa: T201  shown, with its seed, when the test fails
    assert figures.findings == []
    assert figures.effects >= figures.jobs_taken >= SHORT.jobs - SHORT.producer_kills
    assert figures.workers_killed >= 200
    assert figures.workers_killed_in_a_job > 50
    assert figures.redis_killed >= 10
    assert figures.replies_cut == SHORT.cuts
    assert figures.workers_stopped_past_the_ttl > 0
    assert figures.outcomes_refused > 0
    assert figures.workers_ended_by_themselves <= figures.workers_stopped_past_the_ttl
    assert figures.jobs_spooled > 0
    assert figures.dead_letters_requeued > 0


def test_a_small_storm_finds_nothing_in_a_sound_queue(tmp_path: Path) -> None:
    """What catches the broken queues below lets the sound one pass."""
    assert storm(SMALL, tmp_path / "forge").findings == []


@pytest.mark.parametrize("flaw", [flaw for flaw in broken.FLAWS if flaw])
def test_a_storm_sees_every_broken_queue(tmp_path: Path, flaw: str) -> None:
    """Each queue that is broken on purpose is caught within three small storms."""
    assert any(storm(replace(SMALL, flaw=flaw), tmp_path / f"forge-{run}").findings for run in range(3))
