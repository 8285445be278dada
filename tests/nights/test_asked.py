"""The claim on a night: one of many takes it, none is lost, and only its run works."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from forge_workers.nights import asked
from forge_workers.nights.asked import Asked
from forge_workers.nights.policy import Plan

NIGHT = "2026-11-23"
PLAN = Plan(night=NIGHT, kind="scheduled", tells_in=NIGHT)
SKIPPED = Plan(night=NIGHT, kind="skipped", skipped={"commit_log": "it was missed"}, tells_in=NIGHT)


def no_run(_: Asked | None) -> bool:
    """Say that Dagster has no run."""
    return False


def taken(root: Path, now: float = 0.0, has_run: Callable[[Asked | None], bool] = no_run, plan: Plan = PLAN) -> str:
    """Return the claim, empty when somebody has the night."""
    found = asked.take(root, plan, now, has_run)
    return found.claim if found else ""


def test_a_night_is_taken_once(tmp_path: Path) -> None:
    """The second who asks gets nothing, and both read the same record."""
    first = taken(tmp_path)

    assert first
    assert not taken(tmp_path)
    found = asked.read(tmp_path, NIGHT)
    assert found is not None
    assert (found.claim, found.kind, found.run) == (first, "scheduled", "")


def test_a_claim_without_a_run_is_taken_over_after_the_grace(tmp_path: Path) -> None:
    """Its daemon died; one that has a run, or whose run began, is never taken over."""
    first = taken(tmp_path)

    assert not taken(tmp_path, asked.GRACE_S)
    assert not taken(tmp_path, asked.GRACE_S + 1, has_run=lambda record: record is not None)
    second = taken(tmp_path, asked.GRACE_S + 1)
    assert second not in {"", first}
    asked.begin(tmp_path, NIGHT, second, "run 2")
    assert not taken(tmp_path, 10 * asked.GRACE_S)


def test_a_claim_of_a_clock_that_was_set_back_counts_as_old(tmp_path: Path) -> None:
    """Nobody can wait for a grace that lies in the future."""
    taken(tmp_path, 1_000_000.0)

    assert taken(tmp_path, 10.0)


def test_a_night_that_a_person_began_is_not_taken(tmp_path: Path) -> None:
    """Without a record, what else is known of the night decides."""
    assert not taken(tmp_path, has_run=lambda record: record is None)
    assert asked.read(tmp_path, NIGHT) is None


def test_what_is_settled_without_a_run_stays_settled(tmp_path: Path) -> None:
    """A night that was skipped is not asked for a week later, and its reasons are kept."""
    assert taken(tmp_path, plan=SKIPPED)
    assert not taken(tmp_path, 1e6)
    assert asked.skipped(tmp_path, NIGHT) == {"commit_log": "it was missed"}
    assert asked.skipped(tmp_path, "2026-11-22") == {}


def test_only_the_run_that_holds_the_claim_works(tmp_path: Path) -> None:
    """Each of its steps may, a try of it again may; another run with the claim, or an older claim, may not."""
    old = taken(tmp_path)
    new = taken(tmp_path, asked.GRACE_S + 1)

    asked.begin(tmp_path, NIGHT, new, "run")
    asked.begin(tmp_path, NIGHT, new, "run")
    with pytest.raises(asked.Superseded):
        asked.begin(tmp_path, NIGHT, new, "another run")
    with pytest.raises(asked.Superseded):
        asked.begin(tmp_path, NIGHT, old, "run of the daemon that was asleep")


def test_a_record_that_is_gone_or_damaged_stops_no_run(tmp_path: Path) -> None:
    """Nothing then says that the run is not the one."""
    asked.begin(tmp_path, NIGHT, "a", "run")
    (tmp_path / NIGHT / "asked.json").write_text("{")

    asked.begin(tmp_path, NIGHT, "a", "run")
    assert asked.read(tmp_path, NIGHT) is None


def test_the_watch_begins_once(tmp_path: Path) -> None:
    """What was due before is no concern; a watch that began in the future has missed nothing before the present."""
    assert asked.watched_since(tmp_path, "2026-11-22") == "2026-11-22"
    assert asked.watched_since(tmp_path, NIGHT) == "2026-11-22"
    assert asked.watched_since(tmp_path, "2026-11-10") == "2026-11-09"
    (tmp_path / "watched.json").write_text("")
    assert asked.watched_since(tmp_path, NIGHT) == NIGHT


def _race(root: Path, start: Barrier, nights: list[str], out: multiprocessing.Queue[list[str]]) -> None:
    start.wait()
    plans = (Plan(night=night, kind="scheduled", tells_in=night) for night in nights)
    out.put([plan.night for plan in plans if asked.take(root, plan, 0.0, no_run)])


@pytest.mark.slow
def test_of_processes_that_take_at_once_one_has_it(tmp_path: Path) -> None:
    """Four processes ask for the same forty nights at the same moment: each night is taken once."""
    context = multiprocessing.get_context("fork")
    nights = [f"2026-{month:02d}-{day:02d}" for month in (9, 10) for day in range(1, 21)]
    start, out = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, start, nights, out), daemon=True) for _ in range(4)]
    for racer in racers:
        racer.start()
    got = [night for _ in racers for night in out.get(timeout=60)]
    for racer in racers:
        racer.join(timeout=30)

    assert sorted(got) == nights
