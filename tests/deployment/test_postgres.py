"""Dagster's storage in a real PostgreSQL: one setting, no secret anywhere, and a server that goes away at night."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import sqlalchemy

from forge_assets import postgres
from forge_workers.errors import ConfigError, Transient
from tests.standins.forge import ROOT, Forge, forge_in, told
from tests.standins.nights import SUNDAY, with_model
from tests.standins.ollama import Fault
from tests.standins.postgres import PASSWORD, PrivatePostgres, start_postgres
from tests.standins.repositories import HOUR, MONDAY, synthetic

pytestmark = pytest.mark.slow
SECRETS = (PASSWORD, PASSWORD.replace("/", "%2F").replace(" ", "%20"))


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """The server that the tests of this module share, each with databases of its own."""
    with start_postgres() as server:
        yield server


def named(server: PrivatePostgres, database: str) -> str:
    """Make a database and return its address."""
    server.ask(f"create database {database}")
    return server.url_with(database=database)


def runs(server: PrivatePostgres, database: str) -> list[str]:
    """Return the job and the status of each run that is kept."""
    connection = psycopg2.connect(server.url_with(database=database))
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pipeline_name || ' ' || status from runs order by id")
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


def test_a_night_is_kept_in_postgres_and_the_password_nowhere(server: PrivatePostgres, tmp_path: Path) -> None:
    """Both runs and their events stand there; no file and no command line of the night holds the password."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    seen: list[str] = []
    with forge_in(tmp_path, repo.path, FORGE_DAGSTER_POSTGRES_URL=named(server, "kept")) as forge:
        night = forge.start("night", "--date", SUNDAY)
        while night.poll() is None:
            seen += [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        out, err = night.communicate(timeout=10)

    assert night.returncode == 0, err
    assert runs(server, "kept") == ["night SUCCESS", "briefing SUCCESS"]
    assert not list((forge.home / "dagster").rglob("*.db"))
    files = [path.read_bytes() for path in forge.home.rglob("*") if path.is_file()]
    for secret in SECRETS:
        assert not any(secret in line for line in seen)
        assert not any(secret.encode() in content for content in files)
        assert secret not in out + err


def test_a_server_that_is_away_in_the_middle_costs_a_night_nothing(server: PrivatePostgres, tmp_path: Path) -> None:
    """It dies and comes back, then is stopped and goes on: every step is done, the runs succeed, the log says why."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo, FORGE_DAGSTER_POSTGRES_URL=named(server, "away")) as (forge, ollama):
        ollama.fault, ollama.delay_s = Fault.SLOW, 0.5
        night = forge.start_night(SUNDAY)
        try:
            for progress in told(night):
                if progress.kind == "started" and progress.asset == "commit_log":
                    server.stop()
                    threading.Timer(3.0, server.start).start()
                if progress.kind == "started" and progress.asset == "code_review":
                    server.pause()
                    threading.Timer(3.0, server.go_on).start()
            code = night.wait()
        finally:
            night.kill()

    assert code == 0
    assert runs(server, "away") == ["night SUCCESS", "briefing SUCCESS"]
    assert (tmp_path / "night.err").read_text().count("postgres.away") >= 1
    assert forge.briefing(SUNDAY)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "wrong"}, r'PostgreSQL says: FATAL: password authentication failed for user "forge"'),
        ({"database": "nowhere"}, r'PostgreSQL says: FATAL: database "nowhere" does not exist'),
        ({"port": 9}, r"no PostgreSQL answers: Connection refused"),
    ],
)
@pytest.mark.parametrize("command", [("night", "--date", SUNDAY), ("ui", "--port", "3998")])
def test_a_server_that_refuses_or_is_not_there_is_one_line(
    server: PrivatePostgres, tmp_path: Path, changed: dict[str, object], said: str, command: tuple[str, ...]
) -> None:
    """Exit code 2 and what PostgreSQL says, before anything is begun; the password is not told."""
    with forge_in(tmp_path) as forge:
        forge.environ["FORGE_DAGSTER_POSTGRES_URL"] = server.url_with(**changed)  # type: ignore[arg-type]
        done = forge.run(*command)

    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("forge: ")]
    assert re.search(said, line)
    assert not any(secret in done.stdout + done.stderr for secret in (*SECRETS, "wrong"))
    assert "Traceback" not in done.stderr


def test_without_patience_the_same_night_is_lost(server: PrivatePostgres) -> None:
    """Dagster's own storage gives up within seconds: the control that shows what the patience is for."""
    url = postgres_url(named(server, "control"))
    patient = postgres.PatientPostgresStorage(url)
    server.stop()
    threading.Timer(12.0, server.start).start()

    impatient = sqlalchemy.create_engine(url)
    sqlalchemy.event.remove(sqlalchemy.engine.Engine, "do_connect", postgres._patience.connect)
    try:
        with pytest.raises(sqlalchemy.exc.OperationalError):
            impatient.connect()
    finally:
        postgres._patience.mind(sqlalchemy.engine.Engine)

    assert patient.run_storage.get_runs() == []


def test_patience_is_spent_once_and_comes_back() -> None:
    """A server that stays away costs one long wait, not one per event; nobody waits for a refusal."""
    patience = postgres._Patience()
    patience.most_s = 1.2
    answers: list[object] = []
    dialect = _Dialect(answers)

    with pytest.raises(psycopg2.OperationalError):
        patience.connect(dialect, None, [], {})  # type: ignore[arg-type]
    tried = dialect.tried
    with pytest.raises(psycopg2.OperationalError):
        patience.connect(dialect, None, [], {})  # type: ignore[arg-type]
    assert (tried >= 3, dialect.tried) == (True, tried + 1)
    answers.append("a connection")
    assert patience.connect(dialect, None, [], {}) == "a connection"  # type: ignore[arg-type]
    dialect.says = "FATAL:  password authentication failed"
    with pytest.raises(psycopg2.OperationalError):
        patience.connect(dialect, None, [], {})  # type: ignore[arg-type]
    assert dialect.tried == tried + 3


class _Dialect:
    """Stands in for SQLAlchemy's dialect of a server that is away until it has an answer."""

    name = "postgresql"

    def __init__(self, answers: list[object]) -> None:
        self._answers = answers
        self.tried = 0
        self.says = "Connection refused"

    def connect(self, **named: object) -> object:
        """Answer once per answer there is."""
        self.tried += 1
        assert named["connect_timeout"]
        if self._answers:
            return self._answers.pop()
        raise psycopg2.OperationalError(self.says)


def test_a_url_that_the_client_cannot_read_is_not_quoted() -> None:
    """Its own message would hold the whole address."""
    with pytest.raises(ConfigError, match="cannot read it: write postgresql://user:password@host") as caught:
        postgres.require("postgresql+psycopg2://u:planted@127.0.0.1/db?nonsense=1")
    assert "planted" not in str(caught.value)
    with pytest.raises(Transient, match="no PostgreSQL answers"):
        postgres.require("postgresql+psycopg2://u:planted@127.0.0.1:9/db", within_s=0.1)


def migrate(forge: Forge) -> subprocess.CompletedProcess[str]:
    """Run the command that the refusal names."""
    command = [sys.executable, "-m", "forge_assets.migration"]
    return subprocess.run(command, env=forge.environ, cwd=ROOT, capture_output=True, text=True, check=False)


def postgres_url(url: str) -> str:
    """Return an address as the settings hold it."""
    return url.replace("postgresql://", "postgresql+psycopg2://")


def test_tables_of_an_older_dagster_wait_for_their_owner(server: PrivatePostgres, tmp_path: Path) -> None:
    """Nothing is begun; the line names the command; that command migrates; then a night may begin."""
    forge = Forge(tmp_path / "forge", FORGE_DAGSTER_POSTGRES_URL=named(server, "older"))
    assert migrate(forge).stdout == "Dagster's databases are up to date.\n"
    connection = psycopg2.connect(server.url_with(database="older"))
    connection.autocommit = True
    connection.cursor().execute("update alembic_version set version_num = '63d7a8ec641a'")
    connection.close()

    refused, migrated, again = forge.run("ui", "--port", "3997"), migrate(forge), migrate(forge)

    assert refused.returncode == 2
    assert "copy them with pg_dump, then run python -m forge_assets.migration" in refused.stderr
    assert migrated.stdout == "Dagster's databases are migrated.\n"
    assert again.stdout == "Dagster's databases are up to date.\n"
