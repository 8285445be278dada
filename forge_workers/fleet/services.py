"""Which services run with these settings, and how each stands.

Belongs here: that choice, and one state per service from what supervisord says and from what the service says in its
place. Does not belong here: starting or stopping them (``upkeep.py``), or the workers (``status.py``).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forge_workers.catalog import Service
from forge_workers.fleet.configuration import REDIS
from forge_workers.fleet.place import Place, Told
from forge_workers.fleet.supervisord import Supervised
from forge_workers.plain import plain
from forge_workers.settings import Settings

#: Seconds that a service may take from its start until it is ready: 4 s alone, many times that when all start.
_BEGINS_S = 60.0
#: Longest wait in seconds for a connection on this machine.
_CONNECT_S = 1.0

State = Literal["failing", "late", "down", "stopping", "starting", "up", "off"]


@dataclass(frozen=True)
class ServiceStatus:
    """One service.

    Attributes:
        name: Its name.
        state: ``up``: it is ready, and answers where it listens. ``starting``. ``stopping``. ``late``: it runs and is
            not ready, or does not answer. ``failing``: it ended too soon and is started again. ``down``: it does not
            run. ``off``: with these settings it is not run.
        pid: Its process number, None for none.
        since_at: When it was started, UTC unix seconds.
        address: Where it listens, "" for nowhere.
        why: Of one that is off: the settings that decide so.
    """

    name: str
    state: State
    pid: int | None = None
    since_at: float | None = None
    address: str = ""
    why: str = ""


def wanted(rows: Iterable[Service], settings: Settings) -> tuple[Service, ...]:
    """Return the services to run with these settings, in the catalogue's order."""
    return tuple(row for row in rows if not _missing(row, settings))


def look(
    home: Path, rows: Mapping[str, Service], settings: Settings, supervised: Iterable[Supervised], now: float
) -> tuple[ServiceStatus, ...]:
    """Return how each service but Redis stands, of which ``redis_state.py`` tells more.

    One that runs without the fleet's supervisor, as under ``forge ui``, is known by what it says itself.

    Args:
        home: ``FORGE_HOME``.
        rows: The services.
        settings: Decide which of them run.
        supervised: What supervisord looks after.
        now: UTC unix seconds.
    """
    seen = {process.worker: process for process in supervised}
    return tuple(_look(home, row, settings, seen.get(row.name), now) for row in rows.values() if row.name != REDIS)


def state_of(supervised: Supervised | None, *, ready: bool, now: float) -> State:
    """Decide how a service stands; the first that holds.

    1. It does not run: ``down``.
    2. It waits for its next start, or was given up: ``failing``.
    3. It was told to stop: ``stopping``.
    4. It is ready: ``up``.
    5. It began a moment ago: ``starting``.
    6. ``late``.

    Args:
        supervised: What supervisord says of it, None when it knows of none.
        ready: Whether it is ready and answers.
        now: UTC unix seconds.
    """
    if supervised is None or supervised.state in {"STOPPED", "EXITED", "UNKNOWN"}:
        return "down"  # 1
    if supervised.off:
        return "failing"  # 2
    if supervised.state == "STOPPING":
        return "stopping"  # 3
    if ready:
        return "up"  # 4
    return "starting" if now - (supervised.since_at or now) < _BEGINS_S else "late"  # 5, 6


def answers(address: str) -> bool:
    """Whether something accepts a connection at ``127.0.0.1:port``, ``unix:/path`` or, listening nowhere, ""."""
    if not address:
        return True
    kind, _, rest = address.partition(":")
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as probe:
        probe.settimeout(_CONNECT_S)
        with contextlib.suppress(OSError, ValueError, OverflowError):
            probe.connect(rest if kind == "unix" else (kind, int(rest)))
            return True
    return False


def _look(home: Path, row: Service, settings: Settings, seen: Supervised | None, now: float) -> ServiceStatus:
    told, why = Place(home, row.name).told() if row.tells else None, _missing(row, settings)
    if why and seen is None and told is None:
        return ServiceStatus(row.name, "off", why=why)
    if seen is None and told is not None:
        return ServiceStatus(row.name, "up" if answers(told.address) else "late", told.pid, address=plain(told.address))
    mine = told if told is not None and seen is not None and told.pid == seen.pid else None
    return ServiceStatus(
        name=row.name,
        state=state_of(seen, ready=_ready(row, seen, mine), now=now),
        pid=seen.pid if seen else None,
        since_at=seen.since_at if seen and seen.pid else None,
        address=plain(mine.address) if mine else "",
    )


def _ready(row: Service, seen: Supervised | None, told: Told | None) -> bool:
    if not row.tells:
        return seen is not None and seen.state == "RUNNING"
    return told is not None and answers(told.address)


def _missing(row: Service, settings: Settings) -> str:
    """Say which settings keep a service from being run, "" when it is."""
    if any(_value(settings, key) for key in row.unless):
        return f"{' and '.join(row.unless)} set"
    lacking = [key for key in row.needs if not _value(settings, key)]
    return f"{' and '.join(lacking)} not set" if lacking else ""


def _value(settings: Settings, key: str) -> object:
    found: object = settings
    for name in key.split("."):
        found = getattr(found, name, None)
    return found
