"""Databases of another Dagster: older ones are copied and migrated, newer ones are left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from forge_assets.instance import prepare
from forge_workers.errors import ConfigError
from forge_workers.settings import Settings, load

pytestmark = pytest.mark.slow
#: Dagster's revision of 2024-09, after which a column, a table and two indexes came. Source: its alembic/versions.
OLDER = "63d7a8ec641a"


@dg.asset
def thing() -> None:
    """Do nothing."""


def settings_in(home: Path) -> Settings:
    """Return settings that say nothing but where."""
    return load({"FORGE_HOME": str(home), "FORGE_TIMEZONE": "UTC"}, cwd=home)


def revisions(dagster: Path) -> set[str]:
    """Return what each database says it is."""
    return {_asked(path, "select version_num from alembic_version") for path in dagster.rglob("*.db")}


def _asked(path: Path, query: str, *values: str) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        found = connection.execute(query, values).fetchone()
    return str(found[0]) if found else ""


def stamp(dagster: Path, revision: str) -> None:
    """Make the databases say that they are of another revision."""
    for path in dagster.rglob("*.db"):
        _asked(path, "update alembic_version set version_num = ?", revision)


def test_older_databases_are_copied_and_migrated_at_the_next_start(tmp_path: Path) -> None:
    """The runs are still there, the copy is what was before, and a second start copies nothing."""
    home = prepare(settings_in(tmp_path))
    newest = revisions(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert dg.materialize([thing], instance=instance).success
    stamp(home, OLDER)
    _asked(home / "history" / "runs.db", "drop table backfill_tags")

    prepare(settings_in(tmp_path))
    prepare(settings_in(tmp_path))

    assert revisions(home) == newest
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name.startswith(f"dagster-{OLDER}-")
    assert revisions(copy) == {OLDER}
    assert {p.relative_to(copy) for p in copy.rglob("*.db")} >= {
        Path("history/runs.db"),
        Path("schedules/schedules.db"),
    }
    assert _asked(home / "history" / "runs.db", "select count(*) from backfill_tags") == "0"
    assert copy.stat().st_mode & 0o077 == 0
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        assert dg.materialize([thing], instance=instance).success


def test_databases_of_a_newer_dagster_are_refused_and_left_alone(tmp_path: Path) -> None:
    """After a roll-back of Forge alone: one line says what to do, and no byte is changed."""
    home = prepare(settings_in(tmp_path))
    stamp(home, "ffffffffffff")

    with pytest.raises(ConfigError, match=r"are of a newer Dagster than .*: install that Forge again, or put the copy"):
        prepare(settings_in(tmp_path))

    assert revisions(home) == {"ffffffffffff"}
    assert not (tmp_path / "backups").exists()
