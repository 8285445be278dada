"""400 nights over changes of the clocks, clock steps, sleeps, dead and stopped daemons: exactly one run each."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from forge_assets.asking import Asking, request_of
from forge_workers.nights.asked import Asked
from forge_workers.nights.policy import Plan
from forge_workers.settings import Settings, load
from forge_workers.store import NightStore
from tests.nights.simulated import Ask, Machine, nights_from

pytestmark = pytest.mark.slow

#: Zone, hour to begin, and a first night 20 nights before each change of its clocks.
PLACES = [
    ("Europe/Paris", "02:30", "2026-03-08"),
    ("Europe/Paris", "02:30", "2026-10-04"),
    ("America/New_York", "01:30", "2026-02-15"),
    ("America/New_York", "01:30", "2026-10-11"),
    ("Australia/Lord_Howe", "02:00", "2026-03-15"),
    ("Australia/Lord_Howe", "02:00", "2026-09-13"),
    ("America/Santiago", "00:30", "2026-03-14"),
    ("America/Santiago", "00:30", "2026-08-16"),
    ("Pacific/Auckland", "23:30", "2026-03-15"),
    ("Pacific/Auckland", "23:30", "2026-09-06"),
]
NIGHTS = 40


def settings(home: Path, zone: str, hour: str) -> Settings:
    """Return settings by which every desk does missed nights, however long ago."""
    environ = {
        "FORGE_HOME": str(home),
        "FORGE_TIMEZONE": zone,
        "FORGE_NIGHT_STARTS_AT": hour,
        "FORGE_NIGHT_MISSED_WINDOW_DAYS": "60",
    }
    return load(environ, cwd=home)


def played(
    home: Path, place: tuple[str, str, str], ask: Ask = Asking, *, fenced: bool = True, nights: int = NIGHTS
) -> Machine:
    """Live through the nights of one place."""
    zone, hour, first = place
    home.mkdir(exist_ok=True)
    machine = Machine(settings(home, zone, hour), home / "nights", random.Random(first), ask, fenced)
    machine.play(first, nights)
    return machine


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]} {place[2]}")
def test_each_night_is_run_once(tmp_path: Path, place: tuple[str, str, str]) -> None:
    """Whatever happens to clock, machine and daemons; what is asked for too often ends before its first step."""
    machine, nights = played(tmp_path, place), nights_from(place[2], NIGHTS)

    assert {night: machine.worked[night] for night in nights} == dict.fromkeys(nights, 1)


class NoClaim(Asking):
    """A control: nothing is written down, only Dagster is asked."""

    def _take(self, plan: Plan) -> dg.RunRequest | None:
        claimed = Asked(night=plan.night, kind=plan.kind, at=self.now, claim=str(self.now), tells_in=plan.tells_in)
        request = request_of(claimed, plan)
        return request if claimed.wants_run else None


def never_again(home: Settings, store: NightStore, instance: dg.DagsterInstance, now: float) -> Asking:
    """A control: a claim is for ever, also when its daemon died over it."""
    return replace(Asking(home, store, instance, now), grace_s=float("inf"))


def test_the_simulation_catches_a_night_without_a_claim(tmp_path: Path) -> None:
    """Two daemons that only look into Dagster both see nothing, and a night is run twice."""
    machine = played(tmp_path, PLACES[0], NoClaim, fenced=False, nights=10)

    assert max(machine.worked.values()) > 1


def test_the_simulation_catches_a_claim_without_grace(tmp_path: Path) -> None:
    """A daemon dies between its claim and its run, and the night is lost."""
    machine = played(tmp_path, PLACES[0], never_again)

    assert any(machine.worked[night] == 0 for night in nights_from(PLACES[0][2], NIGHTS))


def test_the_simulation_catches_runs_that_do_not_look(tmp_path: Path) -> None:
    """A daemon that was stopped between its claim and its run goes on, and a night is run twice."""
    played_out = [played(tmp_path / str(n), place, fenced=False) for n, place in enumerate(PLACES[:3])]

    assert max(count for machine in played_out for count in machine.worked.values()) > 1


def test_the_faults_do_happen(tmp_path: Path) -> None:
    """Some runs are asked for too often, and end before their first step: the nights above are no easy ones."""
    assert sum(played(tmp_path, PLACES[0]).ended.values()) > 0
