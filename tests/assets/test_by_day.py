"""What Dagster runs by day, and whether its night is briefed again for it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from forge_assets import automation
from forge_assets import worker_events as events
from forge_assets.definitions import standard_steps
from forge_workers.night import BRIEFING
from forge_workers.report import Report
from forge_workers.settings import load
from tests.assets.test_worker_events import NIGHT

pytestmark = pytest.mark.slow


def test_a_daytime_run_is_briefed_only_when_its_night_was() -> None:
    """Nobody gets half a day's briefing at three; a briefing that is out is brought up to date."""
    tags = {"dagster/partition": NIGHT, events.BY_DAY: "yes"}
    chosen = frozenset({dg.AssetKey("commit_log"), dg.AssetKey("security_review")})
    run = dg.DagsterRun(job_name="night", status=dg.DagsterRunStatus.SUCCESS, tags=tags, asset_selection=chosen)

    assert isinstance(automation.brief_after(run), dg.SkipReason)
    assert isinstance(automation.brief_after(run, briefed=True), dg.RunRequest)


@dg.op
def _nothing() -> None:
    """Do nothing."""


@dg.job(name="backfill")
def some_run() -> None:
    """Succeed, without a briefing."""
    _nothing()


def test_whether_a_night_was_briefed_is_asked_of_the_store(tmp_path: Path) -> None:
    """The sensor itself, after a run that an event asked for: without a briefing, with one, with a damaged one."""
    settings = load({"FORGE_HOME": str(tmp_path)}, cwd=tmp_path)
    steps = standard_steps(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/partition": NIGHT, events.BY_DAY: "yes"}
        done = some_run.execute_in_process(instance=instance, tags=tags)

        def decided_now() -> object:
            context = dg.build_run_status_sensor_context(
                sensor_name="brief_after_success",
                dagster_event=done.get_run_success_event(),
                dagster_instance=instance,
                dagster_run=done.dagster_run,
                resources={"steps": steps},
            )
            return automation.brief_after_success(context)

        before = decided_now()
        steps.store.save(Report(asset=BRIEFING, night=NIGHT, headline="All is well."))
        after = decided_now()
        (steps.store.folder(BRIEFING, NIGHT) / "manifest.json").write_text("{")
        damaged = decided_now()

    assert isinstance(before, dg.SkipReason)
    assert isinstance(after, dg.RunRequest)
    assert after.partition_key == NIGHT
    assert isinstance(damaged, dg.RunRequest)
