"""The processes of the queue's storm: workers, producers and a janitor, and the world that their jobs change.

All are forked from a warm parent, so that ten thousand can be killed on a small machine; each runs the real daemon or
the real producer. Belongs here: what these processes do. Does not belong here: killing them (``queue_storm.py``), or
any judgement (``queue_oracle.py``).
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from forge_workers.catalog import Arg, Worker
from forge_workers.errors import Permanent, Snooze, Transient
from forge_workers.jobs import janitor
from forge_workers.jobs.daemon import Daemon
from forge_workers.jobs.doing import Context
from forge_workers.jobs.queue import Pace, Queue, prefix_of
from forge_workers.jobs.spool import Producer
from forge_workers.wire import Refused, Unanswered, Wire
from tests.jobs import broken

#: Short, so that a death costs a second and not a quarter of a minute; four beats, for a machine that is overloaded.
PACE = Pace(ttl_s=1.0, beat_s=0.25, settle_s=1.0)
STORM = Worker(
    "storm",
    "Changes one byte of a file per job.",
    "tests.chaos.queue_players:handle",
    args={
        "n": Arg("the job's number", kind=int),
        "what": Arg("how it ends the first time", pattern="retry|snooze|bury"),
        "seconds": Arg("how long it takes", kind=float),
    },
    timeout_s=30.0,
    backoff_s=0.02,
    backoff_cap_s=0.05,
    inline=True,
)
TIDY = Worker("storm_janitor", "Tidies.", "tests.chaos.queue_players:tidy", inline=True, every_s=0.5)
#: Where the janitor finds what it looks after.
STORM_PREFIX = prefix_of(STORM.name)
#: Jobs in line at which producers pause, so that a look at every place stays cheap.
_MOST_WAITING = 800
#: Producers wait while there is a file of this name.
HELD = "held"
#: One job in so many, and which: odd ways to go in or to end.
_EVERY = 500
_RETRY, _SNOOZE, _LATER, _URGENT, _KEYED, _BURY = 3, 4, 5, 6, 7, 8


class World:
    """What jobs change: a byte per job, set once, and a note of every execution.

    A kernel lock on the byte makes looking and setting one step, which ends whole or not at all when the process is
    killed. A handler may run twice; the second time it finds its effect there.
    """

    def __init__(self, home: Path, jobs: int) -> None:
        self._files = {
            name: os.open(home / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for name in ("effects", "firsts")
        }
        for file in self._files.values():
            os.ftruncate(file, max(jobs, os.fstat(file).st_size))
        self.runs = _appending(home / "runs")

    def once(self, name: str, n: int) -> bool:
        """Set byte ``n`` of a file and say whether it was not set before."""
        file = self._files[name]
        fcntl.lockf(file, fcntl.LOCK_EX, 1, n)
        try:
            return os.pread(file, 1, n) == b"\0" and os.pwrite(file, b"\1", n) == 1
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, n)

    def all(self, name: str) -> bytes:
        """Return every byte of a file."""
        return os.pread(self._files[name], os.fstat(self._files[name]).st_size, 0)

    def close(self) -> None:
        """Let the files go."""
        for file in (*self._files.values(), self.runs):
            os.close(file)


def handle(context: Context) -> str:
    """Do one job: note that it runs, take its time, have its effect once."""
    world, n, what = _world(context.home), context.args["n"], context.args.get("what")
    if what is not None and world.once("firsts", n):
        raise {"retry": Transient("once more"), "snooze": Snooze(0.05), "bury": Permanent("by design")}[what]
    os.write(world.runs, b"%d\n" % n)
    if "seconds" in context.args:
        time.sleep(context.args["seconds"])
    world.once("effects", n)
    return str(n)


def tidy(context: Context) -> None:
    """Do for the storm's queue what the real janitor does for the catalogue's."""
    queue = Queue(context.wire, STORM, pace=PACE)
    janitor.adopt(context)
    queue.reclaim()
    Producer(context.wire, context.home, {STORM.name: STORM}).replay()


def work(home: Path, url: str, slot: int, flaw: str, row: Worker = STORM) -> None:
    """Be a worker."""
    _log_to(home)
    sys.exit(Daemon(row, home, broken.wire_to(url, flaw), slot, pace=PACE).run())


@dataclass(frozen=True)
class Work:
    """What producers enqueue.

    Attributes:
        jobs: How many jobs.
        sleeper: One in so many takes its time.
        seconds: How long that is.
    """

    jobs: int
    sleeper: int
    seconds: float


def produce(home: Path, url: str, wanted: Work, share: int, shares: int) -> None:
    """Enqueue every ``shares``-th job from where the last process of this share was killed, and note what is taken.

    A job that was asked for and not acknowledged when its producer was killed is left to its fate.
    """
    _log_to(home)
    wire = Wire(url)
    producer = Producer(wire, home, {STORM.name: STORM})
    asked, taken = _appending(home / f"asked-{share}"), _appending(home / "taken")
    before = (home / f"asked-{share}").read_bytes().count(b"\n")
    for n in range(share + shares * before, wanted.jobs, shares):
        os.write(asked, b"%d\n" % n)
        while not _taken(producer, n, wanted):
            time.sleep(0.02)
        os.write(taken, b"%d\n" % n)
        if n // shares % 16 == 0:
            _pause(wire, home / HELD)


def _taken(producer: Producer, n: int, wanted: Work) -> bool:
    """Ask once, in the way that this job has; False when Redis refused, as it does while it loads."""
    args: dict[str, object] = {"n": n}
    way = n % _EVERY
    if way in {_RETRY, _SNOOZE} or n % (10 * _EVERY) == _BURY:
        args["what"] = {_RETRY: "retry", _SNOOZE: "snooze", _BURY: "bury"}[way]
    if n % wanted.sleeper == wanted.sleeper - 1:
        args["seconds"] = wanted.seconds
    try:
        producer.enqueue(
            STORM.name,
            args,
            key=f"n{n}" if way == _KEYED else "",
            urgent=way == _URGENT,
            delay_s=0.2 if way == _LATER else None,
            by="schedule",
        )
    except Refused:
        return False
    return True


def _pause(wire: Wire, held: Path) -> None:
    """Wait while the line is long or jobs are held up; not while Redis is away, for the spool takes jobs then."""
    try:
        while held.exists() or wire.call("LLEN", f"{STORM_PREFIX}:waiting") > _MOST_WAITING:
            time.sleep(0.02)
    except (Unanswered, Refused):
        return


@functools.cache
def _world(home: Path) -> World:
    return World(home, 0)


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _log_to(home: Path) -> None:
    logging.basicConfig(filename=home / "log", level=logging.WARNING, format="%(process)d %(message)s")
