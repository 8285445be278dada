"""Dagster's storage in PostgreSQL, patient with a server that is away for a while.

Dagster gives a connection up after ten seconds, and a run with it. Here every process that keeps runs or events waits
two minutes, once: a restart of the server in the middle of a night costs that night nothing but the wait. Belongs here:
that storage, and one look at the server before anything starts. Does not belong here: SQLite, or what is kept.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any, Self

import psycopg2
import sqlalchemy
import sqlalchemy.event
from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy.engine.default import DefaultDialect

from forge_workers.errors import ConfigError, Transient
from forge_workers.log import event
from forge_workers.plain import plain

_log = logging.getLogger(__name__)

#: Longest wait in seconds for a server that is away: twice the minute that a restart of it may take.
PATIENCE_S = 120.0
#: Longest wait in seconds before anything has begun, and of a page somebody looks at.
BRIEF_S = 5.0
#: Longest wait in seconds for one connection: a stopped process accepts it and says nothing.
_CONNECT_S = 10
_LOOK_S = 0.5
#: What PostgreSQL says when it will be back by itself. Source: postgresql.org, error codes 57P01 to 57P03 and 53300.
_PASSING = re.compile(r"starting up|shutting down|recovery|too many|terminating|not yet accepting")


class PatientPostgresStorage(DagsterPostgresStorage):
    """What ``dagster.yaml`` names instead of Dagster's own class; the same tables."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        _patience.mind(sqlalchemy.engine.Engine)
        super().__init__(postgres_url, should_autocreate_tables=True, inst_data=inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig | Mapping[str, Any]
    ) -> Self:
        """Make one from what ``dagster.yaml`` says."""
        return cls(pg_url_from_config(config_value), inst_data)


class _Patience:
    """Waits for a server that is away, and having waited in vain not again until it has answered."""

    def __init__(self) -> None:
        self.most_s = PATIENCE_S
        self._spent = False

    def mind(self, engines: type[sqlalchemy.engine.Engine]) -> None:
        """Make every connection of this process to a PostgreSQL a patient one."""
        if not sqlalchemy.event.contains(engines, "do_connect", self.connect):
            sqlalchemy.event.listen(engines, "do_connect", self.connect)

    def connect(self, dialect: DefaultDialect, _: object, words: list[Any], named: dict[str, Any]) -> Any:
        """Connect as soon as the server answers.

        Raises:
            psycopg2.OperationalError: It refuses, or is still away after all patience.
        """
        if dialect.name != "postgresql":
            return None  # as if nobody listened
        named.setdefault("connect_timeout", _CONNECT_S)
        began, told = time.monotonic(), False
        while True:
            try:
                connection = dialect.connect(*words, **named)
            except psycopg2.OperationalError as error:
                if _is_refusal(error):
                    raise
                self._spent = self._spent or time.monotonic() - began >= self.most_s
                if not told:
                    event(_log, "postgres.away", logging.WARNING, why=_said(error), patience_s=self.most_s)
                if self._spent:
                    raise
                told = True
                time.sleep(_LOOK_S)
            else:
                if told or self._spent:
                    event(_log, "postgres.back", waited_s=time.monotonic() - began)
                self._spent = False
                return connection


_patience = _Patience()


def be_brief() -> None:
    """Wait little from now on in this process: somebody looks at a page."""
    _patience.most_s = BRIEF_S


def require(url: str, within_s: float = BRIEF_S) -> None:
    """Look whether the server lets us in.

    Args:
        url: As ``dagster.postgres_url`` holds it; never quoted in a message.
        within_s: How long it may be away, seconds.

    Raises:
        ConfigError: It refuses: no such user or database, a wrong password, a word in the URL it does not know.
        Transient: It does not answer.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            psycopg2.connect(url.replace("+psycopg2", "", 1), connect_timeout=max(2, int(within_s))).close()
        except psycopg2.OperationalError as error:
            if _is_refusal(error):
                raise ConfigError(f"dagster.postgres_url: PostgreSQL says: {_said(error)}") from None
            if time.monotonic() > deadline:
                raise Transient(f"dagster.postgres_url: no PostgreSQL answers: {_said(error)}") from None
            time.sleep(_LOOK_S)
        except (psycopg2.Error, ValueError):  # its text quotes the URL
            raise ConfigError(
                "dagster.postgres_url: PostgreSQL's client cannot read it: write "
                "postgresql://user:password@host:5432/database"
            ) from None
        else:
            return


def _is_refusal(error: psycopg2.OperationalError) -> bool:
    """Whether the server answered and another try would end the same way."""
    said = str(error)
    return ("FATAL" in said or "no password supplied" in said) and not _PASSING.search(said)


def _said(error: psycopg2.OperationalError) -> str:
    """Return the server's or the client's own reason, one line; it names host and user, never the password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return plain(re.sub(r"^.*?failed: ", "", lines[0] if lines else "no reason given"), 200)
