"""What Dagster forgets and the room it gives back, on real databases."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from forge_assets import retention
from forge_assets.instance import prepare
from forge_workers.settings import load

pytestmark = pytest.mark.slow
NOW = datetime.now(tz=UTC).timestamp()
DAY_S = 86_400


@dg.asset
def noisy() -> dg.MaterializeResult[None]:
    """Leave a large materialisation behind."""
    return dg.MaterializeResult(metadata={"text": dg.MetadataValue.md("x" * 100_000)})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as Forge makes it, with eight runs and an observation that belongs to none."""
    folder = tmp_path_factory.mktemp("made")
    home = prepare(load({"FORGE_HOME": str(folder), "FORGE_TIMEZONE": "UTC"}, cwd=folder))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for _ in range(8):
            assert dg.materialize([noisy], instance=instance).success
        instance.report_runless_asset_event(dg.AssetObservation("noisy", metadata={"text": "y" * 1_000}))
    return home


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on a copy of that home."""
    shutil.copytree(made, tmp_path / "dagster")
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        yield instance


def size(path: Path) -> int:
    """Return the bytes of all files below."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def index_of(instance: dg.DagsterInstance) -> Path:
    """Return the database that holds every asset's events."""
    return Path(instance.root_directory) / "history" / "runs" / "index.db"


def test_old_runs_go_with_their_files_and_the_room_is_given_back(kept: dg.DagsterInstance) -> None:
    """Seven runs of eight leave no file and no room behind; the one that is kept is whole."""
    home = Path(kept.root_directory)
    before = size(home)
    assert retention.forget_old_runs(kept, keep_days=60, now=NOW) == 0
    newest = kept.get_run_records(limit=1)[0].dagster_run.run_id
    half = sorted(kept.get_run_records(), key=lambda record: record.create_timestamp)[:-1]
    cut = half[-1].create_timestamp.timestamp() + 60 * DAY_S + 1e-6

    some = retention.forget_old_runs(kept, keep_days=60, now=cut, most=5)
    rest = retention.forget_old_runs(kept, keep_days=60, now=cut)
    retention.give_room_back(home)

    assert (some, some + rest) == (5, 7)
    assert [run.run_id for run in kept.get_runs()] == [newest]
    assert {path.stem for path in (home / "history" / "runs").glob("*-*.db")} == {newest}
    assert [
        path.name for path in (home / "storage").iterdir() if path.name in {r.dagster_run.run_id for r in half}
    ] == []
    assert len(kept.all_logs(newest)) > 5
    assert size(home) < before / 2, f"{before} bytes before, {size(home)} after"


def test_an_event_that_belongs_to_no_run_is_forgotten_as_well(kept: dg.DagsterInstance) -> None:
    """What sensors tell of workers, twelve a day and more, would stay for ever; the newer ones stay."""
    observed = lambda: kept.fetch_observations(dg.AssetKey("noisy"), limit=5).records  # noqa: E731

    retention.forget_old_runs(kept, keep_days=60, now=NOW + 59 * DAY_S)
    assert len(observed()) == 1
    retention.forget_old_runs(kept, keep_days=60, now=NOW + 61 * DAY_S)
    assert observed() == []


def test_a_run_that_is_not_over_is_never_forgotten(kept: dg.DagsterInstance) -> None:
    """However old it is: it may be waiting for the GPU."""
    run = kept.create_run_for_job(
        dg.define_asset_job("one").resolve(asset_graph=dg.Definitions([noisy]).resolve_asset_graph())
    )

    retention.forget_old_runs(kept, keep_days=60, now=NOW + 400 * DAY_S)

    assert [left.run_id for left in kept.get_runs()] == [run.run_id]


def test_a_database_that_was_not_made_so_is_rewritten_once(kept: dg.DagsterInstance) -> None:
    """Deleting alone gives nothing back, which is the control; after the next start it does."""
    home, index = Path(kept.root_directory), index_of(kept)
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    full = index.stat().st_size

    retention.forget_old_runs(kept, keep_days=1, now=NOW + 3 * DAY_S)
    retention.give_room_back(home)
    assert index.stat().st_size == full
    retention.let_shrink(home)
    retention.give_room_back(home)
    assert index.stat().st_size < full / 4


def test_a_database_that_somebody_writes_is_left_for_the_next_time(kept: dg.DagsterInstance) -> None:
    """Nobody waits long, nothing fails, and nothing is lost."""
    home = Path(kept.root_directory)
    retention.forget_old_runs(kept, keep_days=1, now=NOW + 3 * DAY_S)
    with closing(sqlite3.connect(index_of(kept), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        retention.give_room_back(home)
        retention.let_shrink(home)
        writer.execute("ROLLBACK")

    assert retention.give_room_back(home) > 0
