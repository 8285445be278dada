"""What happens by the clock, by Dagster's own schedules and sensors: each night once, and the briefing on time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator

from forge_assets import run_tags, schedules
from forge_assets.asking import Asking
from forge_assets.automation import brief_after_failure
from forge_assets.definitions import defs, standard_steps
from forge_assets.steps import Steps
from forge_workers import attempt
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import asked, policy
from forge_workers.report import Outcome, Receipt, Report
from forge_workers.settings import Settings, load

#: Each opens databases of Dagster.
pytestmark = pytest.mark.slow

NIGHT = "2026-11-23"
REPOSITORY = defs.get_repository_def()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster of the test's own."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A Dagster without any run, for many tests."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


def settings(home: Path, **environ: str) -> Settings:
    """Return settings in Paris."""
    return load({"FORGE_HOME": str(home), "FORGE_TIMEZONE": "Europe/Paris", **environ}, cwd=home)


def at(text: str, chosen: Settings) -> float:
    """Return a local moment as UTC unix seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=chosen.zone).timestamp()


def steps(chosen: Settings, now: str | float) -> Steps:
    """Return steps whose clock says ``now``."""
    moment = at(now, chosen) if isinstance(now, str) else now
    return replace(standard_steps(chosen), now=lambda: moment)


def ticked(instance: dg.DagsterInstance, one: Steps, tick_at: float) -> list[dg.RunRequest]:
    """Let the schedule tick."""
    moment = datetime.fromtimestamp(tick_at, one.settings.zone)
    schedule = schedules.nightly(one.settings)
    with dg.build_schedule_context(instance, moment, resources={"steps": one}, repository_def=REPOSITORY) as context:
        return list(schedule.evaluate_tick(context).run_requests or ())


def sensed(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, one: Steps, cursor: str | None = None
) -> dg.SensorResult:
    """Let a sensor look once."""
    context = dg.build_sensor_context(instance, cursor=cursor, resources={"steps": one})
    found = sensor(context)
    assert isinstance(found, dg.SensorResult)
    return found


def begun(instance: dg.DagsterInstance, chosen: Settings) -> None:
    """Let the schedule tick on time, and the run it asks for begin."""
    watched(steps(chosen, 0.0), "2026-11-22")
    (request,) = ticked(instance, steps(chosen, "2026-11-24 01:00:01"), at("2026-11-24 01:00", chosen))
    tags = {**request.tags, run_tags.PARTITION: NIGHT}
    instance.add_run(dg.DagsterRun(job_name="night", status=dg.DagsterRunStatus.STARTED, tags=tags))


def runs_of(found: dg.SensorResult) -> list[dg.RunRequest]:
    """Return what a sensor asked for."""
    return list(found.run_requests or ())


def watched(one: Steps, since: str) -> None:
    """Say that somebody has kept watch since ``since`` was due."""
    asked.watched_since(one.store.root, since)


@pytest.mark.parametrize("hour", ["01:00", "02:30", "03:00", "23:30", "00:00"])
@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Paris", "2026-03-26"),
        ("Europe/Paris", "2026-10-22"),
        ("America/New_York", "2026-03-05"),
        ("America/New_York", "2026-10-29"),
        ("Australia/Lord_Howe", "2026-04-02"),
        ("Australia/Lord_Howe", "2026-10-01"),
        ("America/Havana", "2026-03-05"),
        ("America/Havana", "2026-10-29"),
    ],
)
def test_each_night_ticks_once_when_the_clocks_change(
    tmp_path: Path, quiet: dg.DagsterInstance, zone: str, first: str, hour: str
) -> None:
    """Every tick that Dagster's own cron makes over a change of the clocks asks for one night, and none is left out."""
    chosen = settings(tmp_path, FORGE_TIMEZONE=zone, FORGE_NIGHT_STARTS_AT=hour)
    begin = at(first, chosen)
    ticks = cron_string_iterator(begin, schedules.nightly(chosen).cron_schedule, zone)  # type: ignore[arg-type]
    found = []
    for _, tick in zip(range(6), ticks, strict=False):
        found += ticked(quiet, steps(chosen, tick.timestamp() + 2), tick.timestamp())
        found += ticked(quiet, steps(chosen, tick.timestamp() + 4), tick.timestamp())

    assert [request.partition_key for request in found] == [policy.days_after(first, n) for n in range(-1, 5)]


def test_a_tick_asks_for_the_whole_night_with_its_claim(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The day just ended, every step and the briefing; the run carries what the record says."""
    chosen = settings(tmp_path)
    (request,) = ticked(instance, steps(chosen, "2026-11-24 01:00:01"), at("2026-11-24 01:00", chosen))

    record = asked.read(tmp_path / "nights", NIGHT)
    assert record is not None
    assert (request.partition_key, request.asset_selection, request.job_name) == (NIGHT, None, "night")
    assert request.tags[run_tags.CLAIM] == record.claim
    assert record.kind == "scheduled"


def test_a_late_tick_follows_the_policy_of_missed_nights(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Dagster makes up for a tick two days later: the night is caught up, quietly and without a look at the machine."""
    chosen = settings(tmp_path)
    (request,) = ticked(instance, steps(chosen, "2026-11-26 09:00"), at("2026-11-24 01:00", chosen))

    assert request.partition_key == NIGHT
    assert request.tags[run_tags.QUIET] == "yes"
    chosen_assets = {key.path[-1] for key in request.asset_selection or ()}
    assert chosen_assets == {"commit_log", "security_review", "code_review", "pr_digest", BRIEFING}


def test_missed_nights_are_asked_for_oldest_first_and_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """After a long sleep: what lies in the window, then the present night; a second look finds nothing to ask for."""
    one = steps(settings(tmp_path), "2026-11-24 09:00")
    watched(one, "2026-11-13")
    found = runs_of(sensed(schedules.missed_nights, instance, one))
    nights = [request for request in found if request.job_name == "night"]

    assert [request.partition_key for request in nights] == [f"2026-11-{day}" for day in range(16, 24)]
    assert run_tags.QUIET not in nights[-1].tags
    assert [r.partition_key for r in found if r.job_name == "weekly"] == ["2026-11-15"]
    assert runs_of(sensed(schedules.missed_nights, instance, one)) == []
    left_out = asked.read(one.store.root, "2026-11-14")
    assert left_out is not None
    assert left_out.kind == "skipped"


def test_on_the_first_day_nothing_was_missed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Forge was installed at noon: its first night is the one to come, and no briefing is due."""
    one = steps(settings(tmp_path), "2026-11-24 12:00")

    assert runs_of(sensed(schedules.missed_nights, instance, one)) == []
    assert runs_of(sensed(schedules.briefing_due, instance, one)) == []
    later = steps(one.settings, "2026-11-25 01:02")
    assert [r.partition_key for r in runs_of(sensed(schedules.missed_nights, instance, later))] == ["2026-11-24"]


def test_a_night_by_hand_is_not_asked_for(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """`forge night` after the day counts, one before the day was over does not."""
    one = steps(settings(tmp_path), "2026-11-24 01:00:01")
    watched(one, "2026-11-22")
    for began, asks in (("2026-11-23 18:00", 1), ("2026-11-24 00:30", 0)):
        noted = attempt.Attempt(name="a", settings="s", started_at=at(began, one.settings), pid=1, finished=True)
        attempt.write(one.store.root, NIGHT, noted)
        (one.store.root / NIGHT / "asked.json").unlink(missing_ok=True)
        assert len(ticked(instance, one, at("2026-11-24 01:00", one.settings))) == asks


def test_a_whole_night_launched_by_a_person_is_not_asked_for(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """From Dagster's pages: a run of every step counts, one of a single step does not."""
    chosen = settings(tmp_path)
    asking = Asking(chosen, steps(chosen, 0.0).store, instance, at("2026-11-24 02:00", chosen))
    part = dg.DagsterRun(
        job_name="night", tags={run_tags.PARTITION: "2026-11-20"}, asset_selection=frozenset({dg.AssetKey("pr_digest")})
    )
    whole = dg.DagsterRun(job_name="night", tags={run_tags.PARTITION: "2026-11-21"})
    for run in (part, whole):
        instance.add_run(run)

    assert not asking.is_asked("2026-11-20")
    assert asking.is_asked("2026-11-21")


def test_a_run_that_never_reached_the_queue_is_asked_for_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The daemon died between making the run and queueing it: the night is taken over and the dead run canceled."""
    now = time.time()  # Dagster dates its runs by it
    noon = datetime.fromtimestamp(now - 12 * 3600, ZoneInfo("Europe/Paris"))
    chosen = settings(tmp_path, FORGE_NIGHT_STARTS_AT=f"{noon:%H:%M}")
    one = steps(chosen, now)
    night = policy.newest_due(now, chosen.night, chosen.zone)
    watched(one, policy.days_after(night, -1))
    (request,) = [r for r in runs_of(sensed(schedules.missed_nights, instance, one)) if r.job_name == "night"]
    dead = dg.DagsterRun(job_name="night", tags={**request.tags, run_tags.PARTITION: night})
    instance.add_run(dead)
    young = runs_of(sensed(schedules.missed_nights, instance, steps(chosen, now + 200)))
    old = runs_of(sensed(schedules.missed_nights, instance, steps(chosen, now + 400)))

    assert young == []
    assert [r.partition_key for r in old] == [night]
    assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.CANCELED  # type: ignore[union-attr]


def report(asset: str, chosen: Settings, when: str) -> Report:
    """Return a report that began at ``when``."""
    receipt = Receipt(asset=asset, night=NIGHT, outcome=Outcome.RAN, started_at=at(when, chosen), seconds=1.0)
    return Report(asset=asset, night=NIGHT, headline="Done.", receipt=receipt)


def test_the_briefing_leaves_at_its_hour_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """While the night is at work: not before the hour, then with what is there, and not again when it is out."""
    chosen = settings(tmp_path)
    begun(instance, chosen)

    early = sensed(schedules.briefing_due, instance, steps(chosen, "2026-11-24 06:59"))
    due = sensed(schedules.briefing_due, instance, steps(chosen, "2026-11-24 07:00"))
    assert (runs_of(early), [r.partition_key for r in runs_of(due)]) == ([], [NIGHT])
    steps(chosen, 0.0).store.save(report(BRIEFING, chosen, "2026-11-24 07:01"))
    assert runs_of(sensed(schedules.briefing_due, instance, steps(chosen, "2026-11-24 07:05"))) == []


def test_a_night_that_nobody_began_is_briefed_too(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Somebody switched the schedule off: five minutes after the hour a briefing says so; a daemon that woke waits."""
    chosen = settings(tmp_path)
    watched(steps(chosen, 0.0), "2026-11-22")
    first = sensed(schedules.briefing_due, instance, steps(chosen, "2026-11-24 07:00"))
    second = sensed(schedules.briefing_due, instance, steps(chosen, "2026-11-24 07:04"), first.cursor)
    third = sensed(schedules.briefing_due, instance, steps(chosen, "2026-11-24 07:06"), second.cursor)
    awake = sensed(
        schedules.briefing_due, instance, steps(chosen, "2026-11-24 10:00"), '{"night": "2026-11-20", "since": 1}'
    )

    assert [len(runs_of(one)) for one in (first, second, third, awake)] == [0, 0, 1, 0]
    assert json.loads(str(second.cursor)) == json.loads(str(first.cursor))


def test_an_edition_that_is_being_made_is_not_asked_for_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Nor one that was tried three times for nothing."""
    chosen = settings(tmp_path)
    begun(instance, chosen)
    late = steps(chosen, "2026-11-24 08:00")
    tags, asked_for = {run_tags.PARTITION: NIGHT}, []
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE):
        asked_for.append([r.run_key for r in runs_of(sensed(schedules.briefing_due, instance, late))])
        instance.add_run(dg.DagsterRun(job_name="briefing", status=status, tags=tags))

    assert asked_for == [[f"edition of {NIGHT} 0"], [f"edition of {NIGHT} 1"], []]


def test_each_week_is_told_once_when_the_clocks_change(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Every Sunday at eight, the week that ended: the key is the Sunday before."""
    chosen = settings(tmp_path)
    watched(steps(chosen, 0.0), "2026-03-10")
    schedule = schedules.weekly_schedule(chosen)
    found = []
    for day in ("2026-03-22", "2026-03-29", "2026-04-05"):
        moment = datetime.fromisoformat(f"{day} 08:00").replace(tzinfo=chosen.zone)
        for late in (1, 2):
            one = steps(chosen, (moment + timedelta(seconds=late)).timestamp())
            with dg.build_schedule_context(
                instance, moment, resources={"steps": one}, repository_def=REPOSITORY
            ) as context:
                found += [r.partition_key for r in schedule.evaluate_tick(context).run_requests or ()]

    assert schedule.cron_schedule == "0 8 * * 0"
    assert found == ["2026-03-15", "2026-03-22", "2026-03-29"]


@dg.op
def _fails() -> None:
    raise RuntimeError


@dg.job(name="night")
def _failing() -> None:
    """Fail."""
    _fails()


def test_a_run_that_lost_its_night_is_not_briefed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The record names another asking: the run that answers it makes the briefing."""
    one = steps(settings(tmp_path), "2026-11-24 01:00:01")
    ticked(instance, one, at("2026-11-24 01:00", one.settings))
    record = asked.read(one.store.root, NIGHT)
    assert record is not None

    def after(claim: str) -> object:
        tags = {run_tags.PARTITION: NIGHT, run_tags.CLAIM: claim}
        done = _failing.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="brief_after_failure",
            dagster_event=done.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=done.dagster_run,
            resources={"steps": one},
        )
        return brief_after_failure(context)

    assert isinstance(after("an older one"), dg.SkipReason)
    assert isinstance(after(record.claim), dg.RunRequest)
    assert set(STEPS) <= run_tags.parts_of(dg.DagsterRun(job_name="night"))
