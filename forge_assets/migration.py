"""Dagster's databases brought to what the installed Dagster expects: ``python -m forge_assets.migration``.

Files of SQLite are copied aside and then migrated by whoever starts first after an upgrade, so that the next night
runs. A PostgreSQL may have other users and its copy is its owner's business: nothing is started until the owner has
asked for the migration. Databases of a newer Dagster are never touched. Belongs here: that decision and those acts.
Does not belong here: Forge's own reports, which have no schema to migrate.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import dagster as dg
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from dagster._core.storage import sql

from forge_workers.errors import ConfigError, ForgeError
from forge_workers.log import event

_log = logging.getLogger(__name__)
#: What a PostgreSQL's owner types.
COMMAND = "python -m forge_assets.migration"


def bring_up_to_date(instance: dg.DagsterInstance, home: Path, *, asked: bool) -> bool:
    """Migrate the databases if they are behind; return whether they were.

    Args:
        instance: On them.
        home: ``FORGE_HOME``; copies of SQLite files go to ``backups`` in it.
        asked: Whether somebody asked for it, knowing that a PostgreSQL is not copied aside.

    Raises:
        ConfigError: They are of a newer Dagster, or they are behind in a PostgreSQL and nobody asked.
        OSError: There is no room for the copy; nothing was migrated.
    """
    behind = _behind(instance)
    if behind is None:
        return False
    files = sorted(Path(instance.root_directory).rglob("*.db"))
    on_sqlite = not _is_postgres(instance)
    if not on_sqlite and not asked:
        raise ConfigError(f"Dagster's tables are of an older version: copy them with pg_dump, then run {COMMAND}")
    if on_sqlite:
        copy = _copied(files, Path(instance.root_directory), home / "backups" / f"dagster-{behind}-{int(time.time())}")
        event(_log, "dagster.migrating", since=behind, files=len(files), copy=copy)
    instance.upgrade()
    instance.reindex()
    event(_log, "dagster.migrated", since=behind)
    return True


def _behind(instance: dg.DagsterInstance) -> str | None:
    """Return the revision of the databases if it is not the newest one.

    Raises:
        ConfigError: It is none that this Dagster knows, so a newer one made it.
    """
    stores = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    versions = [store.alembic_version() for store in stores if store is not None]
    for current, newest in (version for version in versions if version is not None):
        if current is None or current == newest:
            continue
        try:
            ScriptDirectory(str(Path(sql.__file__).parent / "alembic")).get_revision(current)
        except CommandError:
            raise ConfigError(
                f"Dagster's databases (revision {current}) are of a newer Dagster than {dg.__version__}: "
                "install that Forge again, or put the copy from backups in FORGE_HOME back"
            ) from None
        return str(current)
    return None


def _is_postgres(instance: dg.DagsterInstance) -> bool:
    return "Postgres" in type(instance.run_storage).__name__


def _copied(files: list[Path], root: Path, to: Path) -> Path:
    """Copy databases, each as of one moment though others write; return where they are."""
    to.mkdir(mode=0o700, parents=True)
    needed = sum(path.stat().st_size for path in files)
    if shutil.disk_usage(to).free < 2 * needed:
        to.rmdir()
        raise ConfigError(
            f"Dagster's databases are to be migrated and there is no room to copy them: free {2 * needed / 1e6:.0f} MB"
        )
    for path in files:
        beside = to / path.relative_to(root)
        beside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(beside)) as target:
            source.backup(target)
    return to


def main() -> int:
    """Migrate this home's databases, and say so in one line."""
    logging.basicConfig(level=logging.WARNING)
    try:
        from forge_assets.instance import open_instance  # noqa: PLC0415  that module needs this one
        from forge_workers.settings import load  # noqa: PLC0415

        settings = load()
        with open_instance(settings) as instance:
            done = bring_up_to_date(instance, settings.home, asked=True)
    except ForgeError as error:
        sys.stderr.write(f"forge: {error}\n")
        return 2
    sys.stdout.write("Dagster's databases are migrated.\n" if done else "Dagster's databases are up to date.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
