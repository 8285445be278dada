"""What a briefing says of the nights before it: missed and caught up, left out and why, or backfilled."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.briefing.earlier_nights import sentences
from forge_workers.nights import asked, policy
from forge_workers.nights.policy import Plan
from forge_workers.report import Report
from forge_workers.settings import Settings, load
from forge_workers.store import NightStore
from forge_workers.windows import moment
from tests.briefing.examples import broken, calm
from tests.briefing.parts import NIGHT, briefing

HOUR = 3600.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings in Paris."""
    return load({"FORGE_HOME": str(tmp_path), "FORGE_TIMEZONE": "Europe/Paris"}, cwd=tmp_path)


@pytest.fixture
def store(settings: Settings) -> NightStore:
    """The store of nights."""
    return NightStore(settings.home / "nights")


def missed(store: NightStore, settings: Settings, since: str, now: float) -> list[Plan]:
    """Ask for every night that was missed since ``since``."""
    plans = policy.plans(
        present=NIGHT,
        since=since,
        missed=settings.night.missed,
        is_asked=lambda night: asked.read(store.root, night) is not None,
        is_told=lambda _: False,
    )
    return [plan for plan in plans if asked.take(store.root, plan, now, lambda _: False)]


def done_late(store: NightStore, night: str, at: float, *, whole: bool = True) -> None:
    """Keep the briefing that a night which was done late leaves."""
    told = briefing(calm() if whole else broken()).model_copy(update={"night": night, "backfilled_at": at})
    store.save(Report(asset="morning_briefing", night=night, headline="Told.", data=told.model_dump(mode="json")))


def test_missed_nights_are_told_with_what_was_skipped_and_why(store: NightStore, settings: Settings) -> None:
    """Caught up, still being caught up, and left out: in order, neighbours of one fate together."""
    now = moment("2026-11-24", "09:00", settings.zone)
    missed(store, settings, "2026-11-13", now)
    for night in ("2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"):
        done_late(store, night, now + HOUR)
    done_late(store, "2026-11-22", now + HOUR, whole=False)

    said = sentences(store, NIGHT, settings)

    assert len(said) == 4
    assert said[0] == (
        "Sat 14 Nov and Sun 15 Nov were missed and left out: "
        "the night was missed more than 7 days before anybody could do it."
    )
    assert said[1].startswith(
        "4 nights from Mon 16 Nov to Thu 19 Nov were missed and caught up; skipped: GPU readiness, "
    )
    assert "the readiness desk says only what holds now" in said[1]
    assert "evolution report (the night was missed and the ecosystem desk does only the newest" in said[1]
    assert said[2].startswith("Fri 20 Nov and Sat 21 Nov were missed and are still being caught up; skipped: ")
    assert said[3].startswith("Sun 22 Nov was missed and caught up, but ")


def test_each_night_is_told_in_one_briefing(store: NightStore, settings: Settings) -> None:
    """That of the night which was present; the next one does not tell it again, also not as backfilled."""
    now = moment("2026-11-24", "09:00", settings.zone)
    missed(store, settings, "2026-11-21", now)
    done_late(store, "2026-11-22", now + HOUR)

    assert len(sentences(store, NIGHT, settings)) == 1
    assert sentences(store, "2026-11-24", settings) == ()
    assert sentences(store, "2026-11-22", settings) == ()


@pytest.mark.parametrize(
    ("day", "hour", "told_in"),
    [("2026-11-23", "07:00", NIGHT), ("2026-11-24", "06:59", NIGHT), ("2026-11-24", "07:00", "2026-11-24")],
)
def test_a_backfilled_night_is_told_in_the_next_briefing(
    store: NightStore, settings: Settings, day: str, hour: str, told_in: str
) -> None:
    """From the hour of one briefing to the hour of the next, however often either is told again."""
    done_late(store, "2026-11-10", moment(day, hour, settings.zone))

    said = {night: sentences(store, night, settings) for night in ("2026-11-22", NIGHT, "2026-11-24")}

    assert {night for night, lines in said.items() if lines} == {told_in}
    assert said[told_in] == ("Tue 10 Nov was backfilled.",)


def test_a_damaged_briefing_tells_nothing(store: NightStore, settings: Settings) -> None:
    """It is one night less to tell of, not the end of the briefing."""
    done_late(store, "2026-11-10", moment(NIGHT, "12:00", settings.zone))
    (store.folder("morning_briefing", "2026-11-10") / "manifest.json").write_text("{")

    assert sentences(store, NIGHT, settings) == ()


def test_many_changes_are_counted(store: NightStore, settings: Settings) -> None:
    """Ten sentences at most, and how many more there are."""
    for number in range(1, 16):
        night = f"2026-10-{number:02d}"
        why = {"commit_log": f"reason {number}"}
        plan = Plan(night=night, kind="skipped", skipped=why, tells_in=NIGHT)
        asked.take(store.root, plan, 0.0, lambda _: False)

    said = sentences(store, NIGHT, settings)

    assert len(said) == 11
    assert said[-1] == "And 5 more changes to earlier nights."
