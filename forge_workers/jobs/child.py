"""One job in its own process: ``python -m forge_workers.jobs.child <file number for results>``.

The keeper (``runner.py``) writes the order as one line of JSON to the standard input and keeps it open: when it closes,
the keeper is gone, and this process ends itself and its whole group at once. To the results go lines of JSON: any
number of ``{"progress": text}``, then exactly one outcome, ``{"done": summary}`` or ``{"raised": {"kind", "delay_s",
"message", "traceback"}}``. The report itself is kept in ``results.py``.

A handler may close files, fork, leave threads behind or write to the standard output: the way to the keeper is moved
out of its reach first, only this process uses it, and the end does not wait for what a handler left. Belongs here: that
frame. Does not belong here: what arguments mean (``order.py``), or what becomes of the job (``doing.py``).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from forge_workers import settings as chosen
from forge_workers.address import redis_url_of
from forge_workers.catalog import WORKERS
from forge_workers.errors import BadArgs, ConfigError, LeaseLost, Permanent, Snooze, Transient
from forge_workers.jobs.models import gateway_for
from forge_workers.jobs.order import Order, focus_of, narrowed, report_by, request_of, with_upstream
from forge_workers.jobs.outcome import MOST_TRACEBACK
from forge_workers.jobs.results import Results
from forge_workers.jobs.retry import reason_of
from forge_workers.jobs.spool import Producer
from forge_workers.plain import plain
from forge_workers.redact import Redactor
from forge_workers.report import Receipt, Report, Severity
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.tools import Tools
from forge_workers.wire import Wire

#: Longest order, bytes: a job has at most 65,536.
_MOST_ORDER = 1_000_000
#: Highest file number that is used: beyond what a handler closes in a loop, and cheap to reach.
_HIGHEST_FILE = 65_536
#: Seconds between two lines of the same progress.
_PROGRESS_S = 1.0
#: Most reasons and numbers that a summary tells; the report keeps all.
_MOST_TOLD = 50
#: Exit code when the outcome could not be told. Source: sysexits.h, EX_IOERR.
_UNTOLD = 74
_LEVELS = frozenset({"GREEN", "YELLOW", "RED"})


class Keeper:
    """The way to the process that keeps this one.

    Args:
        results: The file number to tell outcomes to; closed here, after it was copied out of a handler's reach.
    """

    def __init__(self, results: int) -> None:
        self._results = _moved_away(results)
        self._is = _identity(self._results)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._said: tuple[str, float] = ("", 0.0)

    def say(self, text: str) -> None:
        """Tell how far the work is; the same words at most once a second."""
        last, at = self._said
        if text != last or time.monotonic() >= at + _PROGRESS_S:
            self._said = text, time.monotonic()
            self._write({"progress": plain(text)})

    def end(self, outcome: Mapping[str, Any]) -> NoReturn:
        """Tell the outcome and leave, whatever still runs in here."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # a handler closed it
                stream.flush()
        self._write(outcome)
        os._exit(0)

    def _write(self, told: Mapping[str, Any]) -> None:
        if os.getpid() != self._pid:  # a handler forked and its child came back here: it has nothing to tell
            os._exit(0)
        line = json.dumps(told, allow_nan=False).encode() + b"\n"
        with self._lock:
            try:
                if _identity(self._results) != self._is:
                    os._exit(_UNTOLD)
                while line:
                    line = line[os.write(self._results, line) :]
            except OSError:  # the handler closed every file, or the keeper is gone
                os._exit(_UNTOLD)


def _moved_away(file: int) -> int:
    """Copy an open file to a high number and close the low one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _HIGHEST_FILE if soft == resource.RLIM_INFINITY else min(soft, _HIGHEST_FILE)
    moved = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, max(most - 16, 3))
    os.close(file)
    return moved


def _identity(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino


def _order_from(line: int) -> bytes:
    """Read the first line, and nothing beyond it."""
    read = bytearray()
    while not read.endswith(b"\n") and len(read) < _MOST_ORDER:
        data = os.read(line, 65_536)
        if not data:
            os._exit(_UNTOLD)  # the keeper is gone before it said what it wants
        read += data
    return bytes(read)


def _die_with_keeper(line: int) -> None:
    """Wait for the end of the life line, then end this process and its group."""
    try:
        while os.read(line, 4_096):
            pass
    except OSError:  # the handler closed it: the keeper still ends the group itself
        return
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def outcome_of(line: bytes, keeper: Keeper) -> Mapping[str, Any]:
    """Do what the order says and return what to tell."""
    redactor = Redactor(())
    try:
        order = Order.read(line)
        settings = chosen.load(chosen.environment(FORGE_HOME=order.home))
        redactor = Redactor(settings.secrets)
        report = _done(order, settings, keeper)
        keeper.say("keeping the report")
        Results(settings.home).save(order.worker, order.job_id, report, device=order.device, term=order.term)
        return {"done": summary_of(report, redactor)}
    except BaseException as error:  # noqa: BLE001  whatever a handler raises, SystemExit too, is the keeper's to judge
        return {"raised": raised(error, redactor)}


def _done(order: Order, settings: Settings, keeper: Keeper) -> Report:
    """Call the row's functions and return the report with its receipt."""
    started_at, began = time.time(), time.monotonic()
    keeper.say("reading the job")
    focus = focus_of(order.args, settings)
    request = request_of(order, focus, settings)
    models = gateway_for(order, settings, keeper.say)
    try:
        tools = Tools(
            settings=narrowed(settings, focus),
            models=models,
            history=NightStore(settings.home / "nights"),
            now=time.time,
            enqueue=Producer(Wire(redis_url_of(os.environ, settings.home)), settings.home, WORKERS).enqueue,
        )
        request = with_upstream(order, request, tools, focus, keeper.say)
        keeper.say(order.worker)
        report = report_by(order.function, request, tools, row=order.worker)
    finally:
        models.close()
    receipt = Receipt(
        asset=report.asset,
        night=report.night,
        outcome=report.outcome,
        reasons=report.reasons,
        started_at=started_at,
        seconds=time.monotonic() - began,
        usage=models.usage,
        effects=report.effects,
        term=models.term,
    )
    return report.model_copy(update={"receipt": receipt})


def summary_of(report: Report, redactor: Redactor) -> dict[str, Any]:
    """Return what others need of a report: Redis, Dagster and Slack."""
    new = [finding for finding in report.findings if finding.is_new]
    numbers = {name: number for name, number in report.numbers.items() if math.isfinite(number)}
    level = report.data.get("level")
    return {
        "asset": report.asset,
        "night": report.night,
        "outcome": report.outcome.value,
        "headline": plain(redactor.text(report.headline), 500),
        "reasons": [plain(redactor.text(reason), 300) for reason in report.reasons[:_MOST_TOLD]],
        "findings": len(report.findings),
        "new": len(new),
        "urgent": sum(finding.severity.rank >= Severity.HIGH.rank for finding in new),
        "numbers": dict(list(numbers.items())[:_MOST_TOLD]),
        "level": level if isinstance(level, str) and level in _LEVELS else None,
    }


def raised(error: BaseException, redactor: Redactor) -> dict[str, Any]:
    """Return what to tell of an error; of no error can telling it fail."""
    delay_s = getattr(error, "delay_s", None)
    known = isinstance(delay_s, int | float) and math.isfinite(delay_s) and delay_s >= 0
    try:
        message = reason_of(error)
        trace = "".join(traceback.format_exception(error))[-2 * MOST_TRACEBACK :]
    except Exception:  # noqa: BLE001  its own words can raise as well
        message, trace = f"{type(error).__name__}, which cannot say what is wrong", ""
    return {
        "kind": _kind(error),
        "delay_s": float(delay_s) if known and delay_s is not None else None,
        "message": plain(redactor.text(message), 300),
        "traceback": redactor.text(trace)[-MOST_TRACEBACK:],
    }


def _kind(error: BaseException) -> str:
    kinds = {Snooze: "snooze", LeaseLost: "lease_lost", Transient: "transient"}
    if isinstance(error, Permanent | BadArgs | ConfigError):
        return "permanent"
    return next((kind for known, kind in kinds.items() if isinstance(error, known)), "other")


def main(results: int) -> NoReturn:
    """Do one job and leave."""
    os.umask(0o077)
    keeper = Keeper(results)
    life_line = _moved_away(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    line = _order_from(life_line)
    threading.Thread(target=_die_with_keeper, args=(life_line,), name="life line", daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    keeper.end(outcome_of(line, keeper))


if __name__ == "__main__":
    main(int(sys.argv[1]))
