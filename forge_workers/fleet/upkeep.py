"""Bringing the fleet up and taking it down.

One command at a time changes a home's fleet: it holds the kernel lock on ``fleet/command.lock`` meanwhile. What runs is
compared with what is wanted: the configuration, which carries a digest of ``forge.toml``, and the variables. A
difference starts the whole fleet again, because a changed row is changed code and every worker runs that code. A stop
never cuts a night: the code server finishes the runs at work, however long, before anything that they need is stopped.
Belongs here: those acts in order. Does not belong here: one supervisord (``supervisord.py``), or how things stand
(``status.py``, ``services.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from forge_workers import redis_server
from forge_workers.address import SETTINGS_FILE, socket_path
from forge_workers.catalog import Service, Worker
from forge_workers.errors import Transient
from forge_workers.fleet import redis_state
from forge_workers.fleet import rows as functions
from forge_workers.fleet.configuration import REDIS, SERVICES, WORKERS, log_of, written
from forge_workers.fleet.logs import last
from forge_workers.fleet.services import ServiceStatus, wanted
from forge_workers.fleet.status import FleetStatus, WorkerStatus
from forge_workers.fleet.supervisord import Supervised, Supervisord
from forge_workers.plain import plain
from forge_workers.private import locked, make_private
from forge_workers.redis_engine import answers, data_of, refusal
from forge_workers.redis_engine import log_of as log_of_redis
from forge_workers.settings import Settings
from forge_workers.wire import Wire

#: Longest wait in seconds for another ``forge up`` or ``forge down``: one stop with the longest grace, and one start.
_TURN_S = 180.0
#: Longest wait in seconds for every worker's first beat.
_BEATS_S = 60.0
#: Seconds after which a service that ends again and again is waited for no more: it says why in its log.
_REFUSED_S = 12.0
#: The last service to stop: while runs are finished, its pages show them and can end them.
_PAGES = "dagster_webserver"
#: Seconds beyond a worker's grace until it is gone: it is killed in between.
_PAST_GRACE_S = 20.0
_LOOK_S = 0.2

#: Told what is being waited for, one line.
Tell = Callable[[str], None]


class Upkeep:
    """The acts on one home's fleet.

    Args:
        settings: Whose fleet.
        workers: The rows to run.
        services: What to run beside them, so far as the settings want it.
        environ: The environment all of them get.
        tell: Told what is being waited for.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Mapping[str, Worker],
        services: Mapping[str, Service],
        environ: Mapping[str, str],
        tell: Tell,
    ) -> None:
        self._home = settings.home
        self._url = settings.redis_url
        self._workers = workers
        self._services = {row.name: row for row in wanted(services.values(), settings)}
        self._pages = f"http://127.0.0.1:{settings.dagster.port}/runs"
        self._environ = {**environ, "FORGE_HOME": str(settings.home), "PYTHONSAFEPATH": "1"}
        self._tell = tell
        self._supervisord = Supervisord(settings.home)
        self._said_before = _size(log_of_redis(settings.home))

    def up(self) -> Literal["started", "restarted", "already"]:
        """Have the fleet run as it is wanted, and start at once what waits for its next start.

        Raises:
            ConfigError: A row's function is missing, a path cannot be used, or the Redis that is set is unfit.
            Transient: Another command is at work, something does not answer, or the Redis that is set is away.
            Damaged: The data of Forge's own Redis cannot be loaded.
        """
        functions.check(self._workers.values())
        if self._url is not None:
            redis_state.require(Wire(self._url.get_secret_value()))
        with self._alone():
            (self._home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            wanted = self._wanted()
            if self._supervisord.processes() is None:
                self._start(wanted)
                return "started"
            if self._runs_as(wanted):
                self._supervisord.start_what_is_off()
                return "already"
            self._stop()
            self._start(wanted)
            return "restarted"

    def await_all(self, look: Callable[[], FleetStatus]) -> tuple[WorkerStatus | ServiceStatus, ...]:
        """Wait until every worker beats and every service is ready, 60 s at most; return those that are not.

        Args:
            look: Returns how things stand.

        Raises:
            Damaged: The data of Forge's own Redis cannot be loaded.
            ForgeError: That Redis does not start for another reason.
        """
        began = time.monotonic()
        while True:
            found = look()
            services = tuple(service for service in found.services if service.state != "off")
            rows: tuple[WorkerStatus | ServiceStatus, ...] = (*found.workers, *services)
            behind = tuple(row for row in rows if row.state not in {"up", "busy"})
            waited_s = time.monotonic() - began
            hopeless = all(isinstance(row, ServiceStatus) and row.state == "failing" for row in behind)
            if not behind or waited_s > _BEATS_S or (hopeless and waited_s > _REFUSED_S):
                return behind
            self._refuse_a_broken_redis()
            names = ", ".join(row.name for row in behind)
            self._tell(f"{len(rows) - len(behind)} of {len(rows)} are up; waiting for {names}")
            time.sleep(_LOOK_S)

    def down(self) -> tuple[bool, bool]:
        """Stop services, workers, their supervisor and Forge's own Redis; say whether a fleet and whether a Redis ran.

        Raises:
            Transient: Another command is at work, or something does not stop; the message names it.
        """
        if not self._home.exists():
            return False, False
        with self._alone():
            redis_ran = answers(socket_path(self._home))
            fleet_ran = self._supervisord.runs()
            self._stop()
            self._await_the_orphaned()
            return fleet_ran, redis_server.stop(self._home) or redis_ran

    def last_words(self, row: WorkerStatus | ServiceStatus) -> str:
        """Return the last line that a worker or service logged, for a person; "" for none."""
        if isinstance(row, ServiceStatus):
            path = log_of(self._home, self._services[row.name])
        else:
            path = log_of(self._home, self._workers[row.name], row.processes[0].slot)
        return next((line for line in reversed(last(path, 5)) if line), "")

    def _wanted(self) -> str:
        return written(
            self._home,
            self._supervisord.socket,
            self._workers.values(),
            self._services.values(),
            stamp=f"forge {version('forge')}, settings {_digest(self._home / SETTINGS_FILE)}",
        )

    def _runs_as(self, wanted: str) -> bool:
        file = self._supervisord.configuration
        running = file.read_text(encoding="utf-8") if file.is_file() else ""
        return running == wanted and self._supervisord.is_given(self._environ)

    def _start(self, wanted: str) -> None:
        self._tell("starting the supervisor")
        self._said_before = _size(log_of_redis(self._home))
        self._supervisord.start(wanted, self._environ)

    def _stop(self) -> None:
        """Stop services, then workers: runs need both, and what workers hand back needs Redis. Then the rest."""
        if not self._supervisord.runs():
            return
        finish = f"finish its runs; end them sooner at {self._pages}"
        self._stop_some(lambda p: p.group == SERVICES and p.worker != _PAGES, finish)
        self._stop_some(lambda p: p.group == SERVICES, "close its pages")
        self._stop_some(lambda p: p.group == WORKERS, "finish or hand back")
        self._tell("stopping the supervisor")
        self._supervisord.stop()

    def _stop_some(self, chosen: Callable[[Supervised], bool], to: str) -> None:
        """Stop what is chosen and wait until it is gone, or until supervisord has killed it."""
        self._supervisord.stop_some(p for p in self._supervisord.processes() or () if chosen(p))
        began = time.monotonic()
        while left := [p for p in self._supervisord.processes() or () if chosen(p) and not p.off]:
            if time.monotonic() - began > self._longest_stop_s(process.worker for process in left):
                return
            self._tell(f"waiting for {', '.join(process.worker for process in left)} to {to}")
            time.sleep(_LOOK_S)

    def _await_the_orphaned(self) -> None:
        """Wait for what outlived its supervisor: it notices within a beat and leaves by itself."""
        began = time.monotonic()
        while left := [path.stem for path in (self._home / "fleet").glob("*-*.lock") if _is_locked(path)]:
            if time.monotonic() - began > self._longest_stop_s(name.rpartition("-")[0] for name in left):
                raise Transient(f"these do not stop: {', '.join(sorted(left))}: see their logs, and kill them")
            self._tell(f"waiting for {', '.join(sorted(left))}")
            time.sleep(_LOOK_S)

    def _refuse_a_broken_redis(self) -> None:
        if self._url is not None:
            return
        processes = self._supervisord.processes() or ()
        if any(p.worker == REDIS and p.off for p in processes) and not answers(socket_path(self._home)):
            log = log_of_redis(self._home)
            with log.open("rb") as file:
                file.seek(min(self._said_before, _size(log)))
                said = file.read().decode("utf-8", "replace")
            if said.strip():  # else it was off before this command, and has not been started again yet
                raise refusal(said, data_of(self._home), log)

    def _longest_stop_s(self, names: Iterable[str]) -> float:
        """Return how long these may take to leave; what is no row of this fleet has no grace of its own."""
        graces = {row.name: row.grace_s for row in self._workers.values()}
        graces |= {row.name: row.stop_s for row in self._services.values()}
        return max((graces.get(name, 0.0) for name in names), default=0.0) + _PAST_GRACE_S

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only command that changes this home's fleet.

        Raises:
            Transient: Another one takes too long.
        """
        make_private(self._home / "fleet")
        deadline = time.monotonic() + _TURN_S
        with (self._home / "fleet" / "command.lock").open("a+", encoding="utf-8") as lock:
            while not locked(lock):
                if time.monotonic() > deadline:
                    lock.seek(0)
                    raise Transient(
                        f"another forge up or down (process {plain(lock.read(20))}) is at work: wait for it"
                    )
                self._tell("waiting for another forge up or down")
                time.sleep(_LOOK_S)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


def _digest(path: Path) -> str:
    """Name the content of a file that holds settings; the same file lies beside, so a digest tells nobody more."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        return "none"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
