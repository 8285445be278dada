"""One attempt at a night: who works on it, and whether it was finished.

``forge night`` holds a night's lock alone; the steps of Dagster's runs, each a process of its own, share it. So neither
works on a night while the other does. Belongs here: that lock, and the note that lets a stopped night go on where it
was. Does not belong here: the steps themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import ValidationError

from forge_workers import files
from forge_workers.errors import BadArgs, Damaged
from forge_workers.night import STEPS
from forge_workers.report import Frozen
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import check_night, window

_NOTE = "attempt.json"
_LOCK = ".lock"
#: Seconds between two looks whether the night is free.
_LOOK_S = 0.5


class Attempt(Frozen):
    """One attempt at a night.

    Attributes:
        name: Written with each report this attempt makes.
        settings: Digest of the settings it began with; other settings begin another attempt.
        started_at: UTC unix seconds.
        pid: The process that works on it.
        finished: Whether every step of it was done.
    """

    name: str
    settings: str
    started_at: float
    pid: int
    finished: bool = False


class Busy(BadArgs):
    """Another process works on this night."""


@contextlib.contextmanager
def only_one(root: Path, night: str) -> Iterator[None]:
    """Keep every other process off ``night`` until this block ends, or this process does.

    Raises:
        Busy: Another process is at it; the message names it.
    """
    folder = root / check_night(night)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(_taken(root, night)) from None
    try:
        yield
    finally:
        lock.release()


def _taken(root: Path, night: str) -> str:
    noted = read(root, night)
    by = f" by process {noted.pid}" if noted and not noted.finished and psutil.pid_exists(noted.pid) else ""
    return f"the night {night} is already being run{by}: see `forge status`"


def share(root: Path, night: str, wait_s: float, sleep: Callable[[float], None] = time.sleep) -> int:
    """Wait until no process has ``night`` alone, and keep it so until the file that is returned is closed.

    Args:
        root: The directory ``nights``.
        night: The night's key.
        wait_s: Longest wait in seconds.
        sleep: Waits some seconds.

    Returns:
        An open file; the kernel closes it with the process.

    Raises:
        Busy: Another process had it alone all the time; the message names it.
        OSError: The disk refuses.
    """
    folder = root / check_night(night)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(os.close, file)
        waited_s = 0.0
        while not _shared(file):
            if waited_s >= wait_s:
                raise Busy(_taken(root, night))
            sleep(_LOOK_S)
            waited_s += _LOOK_S
        on_failure.pop_all()
    return file


def _shared(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running(attempt: Attempt | None) -> bool:
    """Whether the process of ``attempt`` still works on it; looking does not get in its way."""
    if attempt is None or attempt.finished:
        return False
    try:
        return psutil.Process(attempt.pid).create_time() <= attempt.started_at
    except psutil.Error:
        return False


def read(root: Path, night: str) -> Attempt | None:
    """Return the newest attempt at ``night``, or None."""
    try:
        return Attempt.model_validate_json((root / check_night(night) / _NOTE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write(root: Path, night: str, attempt: Attempt) -> None:
    """Keep ``attempt`` as the newest of ``night``.

    Raises:
        OSError: The disk is full or refuses; the note before it is untouched.
    """
    files.replace(root / check_night(night) / _NOTE, attempt.model_dump_json(indent=1))


def begin(root: Path, night: str, settings: Settings, now: float) -> Attempt:
    """Go on with the attempt that was stopped, or begin another; the caller holds :func:`only_one`.

    An attempt from before the end of the day is never gone on with: its reports lack what the day still brought.
    """
    chosen = _digest(settings)
    last = read(root, night)
    day_over_at = window(night, settings.zone).end_at
    goes_on = last is not None and not last.finished and last.settings == chosen and last.started_at >= day_over_at
    name = last.name if last is not None and goes_on else uuid.uuid4().hex[:12]
    attempt = Attempt(name=name, settings=chosen, started_at=now, pid=os.getpid())
    write(root, night, attempt)
    return attempt


def done_before(store: NightStore, night: str) -> tuple[str, ...]:
    """Return the steps whose reports the store's attempt has already made, unharmed."""
    done: list[str] = []
    for asset in STEPS:
        with contextlib.suppress(Damaged, OSError):
            if store.attempt_of(asset, night) == store.attempt and store.load(asset, night) is not None:
                done.append(asset)
    return tuple(done)


def _digest(settings: Settings) -> str:
    """Name the settings without keeping them: the secrets among them count only by their presence."""
    plain = settings.model_dump(mode="json")
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]
