"""The code location as Dagster sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from forge_assets import automation, instance, retention
from forge_assets.definitions import build_defs, defs
from forge_assets.nights import NIGHTS, SETTINGS, WEEKS
from forge_assets.steps import GPU_TAG
from forge_workers.night import BRIEFING, DESKS, STEPS
from forge_workers.nights.week import WEEKLY
from forge_workers.settings import load
from forge_workers.windows import window

ROOT = Path(__file__).parents[2]
GRAPH = defs.resolve_asset_graph()
ASSETS = [key.path[-1] for key in GRAPH.materializable_asset_keys]


def test_the_definitions_load() -> None:
    """Every job, asset, resource and sensor fits together."""
    dg.Definitions.validate_loadable(build_defs())


@pytest.mark.slow
def test_dagsters_own_validation_accepts_the_code_location(tmp_path: Path) -> None:
    """What `dagster dev` would load is what `dagster definitions validate` loads."""
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "forge_assets.definitions"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FORGE_HOME": str(tmp_path / "forge")}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_nights_steps_are_the_asset_graph() -> None:
    """What the briefing tells, and in which order it waits, is what Dagster runs."""
    parents = {a: {k.path[-1] for k in GRAPH.get(dg.AssetKey(a)).parent_keys} for a in ASSETS}

    assert parents == {**{a: set(needs) for a, needs in STEPS.items()}, BRIEFING: set(STEPS), WEEKLY: {BRIEFING}}


def test_each_step_belongs_to_the_desk_of_its_group() -> None:
    """What the settings say of a desk that missed a night holds for the assets that Dagster shows in its group."""
    assert {asset: GRAPH.get(dg.AssetKey(asset)).group_name for asset in STEPS} == DESKS


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_every_asset_says_what_it_is(name: str) -> None:
    """Group, kinds, owners, a description whose first line is plain, and the night or the week as its partition."""
    node = GRAPH.get(dg.AssetKey(name))

    assert node.group_name in {"readiness", "code", "ecosystem", "knowledge", "briefing"}
    assert node.kinds
    assert node.owners
    assert node.description
    assert "`" not in node.description.splitlines()[0]
    assert node.partitions_def == (WEEKS if name == WEEKLY else NIGHTS)


def test_every_step_that_may_use_the_gpu_is_in_its_pool() -> None:
    """Between runs the pool keeps them apart, inside a run the tag does."""
    specs = {op.name: op for a in defs.assets or () if isinstance(a, dg.AssetsDefinition) for op in [a.op]}
    pooled = {name for name, op in specs.items() if op.pool == "gpu"}

    assert pooled == {"gpu_readiness", "threat_assessment", "code_review"}
    assert pooled == {name for name, op in specs.items() if GPU_TAG in op.tags}


@pytest.mark.parametrize("night", ["2026-03-29", "2026-10-25", "2026-11-23"])
def test_dagsters_partition_is_the_nights_window(night: str) -> None:
    """Both clocks agree on where a night begins and ends, also when the clocks change."""
    nights = dg.DailyPartitionsDefinition(start_date="2015-01-01", timezone="Europe/Paris", end_offset=1)
    theirs = nights.time_window_for_partition_key(night)

    assert (theirs.start.timestamp(), theirs.end.timestamp()) == window(night, ZoneInfo("Europe/Paris"))


def test_the_present_day_is_a_night_and_tomorrow_is_not() -> None:
    """A day may be briefed before it is over; one that has not begun may not."""
    noon = datetime.now(tz=UTC)
    with dg.partition_loading_context(effective_dt=noon):
        today = noon.astimezone(SETTINGS.zone).date().isoformat()

        assert NIGHTS.get_last_partition_key() == today


def ended(job: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    """Return a run as a sensor sees it."""
    return dg.DagsterRun(job_name=job, status=status, tags={k.replace("__", "/"): v for k, v in tags.items()})


@pytest.mark.parametrize(
    ("job", "status"), [("night", "FAILURE"), ("night", "CANCELED"), ("backfill", "SUCCESS"), ("backfill", "FAILURE")]
)
def test_a_briefing_follows_a_night_that_made_none(job: str, status: str) -> None:
    """Failed, stopped, or without a briefing in it: it is asked for once, and that of a backfill tells nobody."""
    run = ended(job, dg.DagsterRunStatus(status), dagster__partition="2026-11-23")

    asked = automation.brief_after(run)

    assert isinstance(asked, dg.RunRequest)
    assert (asked.partition_key, asked.run_key) == ("2026-11-23", f"briefing after {run.run_id}")
    assert (asked.tags == {"forge/quiet": "yes"}) is (job == "backfill")


def test_each_job_does_what_it_is_for() -> None:
    """The night does everything, a backfill everything but what publishes, a week only its own consolidation."""
    does = {job: {node.name for node in defs.resolve_job_def(job).nodes} for job in ("night", "backfill", "weekly")}

    assert does == {"night": {*STEPS, BRIEFING}, "backfill": set(STEPS), "weekly": {WEEKLY}}
    assert defs.resolve_job_def("weekly").partitions_def == WEEKS


@pytest.mark.parametrize(
    "run",
    [
        ended("briefing", dg.DagsterRunStatus.FAILURE, dagster__partition="2026-11-23"),
        ended("night", dg.DagsterRunStatus.SUCCESS),
        ended("night", dg.DagsterRunStatus.SUCCESS, dagster__partition="2026-11-23", forge__self_briefed="yes"),
        ended("night", dg.DagsterRunStatus.FAILURE, dagster__partition="2026-11-23", dagster__will_retry="true"),
        ended("night", dg.DagsterRunStatus.SUCCESS, dagster__partition="2026-11-23", forge__by_day="yes"),
        ended("night", dg.DagsterRunStatus.SUCCESS, dagster__partition="2026-11-23"),
        ended("weekly", dg.DagsterRunStatus.SUCCESS, dagster__partition="2026-11-22"),
    ],
    ids=["a briefing", "no night", "from the command line", "tried again first", "by day", "made it itself", "a week"],
)
def test_no_briefing_follows_what_needs_none(run: dg.DagsterRun) -> None:
    """A briefing about a briefing would never end."""
    assert isinstance(automation.brief_after(run), dg.SkipReason)


def test_no_briefing_follows_a_run_that_another_took_the_night_from() -> None:
    """It did nothing, and the one that has the night briefs it."""
    run = ended("night", dg.DagsterRunStatus.FAILURE, dagster__partition="2026-11-23", forge__claim="a")

    assert isinstance(automation.brief_after(run, superseded=True), dg.SkipReason)


def test_every_sensor_runs_from_the_start() -> None:
    """Nobody has to switch one on; what asks for runs names its job."""
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}

    assert {*sensors} == {
        "brief_after_success",
        "brief_after_failure",
        "brief_after_cancel",
        "worker_events",
        "worker_health",
        "service_health",
        "retention",
        "night_failed",
        "late",
        "settings_seen",
        "missed_nights",
        "briefing_due",
    }
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    assert [job.name for job in sensors["worker_events"].jobs] == ["night"]
    assert [job.name for job in sensors["missed_nights"].jobs] == ["night", "weekly"]


def test_dagsters_home_is_made_as_forge_needs_it(tmp_path: Path) -> None:
    """Telemetry off, run monitoring on, one GPU slot, bounded retention; a second call changes nothing."""
    settings = load({"FORGE_HOME": str(tmp_path / "h")}, cwd=tmp_path)

    home = instance.prepare(settings)
    instance.prepare(settings)

    with dg.DagsterInstance.from_config(str(home)) as made:
        assert made.telemetry_enabled is False
        assert made.run_monitoring_enabled
        assert made.event_log_storage.get_concurrency_info("gpu").slot_count == 1
        assert made.get_tick_retention_settings(dg._core.definitions.run_request.InstigatorType.SENSOR)  # type: ignore[attr-defined]
    assert home.stat().st_mode & 0o777 == 0o700


def test_old_runs_are_forgotten_and_dead_ones_ended(tmp_path: Path) -> None:
    """Sixty days are kept; a run whose process is gone no longer looks alive."""
    home = instance.prepare(load({"FORGE_HOME": str(tmp_path)}, cwd=tmp_path))
    with dg.DagsterInstance.from_config(str(home)) as made:
        night = build_defs().resolve_job_def("night")
        tags = {"forge/night": "2026-11-23"}
        run = made.create_run_for_job(night, status=dg.DagsterRunStatus.STARTED, tags=tags)

        assert retention.forget_old_runs(made, 60, datetime.now(tz=UTC).timestamp()) == 0
        assert instance.end_dead_runs(made, {"forge/night": "2026-11-22"}) == 0
        assert instance.end_dead_runs(made, {"forge/night": "2026-11-23"}) == 1
        assert made.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
        assert retention.forget_old_runs(made, 60, datetime.now(tz=UTC).timestamp() + 61 * 86_400) == 1
        assert made.get_run_by_id(run.run_id) is None
