"""Whole nights as schedule and sensors ask for them, run by Dagster in this process, down to what the briefing says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest

from forge_assets import run_tags
from forge_assets.asking import Asking, weeks_of
from forge_assets.definitions import build_defs, standard_steps
from forge_assets.steps import Steps
from forge_workers import redis_server
from forge_workers.briefing.model import Briefing, Level
from forge_workers.briefing.morning import briefing_of
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import asked
from forge_workers.nights.week import WEEKLY
from forge_workers.settings import load
from forge_workers.windows import moment
from tests.standins.nights import SUNDAY
from tests.standins.repositories import HOUR, MONDAY, synthetic

pytestmark = pytest.mark.slow

FRIDAY, SATURDAY = "2026-02-27", "2026-02-28"


@dataclass
class Home:
    """One Forge, its Dagster, and a clock that is set by hand."""

    steps: Steps
    instance: dg.DagsterInstance

    def at(self, day: str, hour: str) -> Home:
        """Set the clock."""
        now = moment(day, hour, self.steps.settings.zone)
        self.steps = replace(self.steps, now=lambda: now)
        return self

    def asks(self) -> list[dg.RunRequest]:
        """Return what is to be asked for now."""
        return Asking(self.steps.settings, self.steps.store, self.instance, self.steps.now()).due()

    def runs(self, request: dg.RunRequest) -> bool:
        """Run what was asked for; say whether all of it succeeded."""
        tags = dict(request.tags)
        return self.does(request.job_name or "night", str(request.partition_key), request.asset_selection, **tags)

    def does(self, job: str, night: str, chosen: list[dg.AssetKey] | None = None, **tags: str) -> bool:
        """Run a job of one night."""
        whole = build_defs(self.steps).resolve_job_def(job)
        parts = frozenset(chosen) if chosen else None
        some = whole.get_subset(asset_selection=parts, asset_check_selection=frozenset()) if parts else whole
        done = some.execute_in_process(instance=self.instance, partition_key=night, tags=tags, raise_on_error=False)
        return done.success

    def told(self, night: str) -> Briefing:
        """Return the briefing of a night."""
        report = self.steps.store.load(BRIEFING, night)
        assert report is not None
        found = briefing_of(report)
        assert found is not None
        return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A Forge that watches one repository, asks no model, and has been watching since Thursday."""
    repo = synthetic(tmp_path / "app", commits=40, until=MONDAY - HOUR, days=4)
    environ = {
        "FORGE_HOME": str(tmp_path / "forge"),
        "FORGE_REPOSITORIES": str(repo.path),
        "FORGE_TIMEZONE": "UTC",
        "FORGE_MODELS_ENGINE": "extractive",
    }
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        one = Home(standard_steps(load(environ, cwd=tmp_path)), instance)
        asked.watched_since(one.steps.store.root, "2026-02-26")
        try:
            yield one
        finally:
            redis_server.stop(one.steps.settings.home)


def test_missed_nights_are_caught_up_and_the_next_briefing_says_so(home: Home) -> None:
    """Two nights slept through: their code is done, the rest is skipped with its reason, and both are told once."""
    requests = home.at("2026-03-02", "09:00").asks()
    assert [request.partition_key for request in requests] == [FRIDAY, SATURDAY, SUNDAY]
    assert all(tuple(home.runs(request) for request in requests))

    friday, sunday = home.told(FRIDAY), home.told(SUNDAY)
    states = {line.asset: line.outcome for line in friday.steps}
    assert {asset for asset, state in states.items() if state == "skipped" and "review" not in asset} >= {
        "gpu_readiness", "health_snapshot", "threat_assessment", "evolution_report"}  # fmt: skip
    assert states["commit_log"] == "ran"
    assert any("says only what holds now" in short.why for short in friday.shortfalls)
    assert not any(short.kind in {"missing", "failed"} for short in friday.shortfalls)
    assert friday.backfilled_at is not None
    assert sunday.backfilled_at is None
    assert [line.split(";")[0] for line in sunday.caught_up] == [
        "Fri 27 Feb was missed and caught up", "Sat 28 Feb was missed and caught up"]  # fmt: skip
    assert (home.asks(), friday.caught_up) == ([], ())


def test_an_edition_leaves_while_the_night_is_at_work_and_a_second_follows(home: Home) -> None:
    """What is there is told, the rest is named and no failure; with the rest a second edition follows, and no third."""
    home.at("2026-03-02", "01:00")
    assert home.does("night", SUNDAY, [dg.AssetKey("commit_log")])
    at_work = dg.DagsterRun(job_name="night", status=dg.DagsterRunStatus.STARTED, tags={run_tags.PARTITION: SUNDAY})
    home.instance.add_run(at_work)
    assert home.at("2026-03-02", "07:00").does("briefing", SUNDAY)
    first = home.told(SUNDAY)
    home.instance.delete_run(at_work.run_id)
    assert home.at("2026-03-02", "08:00").does("night", SUNDAY)
    second = home.told(SUNDAY)
    assert home.does("briefing", SUNDAY)

    assert (first.edition, set(first.at_work)) == (1, set(STEPS) - {"commit_log"})
    assert not any(short.kind in {"missing", "failed"} for short in first.shortfalls)
    assert first.verdict.level is Level.INCOMPLETE
    assert (second.edition, second.at_work) == (2, ())
    assert home.told(SUNDAY).edition == 2


def test_a_night_that_nobody_began_is_told_so(home: Home) -> None:
    """The briefing goes out all the same, and names the cause."""
    assert home.at("2026-03-02", "07:05").does("briefing", SUNDAY)

    told = home.told(SUNDAY)
    assert told.verdict.level is Level.INCOMPLETE
    assert {short.why for short in told.shortfalls if short.assets == ("commit_log",)} == {"nobody began the night"}


def test_a_backfilled_night_is_named_by_the_next_briefing(home: Home) -> None:
    """The job `backfill` does every step and tells nobody; its briefing, asked for after it, is told on its pages."""
    assert home.at("2026-03-01", "12:00").does("backfill", FRIDAY)
    assert home.steps.store.load(BRIEFING, FRIDAY) is None
    assert home.does("briefing", FRIDAY, None, **{run_tags.QUIET: "yes"})
    assert home.at("2026-03-02", "01:00").does("night", SUNDAY)

    assert home.told(FRIDAY).backfilled_at is not None
    assert home.told(SUNDAY).caught_up == ("Fri 27 Feb was backfilled.",)


def test_a_week_is_kept_beside_the_nights(home: Home) -> None:
    """Its key is its Sunday; no list of nights holds it, and its reports are Dagster's materialisation."""
    assert home.at("2026-03-01", "01:00").does("night", SATURDAY)
    before = home.steps.store.all_nights()
    assert home.at("2026-03-01", "08:00").does("weekly", "2026-02-22")

    report = weeks_of(home.steps.store).load(WEEKLY, "2026-02-22")
    assert report is not None
    assert report.numbers["nights_missing"] == 6.0
    assert report.data["nights"] == {
        **dict.fromkeys((f"2026-02-{day}" for day in range(22, 28)), "missing"),
        SATURDAY: "degraded",
    }
    assert home.steps.store.all_nights() == before
