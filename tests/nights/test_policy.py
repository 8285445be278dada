"""What is due, what was missed, and what each desk does about it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from forge_workers.night import DESKS, STEPS
from forge_workers.nights import policy
from forge_workers.nights.policy import Plan
from forge_workers.settings_sections import Missed, NightHours

ZONE = ZoneInfo("Europe/Paris")
HOURS = NightHours()
#: The present night of most examples; a Monday.
PRESENT = "2026-11-23"
READINESS = {asset for asset, desk in DESKS.items() if desk == "readiness"}


def at(text: str) -> float:
    """Return a local moment as UTC unix seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


def plans(*asked: str, since: str = "2026-11-19", missed: Missed | None = None, told: bool = False) -> list[Plan]:
    """Decide with ``asked`` nights asked for."""
    found = policy.plans(
        present=PRESENT,
        since=since,
        missed=missed or Missed(),
        is_asked=lambda night: night in asked,
        is_told=lambda _: told,
    )
    return list(found)


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-24 00:59:59", "2026-11-22"),
        ("2026-11-24 01:00", "2026-11-23"),
        ("2026-11-24 23:59", "2026-11-23"),
        ("2026-11-25 00:30", "2026-11-23"),
    ],
)
def test_the_newest_night_that_is_due(now: str, night: str) -> None:
    """A night is due from the hour of the day after it until the next one is."""
    assert policy.newest_due(at(now), HOURS, ZONE) == night


def test_the_present_night_is_done_whole_however_late() -> None:
    """A machine that sleeps until eight every day has a whole night every day."""
    assert plans("2026-11-20", "2026-11-21", "2026-11-22") == [Plan(night=PRESENT, kind="scheduled", tells_in=PRESENT)]


def test_missed_nights_come_first_and_oldest_first() -> None:
    """Numbers and what is new are held against the night before, so that one is done before."""
    assert [(plan.night, plan.kind) for plan in plans("2026-11-21")] == [
        ("2026-11-20", "caught up"),
        ("2026-11-22", "caught up"),
        (PRESENT, "scheduled"),
    ]


def test_by_default_readiness_is_skipped_code_is_done_and_ecosystem_only_for_the_newest() -> None:
    """The defaults of the three desks, with a reason for each step that is left out."""
    first, last, _ = plans("2026-11-21")

    assert set(first.skipped) == READINESS | {"evolution_report"}
    assert set(last.skipped) == READINESS
    assert "says only what holds now" in first.skipped["health_snapshot"]
    assert "only the newest of several, 2026-11-22" in first.skipped["evolution_report"]
    assert first.assets == ("commit_log", "security_review", "code_review", "pr_digest")


@pytest.mark.parametrize(("chosen", "kind"), [("skip", "skipped"), ("run", "caught up"), ("coalesce", "coalesced")])
def test_what_all_desks_choose_names_the_night(chosen: str, kind: str) -> None:
    """Nothing to do, all to do, or the newest done instead; the newest itself is then caught up."""
    missed = Missed.model_validate({"readiness": chosen, "code": chosen, "ecosystem": chosen})
    oldest, newest, _ = plans("2026-11-21", missed=missed)

    assert (oldest.kind, set(oldest.skipped)) == (kind, set() if chosen == "run" else set(STEPS))
    assert newest.kind == ("skipped" if chosen == "skip" else "caught up")


def test_what_reads_a_skipped_step_is_skipped_with_it() -> None:
    """Without the commit log nothing stands on it; the review of code needs no measured GPU, only the log."""
    plan = plans("2026-11-20", "2026-11-21", missed=Missed(readiness="run", code="skip", ecosystem="run"))[0]

    assert set(plan.assets) == READINESS
    assert plan.skipped["evolution_report"].endswith("commit_log, which it reads, is skipped")


def test_nights_before_the_window_are_left_out_and_say_so() -> None:
    """Seven days by default: what is older is told, not done."""
    found = plans(since="2026-11-13")

    assert [plan.kind for plan in found[:2]] == ["skipped", "skipped"]
    assert found[1].night == "2026-11-15"
    assert found[2].kind == "caught up"
    assert "more than 7 days" in found[0].skipped["commit_log"]


def test_nobody_misses_what_lies_two_months_back() -> None:
    """However long a machine was off, the look goes back sixty nights."""
    assert plans(since="2020-01-01")[0].night == "2026-09-25"


def test_nights_before_the_watch_began_were_not_missed() -> None:
    """On the day Forge is installed nothing is caught up."""
    assert plans(since=PRESENT) == []


def test_a_night_missed_is_told_in_the_next_briefing() -> None:
    """That of the present night, or when that is out already the one after it."""
    assert [plan.tells_in for plan in plans("2026-11-21", PRESENT)] == [PRESENT, PRESENT]
    assert {plan.tells_in for plan in plans("2026-11-21", PRESENT, told=True)} == {"2026-11-24"}


@pytest.mark.parametrize(
    ("hours", "asked_at", "due"),
    [
        (NightHours(), None, "2026-11-24 07:00"),
        (NightHours(), "2026-11-24 01:00", "2026-11-24 07:00"),
        (NightHours(), "2026-11-24 09:00", "2026-11-24 09:30"),
        (NightHours(starts_at="22:00", briefing_by="06:00"), None, "2026-11-25 06:00"),
    ],
    ids=["not asked", "in time", "asked for late", "over midnight"],
)
def test_when_a_briefing_leaves(hours: NightHours, asked_at: str | None, due: str) -> None:
    """At its hour, or half an hour after a night that was begun only then."""
    found = policy.briefing_due_at(PRESENT, hours, ZONE, None if asked_at is None else at(asked_at))

    assert found == at(due)


@pytest.mark.parametrize(
    ("now", "facts", "leaves"),
    [
        (99.0, {"asked": True}, False),
        (100.0, {"asked": True}, True),
        (100.0, {"asked": True, "briefed": True}, False),
        (100.0, {"asked": False}, False),
        (399.0, {"asked": False, "overdue_since": 100.0}, False),
        (400.0, {"asked": False, "overdue_since": 100.0}, True),
        (50.0, {"asked": False, "overdue_since": 100.0}, False),
    ],
    ids=["early", "at work", "briefed", "just awake", "patient", "nobody asked", "the clock was set back"],
)
def test_an_edition_leaves_on_time_once(now: float, facts: dict[str, bool | float], leaves: bool) -> None:
    """With what is there when its night is at work; and without any night when nobody asks for one."""
    told = {"briefed": False, "overdue_since": None, **facts}

    assert policy.edition(night=PRESENT, due=100.0, now=now, **told).now is leaves  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hours", "now", "week"),
    [
        (NightHours(), "2026-11-22 07:59", "2026-11-08"),
        (NightHours(), "2026-11-22 08:00", "2026-11-15"),
        (NightHours(), "2026-11-28 23:59", "2026-11-15"),
        (NightHours(starts_at="22:00", briefing_by="23:30"), "2026-11-22 23:59", "2026-11-08"),
        (NightHours(starts_at="22:00", briefing_by="23:30"), "2026-11-23 00:30", "2026-11-15"),
        (NightHours(starts_at="22:00", briefing_by="06:00"), "2026-11-23 07:00", "2026-11-15"),
    ],
)
def test_a_week_is_told_an_hour_after_its_last_briefing_is_due(hours: NightHours, now: str, week: str) -> None:
    """On Sunday, or on Monday when the night of Saturday is told only then."""
    assert policy.newest_week(at(now), hours, ZONE) == week
