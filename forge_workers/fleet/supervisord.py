"""supervisord as a process: one per home, started detached, asked over its private Unix socket, stopped.

Its kernel lock on ``fleet/supervisord.lock`` is held exactly as long as it runs. Workers notice by themselves when it
was killed and leave. Belongs here: that process and the questions to it. Does not belong here: what it is told to run
(``configuration.py``), or what ``forge up`` and ``forge down`` make of it (``upkeep.py``).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket as sockets
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from forge_workers import files
from forge_workers.address import short_socket
from forge_workers.errors import ForgeError, Transient
from forge_workers.fleet.configuration import REDIS, WORKERS
from forge_workers.plain import plain
from forge_workers.private import locked, make_private

#: Longest wait in seconds for an answer: it answers in milliseconds, unless it is stopped or the machine swaps.
_ANSWER_S = 5.0
#: Longest wait in seconds until it listens, or is gone after its last process is.
_PATIENCE_S = 30.0
_LOOK_S = 0.05
#: States in which a process is not, and is not about to be, at work. Source: supervisord.org/subprocess.html.
_OFF = frozenset({"BACKOFF", "FATAL", "EXITED", "STOPPED", "UNKNOWN"})
#: What it names its socket by while it makes it: its process number, at most 4194304 on Linux, 99998 on macOS.
_LONGEST_SUFFIX = ".4194304"


@dataclass(frozen=True)
class Supervised:
    """A process as supervisord sees it.

    Attributes:
        worker: The worker's or service's name.
        slot: Which of its processes, from 0.
        state: ``STARTING``, ``RUNNING``, ``BACKOFF``, ``STOPPING``, ``STOPPED``, ``EXITED`` or ``FATAL``.
        pid: Its process number; None when there is none.
        since_at: When it was last started, UTC unix seconds; None when it never was.
        group: Those it is stopped with.
    """

    worker: str
    slot: int
    state: str
    pid: int | None
    since_at: float | None
    group: str = WORKERS

    @property
    def off(self) -> bool:
        """Whether it is not, and is not about to be, at work."""
        return self.state in _OFF


class Supervisord:
    """The supervisord of one home.

    Args:
        home: ``FORGE_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "fleet"
        name = "supervisord.sock"
        self.socket = short_socket(self._folder, name + _LONGEST_SUFFIX).with_name(name)
        self.configuration = self._folder / "supervisord.conf"
        self._lock = self._folder / "supervisord.lock"
        self._errors = self._folder / "supervisord.err"

    @property
    def pid(self) -> int | None:
        """Its process number, None when it does not run."""
        if not self.runs():
            return None
        text = self._lock.read_text(encoding="utf-8")
        return int(text) if text.isdecimal() else None

    def runs(self) -> bool:
        """Whether it runs, answering or not."""
        if not self._lock.exists():
            return False
        with self._lock.open("a+", encoding="utf-8") as lock:
            return not locked(lock)

    def processes(self) -> tuple[Supervised, ...] | None:
        """Return what it looks after; None when it does not run or does not answer."""
        try:
            found = self._ask("getAllProcessInfo")
        except Transient:
            return None
        return tuple(_supervised(info) for info in found)

    def start(self, configuration: str, environ: Mapping[str, str]) -> None:
        """Start it and wait until it answers.

        Args:
            configuration: What it shall run.
            environ: Its environment, which every worker inherits.

        Raises:
            Transient: One runs and does not answer, or this one does not in time.
            ForgeError: It ended at once; the message is its own.
            ConfigError: A directory is not safe to use.
        """
        make_private(self._folder)
        make_private(self.socket.parent)
        with self._lock.open("a+", encoding="utf-8") as lock, self._errors.open("wb") as errors:
            if not locked(lock):
                raise self._silent()
            files.replace(self.configuration, configuration)
            process = subprocess.Popen(
                [sys.executable, "-m", "forge_workers.fleet.supervising", "-c", str(self.configuration)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                env=dict(environ),
            )
            lock.truncate(0)
            lock.write(str(process.pid))
        self._wait_until_it_answers(process)

    def is_given(self, environ: Mapping[str, str]) -> bool:
        """Whether it runs with these ``FORGE_*`` variables; True when the system does not tell."""
        pid = self.pid
        try:
            given = psutil.Process(pid).environ() if pid is not None else environ
        except psutil.Error:
            return True
        return _chosen(given) == _chosen(environ)

    def start_what_is_off(self) -> int:
        """Start, at once, every process that waits for its next start or was given up; return how many."""
        off = [process for process in self.processes() or () if process.off]
        for process in off:
            name = _full_name(process)
            with contextlib.suppress(xmlrpc.client.Fault):  # it has just been started by itself
                if process.state == "BACKOFF":
                    self._ask("stopProcess", name)
                self._ask("startProcess", name, False)  # noqa: FBT003  XML-RPC knows no names: do not wait
        return len(off)

    def stop_some(self, processes: Iterable[Supervised]) -> None:
        """Send these SIGTERM; the others stay, and these are not started again.

        Raises:
            Transient: It does not answer.
        """
        for process in processes:
            with contextlib.suppress(xmlrpc.client.Fault):  # it is off already
                self._ask("stopProcess", _full_name(process), False)  # noqa: FBT003  do not wait

    def stop(self) -> None:
        """Stop it with what it still looks after, and wait until it is gone.

        Raises:
            Transient: It does not answer, or is still there after all its processes had their time.
        """
        pid = self.pid
        try:
            self._ask("shutdown")
        except Transient:
            if pid is None or not self.runs():
                return
            raise self._silent() from None
        deadline = time.monotonic() + 3 * _PATIENCE_S
        while self.runs():
            if time.monotonic() > deadline:
                raise Transient(f"the fleet's supervisor (process {pid}) does not stop: run kill -9 {pid}")
            time.sleep(_LOOK_S)
        if self.socket.parent != self._folder:
            with contextlib.suppress(OSError):
                self.socket.parent.rmdir()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self.processes() is None:
            if process.poll() is not None:
                said = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                why = next((line for line in said if line.startswith("Error: ")), said[-1] if said else "")
                why = plain(why.removeprefix("Error: ")) or f"exit code {process.returncode}"
                raise ForgeError(f"the fleet's supervisor does not start: {why}")
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGTERM)
                raise Transient("the fleet's supervisor takes too long to start: try again")
            time.sleep(_LOOK_S)

    def _silent(self) -> Transient:
        return Transient(f"the fleet's supervisor (process {self.pid}) does not answer: run kill -9 {self.pid}")

    def _ask(self, method: str, *args: str | bool) -> Any:
        """Call one of supervisord's methods.

        Raises:
            Transient: It gives no answer.
            xmlrpc.client.Fault: It refuses.
        """
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self.socket))
        try:
            with proxy as open_proxy:
                return getattr(open_proxy.supervisor, method)(*args)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Transient(f"the fleet's supervisor does not answer: {plain(str(error))}") from None


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket with a bounded wait, which supervisor's own transport does not have."""

    def __init__(self, socket: Path) -> None:
        super().__init__()
        self._socket = socket

    def make_connection(self, _: object) -> http.client.HTTPConnection:
        return _Connection(self._socket)


class _Connection(http.client.HTTPConnection):
    def __init__(self, socket: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = socket

    def connect(self) -> None:
        self.sock = sockets.socket(sockets.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def _supervised(info: Mapping[str, Any]) -> Supervised:
    name, _, slot = str(info["name"]).rpartition("-")
    return Supervised(
        worker=name or str(info["name"]),
        slot=int(slot) if name else 0,
        state=str(info["statename"]),
        pid=int(info["pid"]) or None,
        since_at=float(info["start"]) or None,
        group=str(info["group"]),
    )


def _full_name(process: Supervised) -> str:
    return REDIS if process.worker == REDIS else f"{process.group}:{process.worker}-{process.slot}"


def _chosen(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("FORGE_")}
