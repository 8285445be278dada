"""Who asked for a night, and that nobody asks twice: ``nights/<night>/asked.json``.

The life of one asking:

1. A schedule or sensor *takes* the night: under a kernel lock it looks whether somebody asked already, here or in
   Dagster, and only then writes its claim. Of two daemons that tick at once one takes it.
2. It then asks Dagster for a run that carries the claim. A daemon that dies before that leaves a claim without a run:
   after :data:`GRACE_S` the next look takes the night again, under a new claim.
3. A run *begins* before its first step works: under the same lock it finds its own claim, or ends. So a daemon that was
   only asleep between 1 and 2, and asks after all, makes a run that does nothing.

A clock that was set back makes an asking lie in the future: nobody knows how long ago it was, so it counts as long ago.
Taking once too often costs a run that does nothing, never a second night. Belongs here: that record. Does not belong
here: which nights are wanted (``policy.py``), or what Dagster knows, which comes in as a function.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from forge_workers import files
from forge_workers.errors import Permanent, Transient
from forge_workers.nights.policy import Kind, Plan
from forge_workers.report import Frozen
from forge_workers.windows import NightKey, check_night, nights_before

#: Seconds that a claim may be without a run; a daemon needs one or two, and a busy machine some more.
GRACE_S = 300.0
#: Longest wait for another process that takes or begins the same night, in seconds; each takes milliseconds.
_LOCK_S = 10.0
_RECORD = "asked.json"
_WATCH = "watched.json"


class Asked(Frozen):
    """What was asked for one night.

    Attributes:
        night: The night's key.
        kind: As the plan says.
        at: When, UTC unix seconds.
        claim: Names this asking; the run carries it.
        run: The run that began, empty while none has.
        skipped: Why a step was not asked for, by asset.
        tells_in: The night whose briefing tells of it.
    """

    night: NightKey
    kind: Kind
    at: float
    claim: str
    run: str = ""
    skipped: Mapping[str, str] = {}
    tells_in: NightKey

    @property
    def wants_run(self) -> bool:
        """Whether a run was asked for at all."""
        return self.kind in {"scheduled", "caught up"}


class Superseded(Permanent):
    """Another run was asked for this night, so this one does nothing."""


def read(root: Path, night: str) -> Asked | None:
    """Return what was asked for ``night`` by schedule or sensor, or None when nothing was.

    Raises:
        BadArgs: ``night`` is no night.
    """
    try:
        return Asked.model_validate_json((root / check_night(night) / _RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def skipped(root: Path, night: str) -> Mapping[str, str]:
    """Return why steps of ``night`` were not asked for, by asset."""
    found = read(root, night)
    return {} if found is None else found.skipped


def take(
    root: Path, plan: Plan, now: float, has_run: Callable[[Asked | None], bool], grace_s: float = GRACE_S
) -> Asked | None:
    """Take a night, so that nobody else does; return the claim, or None when somebody else has it.

    1. It was settled that nothing is run: somebody has it.
    2. Its run has begun, or the claim is younger than the grace: somebody has it.
    3. Dagster has a run, for the claim or of a person: somebody has it.
    4. Otherwise it is taken.

    Args:
        root: The directory ``nights``.
        plan: What is to be done.
        now: UTC unix seconds.
        has_run: Whether Dagster has a run for this asking; for None, whether anybody at all works on the night or did.
        grace_s: Seconds that a claim may be without a run.

    Raises:
        OSError: The disk is full or refuses.
    """
    try:
        with _locked(root, plan.night):
            before = read(root, plan.night)
            if before is not None and not before.wants_run:
                return None  # 1
            if before is not None and (before.run or 0 <= now - before.at <= grace_s):
                return None  # 2
            if has_run(before):
                return None  # 3
            taken = Asked(night=plan.night, kind=plan.kind, at=now, claim=uuid.uuid4().hex[:12],
                          skipped=plan.skipped, tells_in=plan.tells_in)  # fmt: skip
            _write(root, taken)
            return taken  # 4
    except Transient:
        return None


def begin(root: Path, night: str, claim: str, run: str) -> None:
    """Let the run that carries ``claim`` work on ``night``, once per claim; called by each of its steps.

    Args:
        root: The directory ``nights``.
        night: The night's key.
        claim: What the run was asked for with.
        run: The run's id; of a run that is tried again, the id of its first try.

    Raises:
        Superseded: The night was taken again, or another run with this claim has begun.
        Transient: Another process holds the record and does not finish.
    """
    with _locked(root, night):
        found = read(root, night)
        if found is None:
            return  # somebody removed the record: nothing says that this run is not the one
        if found.claim != claim or found.run not in {"", run}:
            raise Superseded
        if not found.run:
            _write(root, found.model_copy(update={"run": run}))


def watched_since(root: Path, present: str) -> str:
    """Return the last night that was due before anybody kept watch; the first call of all settles it.

    A watch that began in the future, by a clock that was wrong, has missed nothing before the present night.

    Args:
        root: The directory ``nights``.
        present: The newest night that is due.

    Raises:
        OSError: The disk is full or refuses.
    """
    path = root / _WATCH
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            files.write(path, _Watch(since=present).model_dump_json().encode())
            return present
    try:
        since = _Watch.model_validate_json(path.read_bytes()).since
    except ValidationError:
        files.replace(path, _Watch(since=present).model_dump_json())  # cut short by a power cut: begin again
        return present
    return since if since <= present else nights_before(present, 1)[0]


class _Watch(Frozen):
    since: NightKey


def _write(root: Path, record: Asked) -> None:
    files.replace(root / record.night / _RECORD, record.model_dump_json(indent=1))


@contextlib.contextmanager
def _locked(root: Path, night: str) -> Iterator[None]:
    folder = root / check_night(night)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / ".asked.lock", timeout=_LOCK_S)
    try:
        lock.acquire()
    except Timeout:
        raise Transient(f"another process holds {folder / _RECORD} and does not finish") from None
    try:
        yield
    finally:
        lock.release()
