"""One job in a process of its own: started, watched, ended.

A handler may hang, abort, fork, close every file, print a gigabyte or hold the interpreter's lock for an hour: the
daemon beside it goes on beating, keeps the time limit by killing the whole process group, and stays small, since what a
handler imports goes when it ends. Belongs here: that process. Does not belong here: what runs in it (``child.py``), or
what becomes of the job (``daemon.py``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from forge_workers.errors import ForgeError, LeaseLost, Permanent, Snooze, Transient
from forge_workers.gpu.held import Lease
from forge_workers.gpu.process import HeldProcess
from forge_workers.log import event
from forge_workers.plain import plain

_log = logging.getLogger(__name__)

#: Bytes of a handler's output that go into the worker's log: its own log lines, and no gigabyte.
_LOGGED_OUTPUT = 262_144
#: Longest single line that a child may send, bytes.
_MOST_LINE = 1_000_000
#: Seconds between two looks at what gives no sign by itself: the lease, and a child whose children hold its pipes.
_LOOK_S = 0.25
#: Seconds a child gets to leave after SIGTERM, or after it has told its outcome.
_LEAVE_S = 2.0


@dataclass(frozen=True)
class Done:
    """The handler returned a report; ``summary`` is what others need of it."""

    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Raised:
    """The handler raised, or its process ended otherwise."""

    error: ForgeError
    traceback: str = ""


@dataclass(frozen=True)
class Interrupted:
    """The job was ended from here and not by itself; it is not finished and no attempt is counted."""


@dataclass(frozen=True)
class Watch:
    """What the daemon wants looked at while the job runs.

    Attributes:
        wake: A file that becomes readable when a signal came.
        must_end: Whether the job must end now, because of a stop or a claim that was taken back.
        lease_over: Says why the GPU may not be used any more, None while it may.
        progress: Told each line of progress.
    """

    wake: int
    must_end: Callable[[], bool]
    lease_over: Callable[[], str | None]
    progress: Callable[[str], None]


@dataclass
class Child:
    """A handler's process.

    Attributes:
        process: The leader of its own session and process group.
        results: Where it tells progress and outcome.
    """

    process: HeldProcess
    results: int
    _told: bytearray = field(default_factory=bytearray)
    _printed: int = 0

    @classmethod
    def start(
        cls, order: Mapping[str, Any], environ: Mapping[str, str], lease: Lease | None, keep: tuple[int, ...]
    ) -> Child:
        """Start ``python -m forge_workers.jobs.child`` on ``order``; it inherits the lease's lock and ``keep``.

        Its standard input stays open: it ends itself and its group when that closes.

        Raises:
            OSError: No process can be started.
        """
        results, tells = os.pipe()
        argv = [sys.executable, "-P", "-m", "forge_workers.jobs.child", str(tells)]
        try:
            process = HeldProcess(argv, lease, env=environ, keep=(tells, *keep))
        except OSError:
            os.close(results)
            raise
        finally:
            os.close(tells)
        if process.popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it died at once: its end says so
                process.popen.stdin.write(json.dumps(order).encode() + b"\n")
                process.popen.stdin.flush()
        return cls(process, results)

    def run(self, timeout_s: float, watch: Watch) -> Done | Raised | Interrupted:
        """Wait for the outcome; whatever it is, no process of the group is left when this returns."""
        deadline = time.monotonic() + timeout_s
        try:
            ended = self._until(deadline, watch)
            if isinstance(ended, Done):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.popen.wait(_LEAVE_S)
        finally:
            self.process.stop(_LEAVE_S)
            os.close(self.results)
        if self._printed > _LOGGED_OUTPUT:
            event(_log, "job.output_cut", logging.WARNING, bytes=self._printed, logged_bytes=_LOGGED_OUTPUT)
        return ended

    def _until(self, deadline: float, watch: Watch) -> Done | Raised | Interrupted:
        """Return the outcome.

        1. The child told it.
        2. The daemon must end the job.
        3. The time limit passed.
        4. The lease is lost.
        5. The process ended without telling an outcome.
        """
        poll = self._polled(watch.wake)
        while True:
            self._hear(poll, min(_LOOK_S, max(0.0, deadline - time.monotonic())), watch)
            outcome = self._outcome(watch)
            if outcome is not None:
                return outcome  # 1
            if watch.must_end():
                return Interrupted()  # 2
            if time.monotonic() >= deadline:
                return Raised(Transient("it ran longer than its time limit and was ended"))  # 3
            over = watch.lease_over()
            if over is not None:
                return Raised(LeaseLost(f"the GPU lease is over: {over}"))  # 4
            if self.process.popen.poll() is not None:
                self._hear(poll, 0.0, watch)
                return self._outcome(watch) or Raised(Transient(self._how_it_ended()))  # 5

    def _polled(self, wake: int) -> select.poll:
        poll = select.poll()
        printed = self.process.popen.stdout
        for file in (self.results, wake, *([printed.fileno()] if printed is not None else [])):
            poll.register(file, select.POLLIN)
        return poll

    def _hear(self, poll: select.poll, wait_s: float, watch: Watch) -> None:
        for file, _ in poll.poll(wait_s * 1000):
            data = os.read(file, 65_536)
            if file == watch.wake:
                continue
            if not data:
                poll.unregister(file)
            elif file == self.results:
                self._told += data
            else:
                with contextlib.suppress(OSError):  # whoever collected this process's log is gone
                    os.write(sys.stderr.fileno(), data[: max(0, _LOGGED_OUTPUT - self._printed)])
                self._printed += len(data)

    def _outcome(self, watch: Watch) -> Done | Raised | None:
        while b"\n" in self._told:
            line, _, self._told = self._told.partition(b"\n")
            told = _read(bytes(line))
            if "progress" in told:
                watch.progress(plain(str(told["progress"]), 200))
            elif isinstance(told.get("done"), dict):
                return Done(told["done"])
            elif isinstance(told.get("raised"), dict):
                return Raised(_error(told["raised"]), str(told["raised"].get("traceback", "")))
        if len(self._told) > _MOST_LINE:
            return Raised(Permanent("its outcome has no end"))
        return None

    def _how_it_ended(self) -> str:
        code = self.process.popen.returncode
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code} and told no outcome"


def _read(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _error(raised: Mapping[str, Any]) -> ForgeError:
    message = plain(str(raised.get("message", "")), 300)
    delay_s = raised.get("delay_s")
    if raised.get("kind") == "snooze" and isinstance(delay_s, int | float):
        return Snooze(float(delay_s), message)
    return {"permanent": Permanent, "lease_lost": LeaseLost}.get(str(raised.get("kind")), Transient)(message)
