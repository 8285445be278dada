"""The sensors that watch the nights: who is told of what, once, and never with a secret in it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dagster as dg
import pytest

from forge_assets import watching
from forge_assets.automation import SELF_BRIEFED
from forge_assets.watching import Failed
from forge_workers.night import BRIEFING
from forge_workers.nights import grid, policy
from forge_workers.nights.asked import Superseded
from forge_workers.nights.grid import State
from forge_workers.notices.notice import Notice
from forge_workers.report import Report
from forge_workers.settings import load
from forge_workers.store import NightStore
from tests.standins.repositories import MONDAY, synthetic

NIGHT = "2026-11-23"
#: Seven in the morning after that night, in UTC.
DUE = 1_795_503_600.0
WHOLE = dict.fromkeys(grid.ASSETS, State.DONE)


def run(run_id: str = "0" * 8, **tags: str) -> dg.DagsterRun:
    """Return a run that has failed."""
    every = {"dagster/partition": NIGHT, **{name.replace("__", "/"): value for name, value in tags.items()}}
    return dg.DagsterRun(job_name="night", run_id=run_id, status=dg.DagsterRunStatus.FAILURE, tags=every)


def alarm(*failed: Failed, **tags: str) -> watching.Alarm | None:
    """Return the alarm of a run with these failed steps."""
    return watching.alarm_of(run(**tags), failed, 3000, str)


def test_an_alarm_names_step_night_reason_and_page() -> None:
    """All that somebody needs who reads it on a phone, and the same id for the same run."""
    told = alarm(Failed("code_review", "no space left on device\nat line 3"))

    assert told is not None
    assert told.arguments["title"] == "Failed: code_review of the night 2026-11-23"
    assert told.arguments["detail"] == "no space left on device at line 3. See http://127.0.0.1:3000/runs/00000000"
    assert told.arguments["worker"] == "code_review"
    assert told.id == "run failed 00000000"


@pytest.mark.parametrize("tags", [{"dagster__will_retry": "true"}, {SELF_BRIEFED: "yes"}])
def test_a_run_that_comes_again_or_tells_itself_raises_none(tags: dict[str, str]) -> None:
    """What is tried again may yet succeed; `forge night` says what failed to whoever started it."""
    assert alarm(Failed("code_review", "no"), **tags) is None


def test_a_partition_that_an_attacker_named_is_only_text() -> None:
    """It is told as unknown, without control characters, and cut."""
    told = watching.alarm_of(run(dagster__partition="<!channel>\x1b[2J" + "x" * 500), (Failed("a", "no"),), 3000, str)

    assert told is not None
    title = str(told.arguments["title"])
    assert "an unknown night" in title
    assert "\x1b" not in title
    assert len(title) < 120


def test_a_secret_is_hidden_before_the_reason_is_cut() -> None:
    """No half of it is left where the text ends."""
    secret = "s3cr3t-" + "x" * 40
    said = "y" * 220 + " " + secret
    told = watching.alarm_of(run(), (Failed("a", said),), 3000, lambda text: text.replace(secret, "[hidden]"))

    assert told is not None
    assert "s3cr3t" not in str(told.arguments["detail"])


@pytest.mark.parametrize(
    ("changed", "now", "said"),
    [
        ({}, DUE, None),
        ({BRIEFING: State.MISSING}, DUE - 1, None),
        ({BRIEFING: State.MISSING, "code_review": State.RUNNING}, DUE, "Late: the briefing of the night 2026-11-23"),
        ({"code_review": State.RUNNING}, DUE, "Late: 1 step of the night 2026-11-23, due at 07:00"),
        ({"code_review": State.MISSING}, DUE, "Late: 1 step of the night 2026-11-23, due at 07:00"),
        ({"commit_log": State.FAILED, "code_review": State.MISSING}, DUE, None),
        (dict.fromkeys(grid.ASSETS, State.SKIPPED), DUE, None),
        (dict.fromkeys(grid.ASSETS, State.MISSING), DUE, "Late: the briefing of the night 2026-11-23"),
    ],
    ids=["whole", "not due", "no briefing", "still at work", "left out", "told of before", "skipped", "nothing"],
)
def test_a_night_is_late_when_something_is_not_made_at_its_hour(
    changed: dict[str, State], now: float, said: str | None
) -> None:
    """Not before the hour, not for what had its own alarm, and not for a night that was skipped on purpose."""
    told = watching.late_alarm(NIGHT, WHOLE | changed, DUE, "07:00", now)

    assert (told is None) == (said is None)
    assert told is None or str(told.arguments["title"]).startswith(said or "")
    assert told is None or "Not made: " in str(told.arguments["detail"])


def test_a_run_that_another_replaced_raises_none() -> None:
    """It ended at once on purpose: the night is another run's."""
    assert alarm(Failed("commit_log", str(Superseded()))) is None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home of the test's own to whoever reads the settings from the environment."""
    for name in [name for name in os.environ if name.startswith("FORGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FORGE_HOME", str(tmp_path / "forge"))
    (tmp_path / "forge").mkdir()
    return tmp_path / "forge"


def configure(home: Path, text: str) -> None:
    """Write the settings as a user does."""
    (home / "forge.toml").write_text(f'timezone = "UTC"\n{text}')
    (home / "forge.toml").chmod(0o600)


def looked(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    """Let a sensor look once."""
    found = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(found, dg.SensorResult)
    return found


def said(result: dg.SensorResult) -> str:
    """Return what the tick says on Dagster's page."""
    return (result.skip_reason.skip_message if result.skip_reason else None) or ""


def waiting(home: Path) -> list[str]:
    """Return the notices in the outbox, title and detail as one text each."""
    kept = (Notice.model_validate_json(path.read_bytes()) for path in sorted((home / "spool" / "notices").glob("0*")))
    return [f"{notice.title} | {notice.detail}" for notice in kept]


@dg.op
def breaks() -> None:
    """Fail as a library does, with a secret in its words."""
    raise ValueError("cannot log in with password: 'hunter2-hunter2' at line 7")


@dg.job
def breaking() -> None:
    """Fail."""
    breaks()


@pytest.mark.slow
def test_a_failed_run_is_told_of_once_whatever_dies(home: Path) -> None:
    """A sensor daemon that dies before its cursor is stored looks again and raises nothing new."""
    configure(home, "[dagster]\nport = 3456\n")
    with dg.DagsterInstance.ephemeral() as instance:
        first = looked(watching.night_failed, instance)
        tags = {"dagster/partition": NIGHT}
        run = breaking.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        second = looked(watching.night_failed, instance, first.cursor)
        again = looked(watching.night_failed, instance, first.cursor)
        after = looked(watching.night_failed, instance, second.cursor)

    assert [said(one) for one in (second, again, after)] == [
        "1 alarm raised",
        "0 alarms raised",
        "0 alarms raised",
    ]
    (told,) = waiting(home)
    assert told.startswith("Failed: breaks of the night 2026-11-23 | ValueError: cannot log in")
    assert told.endswith(f"See http://127.0.0.1:3456/runs/{run.run_id}")
    assert "hunter2" not in told


@pytest.mark.slow
def test_a_night_that_is_late_is_told_of_once(home: Path) -> None:
    """One alarm per night, however often the sensor looks and whatever dies; none on a Forge that is new."""
    configure(home, '[night]\nstarts_at = "00:00"\nbriefing_by = "00:01"\n')
    store = NightStore(home / "nights")
    with dg.DagsterInstance.ephemeral() as instance:
        new = looked(watching.late, instance)
        store.save(Report(asset="commit_log", night="2026-01-01", headline="long ago"))
        first = looked(watching.late, instance)
        looked(watching.late, instance)
        after = looked(watching.late, instance, first.cursor)
    night = policy.newest_due(time.time(), load().night, load().zone)
    if time.time() < policy.briefing_due_at(night, load().night, load().zone):
        pytest.skip("it is the minute between the night's beginning and its hour")

    assert said(new) == "no night was begun before: none can be late"
    assert first.cursor == night
    assert said(after) == f"the night {night} is settled"
    assert len(waiting(home)) == 1
    assert waiting(home)[0].startswith(f"Late: the briefing of the night {night}, due at 00:01 | Not made: ")


@pytest.mark.slow
def test_a_new_repository_under_a_pattern_is_told_of_once(home: Path) -> None:
    """What is watched now, what is new and what is gone, on the asset that reads it; the next look is silent."""
    synthetic(home.parent / "code" / "one", commits=2, until=MONDAY)
    configure(home, f'repositories = ["{home.parent}/code/*"]\n')
    with dg.DagsterInstance.ephemeral() as instance:
        first = looked(watching.settings_seen, instance)
        same = looked(watching.settings_seen, instance, first.cursor)
        synthetic(home.parent / "code" / "two", commits=2, until=MONDAY)
        second = looked(watching.settings_seen, instance, same.cursor)

    (told,) = second.asset_events
    assert told.asset_key == dg.AssetKey("commit_log")
    assert told.metadata["new"].value == [str(home.parent / "code" / "two")]
    assert told.metadata["watched"].value == 2
    assert not same.asset_events
    assert said(same) == "1 repository watched, as before"


@pytest.mark.parametrize("sensor", watching.SENSORS, ids=lambda sensor: sensor.name)
def test_settings_that_cannot_be_used_are_one_line_of_a_look(home: Path, sensor: dg.SensorDefinition) -> None:
    """The look says what is wrong, keeps its place, and the next one uses what is then right."""
    configure(home, 'repositories = ["relative"]\n')
    with dg.DagsterInstance.ephemeral() as instance:
        found = looked(sensor, instance, "7")

    assert "must be an absolute path or begin with ~/" in said(found)
    assert "\n" not in said(found)
    assert found.cursor is None
    assert not found.asset_events


@pytest.mark.slow
def test_an_outbox_that_cannot_be_written_keeps_the_place(home: Path) -> None:
    """The alarm comes at a later look, when the disk takes it again."""
    configure(home, "")
    (home / "spool").write_text("a file where a folder should be")
    with dg.DagsterInstance.ephemeral() as instance:
        first = looked(watching.night_failed, instance)
        breaking.execute_in_process(instance=instance, raise_on_error=False)
        refused = looked(watching.night_failed, instance, first.cursor)
        (home / "spool").unlink()
        looked(watching.night_failed, instance, first.cursor)

    assert refused.cursor is None
    assert "could not be kept in spool/notices" in said(refused)
    assert len(waiting(home)) == 1
