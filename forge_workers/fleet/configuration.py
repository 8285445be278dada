"""What supervisord is told: one file, written anew by each ``forge up``.

The workers are one group, so that all of them stop together and before Redis, which must still take back what they hand
back. The services are another, started last and stopped first: the run that a code server finishes needs the rest.
Belongs here: that text and the names in it. Does not belong here: running supervisord (``supervisord.py``).
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from forge_workers.catalog import SERVICES as SERVICE_ROWS
from forge_workers.catalog import Service, Worker
from forge_workers.errors import ConfigError

#: The groups of all workers, and of all services but Redis, which is a group of its own.
WORKERS, SERVICES = "workers", "services"
#: The service that is Forge's own Redis.
REDIS = SERVICE_ROWS["redis"].name
#: Seconds that a process must live to count as started. One that ends sooner is started again after 1 s, 2 s, 3 s ...;
#: one that ends later at once, so this is also what keeps a worker that breaks again and again from filling a core.
_START_S = 5
#: Starts in a row that may fail. supervisord waits one second longer each time, which is 85 s after an hour and 7 min
#: after a day, and gives up for ever past this number; so it never does, and ``forge up`` tries at once.
_RETRIES = 1_000_000
#: Seconds beyond its grace after which a worker that does not leave is killed with all it started.
_PAST_GRACE_S = 10
#: Size at which a log is put aside, and how many of those are kept.
_LOG, _LOGS = "5MB", 3


def written(home: Path, socket: Path, rows: Iterable[Worker], services: Iterable[Service] = (), *, stamp: str) -> str:
    """Return supervisord's configuration.

    Args:
        home: ``FORGE_HOME``.
        socket: Where supervisord shall listen.
        rows: The workers to run.
        services: What to run beside them, in the order of their start.
        stamp: One word that differs when the workers must be started again; no secret.

    Raises:
        ConfigError: A path holds what this file's format cannot.
    """
    rows, services = tuple(rows), tuple(services)
    sections = [_supervisord(home, socket, stamp)]
    sections += [_service(home, row, place) for place, row in enumerate(services, start=1)]
    sections += [_worker(home, row) for row in rows]
    beside = tuple(row for row in services if row.name != REDIS)
    for name, members, priority in ((WORKERS, rows, 10), (SERVICES, beside, 20)):
        if members:
            sections.append(f"[group:{name}]\nprograms={','.join(row.name for row in members)}\npriority={priority}\n")
    return "\n".join(sections)


def log_of(home: Path, row: Worker | Service, slot: int = 0) -> Path:
    """Return where the process in ``slot`` logs."""
    if isinstance(row, Service):
        return home / "logs" / f"{row.name}.log"
    return home / "logs" / (f"{row.name}.log" if row.concurrency == 1 else f"{row.name}-{slot}.log")


def _supervisord(home: Path, socket: Path, stamp: str) -> str:
    return f"""\
; Written by `forge up`; changes are lost. {stamp}
[unix_http_server]
file={_path(socket)}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
identifier=forge
nodaemon=true
silent=true
nocleanup=true
umask=077
pidfile={_path(home / "fleet" / "supervisord.pid")}
logfile={_log(home, "supervisord")}
logfile_maxbytes={_LOG}
logfile_backups={_LOGS}
"""


def _worker(home: Path, row: Worker) -> str:
    module = f"forge_workers.jobs.daemon {row.name} %(process_num)d"
    log = _log(home, row.name if row.concurrency == 1 else f"{row.name}-%(process_num)d")
    return _program(
        row.name,
        module,
        process=f"{row.name}-%(process_num)d",
        log=log,
        stop_s=int(row.grace_s) + _PAST_GRACE_S,
        processes=row.concurrency,
    )


def _service(home: Path, row: Service, place: int) -> str:
    return _program(
        row.name,
        " ".join((row.module, *row.words)),
        process=REDIS if row.name == REDIS else f"{row.name}-0",
        log=_log(home, row.name),
        stop_s=int(row.stop_s),
        place=place,
    )


def _program(name: str, module: str, *, process: str, log: str, stop_s: int, processes: int = 1, place: int = 1) -> str:
    return f"""\
[program:{name}]
command={shlex.quote(_path(sys.executable))} -m {module}
process_name={process}
numprocs={processes}
priority={place}
autorestart=true
startsecs={_START_S}
startretries={_RETRIES}
stopsignal=TERM
stopwaitsecs={stop_s}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes={_LOG}
stdout_logfile_backups={_LOGS}
"""


def _log(home: Path, name: str) -> str:
    return f"{_path(home / 'logs')}/{name}.log"


def _path(path: Path | str) -> str:
    """Return ``path`` if the format can hold it.

    Raises:
        ConfigError: It holds a %, which is filled in once or twice by key, or a blank before ; or #, where a comment
            starts.
    """
    if re.search(r"[\x00-\x1f\x7f%]|\s[;#]|^\s|\s$", str(path)):
        raise ConfigError(f"supervisord cannot use the path {str(path)!r:.200}: choose a simpler FORGE_HOME")
    return str(path)
