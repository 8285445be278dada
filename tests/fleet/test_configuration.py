"""What supervisord is told, read by supervisord's own reader."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from forge_workers.catalog import SERVICES, WORKERS, Service, Worker
from forge_workers.errors import ConfigError
from forge_workers.fleet.configuration import log_of, written

TWO = Worker("twin", "Works twice.", "nowhere:nothing", concurrency=2, grace_s=300.0)


def groups(home: Path, rows: tuple[Worker, ...], *, services: tuple[Service, ...] = (SERVICES["redis"],)) -> list[Any]:
    """Return the process groups that supervisord reads from what Forge writes, in the order it starts them."""
    (home / "logs").mkdir(parents=True)
    (home / "fleet").mkdir()
    path = home / "supervisord.conf"
    path.write_text(written(home, home / "s.sock", rows, services, stamp="x"))
    options = ServerOptions()
    options.realize(["-c", str(path)], doc="")
    return sorted(options.process_group_configs)


def test_every_row_is_a_process_in_one_group_after_redis(tmp_path: Path) -> None:
    """Redis starts first and stops last; all workers stop together; each has its command and its log."""
    redis, workers = groups(tmp_path, tuple(WORKERS.values()))

    assert (redis.name, workers.name) == ("redis", "workers")
    assert redis.process_configs[0].command == f"{sys.executable} -m forge_workers.fleet.redis"
    assert {p.command for p in workers.process_configs} == {
        f"{sys.executable} -m forge_workers.jobs.daemon {name} 0" for name in WORKERS
    }
    for process in workers.process_configs:
        row = WORKERS[process.name.removesuffix("-0")]
        assert process.stdout_logfile == str(log_of(tmp_path, row, 0))
        assert (process.stdout_logfile_maxbytes, process.stdout_logfile_backups) == (5 * 1024 * 1024, 3)


def test_a_worker_gets_its_grace_and_is_started_again_for_ever(tmp_path: Path) -> None:
    """Supervisord waits longer than the row's grace, never gives up, and sends SIGTERM to the daemon alone."""
    _, workers = groups(tmp_path, (TWO,))

    assert [p.name for p in workers.process_configs] == ["twin-0", "twin-1"]
    assert [Path(p.stdout_logfile) for p in workers.process_configs] == [log_of(tmp_path, TWO, n) for n in range(2)]
    for process in workers.process_configs:
        assert process.stopwaitsecs > TWO.grace_s
        assert process.startretries >= 1_000_000
        assert process.autorestart.__name__ == "RestartUnconditionally"
        assert (process.stopasgroup, process.killasgroup) == (False, True)


def test_with_a_redis_of_the_users_own_none_is_started(tmp_path: Path) -> None:
    """FORGE_REDIS_URL means that somebody else minds it."""
    (workers,) = groups(tmp_path, (TWO,), services=())

    assert workers.name == "workers"


@pytest.mark.parametrize("name", ["with blank", "a;b", "a#b", "o'brien", '"quoted"', "ünï"])
def test_a_home_with_an_odd_name_is_read_back(tmp_path: Path, name: str) -> None:
    """Blanks, quotes and other letters come out as they went in."""
    _, workers = groups(tmp_path / name, (TWO,))

    assert Path(workers.process_configs[0].stdout_logfile).parent == tmp_path / name / "logs"


@pytest.mark.parametrize("name", ["a ;b", "a #b", "a\nb", "blank ", "100%", "%(here)s"])
def test_a_home_that_the_format_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    """A path that would be cut or add lines of its own is named instead."""
    with pytest.raises(ConfigError, match="choose a simpler FORGE_HOME"):
        written(tmp_path / name, tmp_path / name, (TWO,), SERVICES.values(), stamp="x")


def test_nothing_of_the_environment_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets reach the workers by inheritance, never through a file."""
    monkeypatch.setenv("FORGE_SLACK_TOKEN", "xoxb-planted")

    text = written(tmp_path, tmp_path / "s", WORKERS.values(), SERVICES.values(), stamp="x")

    assert "xoxb-planted" in os.environ.values()
    assert "xoxb" not in text
    assert "environment" not in text
