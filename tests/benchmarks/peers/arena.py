"""One private server with workers and producers around it, on the cores they are told, and what the workers wrote.

Belongs here: starting, feeding, waiting for and ending what is measured. Does not belong here: any figure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from tests.benchmarks.peers.contenders import ROOT, Contender
from tests.benchmarks.peers.handler import Record, count, read
from tests.standins.redis import PrivateRedis, start_redis

#: Seconds between two looks at the file of records.
_LOOK_S = 0.02

Cores = frozenset[int]


@dataclass(frozen=True)
class Placement:
    """Which cores the server, the workers and the producers may use; empty for any."""

    name: str
    server: Cores = frozenset()
    workers: Cores = frozenset()
    producers: Cores = frozenset()


ANYWHERE = Placement("not pinned")


def placements() -> tuple[Placement, ...]:
    """Return the placements this machine can be held to: all on one core, and the server on one of its own."""
    first, second = _two_cores()
    if not first:
        return (ANYWHERE,)
    same = Placement("one core", first, first, first)
    return (same, Placement("two cores", first, second, second)) if second else (same,)


def apart() -> Placement:
    """Return the placement in which a worker has a core of its own, if there are two."""
    first, second = _two_cores()
    return Placement("workers on a core of their own", first, second or first, first) if first else ANYWHERE


def _two_cores() -> tuple[Cores, Cores]:
    if not hasattr(os, "sched_setaffinity"):  # macOS pins no process
        return frozenset(), frozenset()
    first, *others = sorted(os.sched_getaffinity(0))
    return frozenset({first}), frozenset(others[:1])


class Feeder:
    """A producer's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._numbers = itertools.count()

    def send(self, many: int = 1, first: int | None = None) -> float:
        """Enqueue ``many`` jobs and return the seconds that took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = next(self._numbers) if first is None else first
        for _ in range(many - 1 if first is None else 0):
            next(self._numbers)
        self._process.stdin.write(f"{start} {many}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the producer {' '.join(map(str, self._process.args))} ended; its reason is above")
        return float(answer)


@dataclass
class Arena:
    """One server's surroundings."""

    server: PrivateRedis
    placement: Placement
    _started: list[subprocess.Popen] = field(default_factory=list)

    def records_of(self, who: Contender) -> Path:
        """Return the file that this contender's workers write."""
        return self.server.home / f"{self._short(who)}.records"

    def worker(self, who: Contender, *, slot: int = 0, seconds: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a worker whose jobs take ``seconds``."""
        words = {"{url}": self.url, "{slot}": str(slot)}
        command = [str(who.bin / who.worker[0]), *(words.get(word, word) for word in who.worker[1:])]
        with (self.server.home / f"{self._short(who)}.log").open("ab") as log, pinned(self.placement.workers):
            process = subprocess.Popen(
                command,
                env=self._environ(who) | {"BENCH_SECONDS": str(seconds)},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def feeder(self, who: Contender, sender: str = "") -> Feeder:
        """Start a producer; ``sender`` replaces the contender's own."""
        with pinned(self.placement.producers):
            process = subprocess.Popen(
                [str(who.bin / "python"), "-m", "tests.benchmarks.peers.produce", sender or who.sender],
                env=self._environ(who),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._started.append(process)
        return Feeder(process)

    def wait(self, who: Contender, many: int, patience_s: float) -> list[Record]:
        """Return the contender's records when there are ``many`` or the time is over."""
        deadline = time.monotonic() + patience_s
        while count(self.records_of(who)) < many and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        return read(self.records_of(who))

    def end_all(self) -> None:
        """Kill everything that was started here."""
        for process in self._started:
            kill(process)
        self._started.clear()

    @property
    def url(self) -> str:
        """The server's address."""
        return f"unix://{self.server.socket}"

    def _short(self, who: Contender) -> str:
        return "".join(letter for letter in who.name if letter.isalnum())

    def _environ(self, who: Contender) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.server.home),
            "FORGE_HOME": str(self.server.home),
            "PYTHONPATH": str(ROOT),
            "BENCH_URL": self.url,
            "BENCH_RECORDS": str(self.records_of(who)),
        }


@contextmanager
def arena(placement: Placement = ANYWHERE) -> Iterator[Arena]:
    """Give a fresh server and end everything around it afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as stack:
        with pinned(placement.server):
            server = stack.enter_context(start_redis(Path(folder)))
        here = Arena(server, placement)
        try:
            yield here
        finally:
            here.end_all()


@contextmanager
def pinned(cores: Cores) -> Iterator[None]:
    """Hold this thread, and so the processes it starts meanwhile, to ``cores``."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(process: subprocess.Popen) -> list[psutil.Process]:
    """Return a process and its descendants."""
    try:
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def kill(process: subprocess.Popen) -> None:
    """SIGKILL a process and all its descendants."""
    for one in tree(process):
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def kept_bytes(client: redis.Redis) -> int:
    """Return the bytes of memory that all keys of a server take."""
    return sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter(count=1_000))


def shuffled(what: Sequence, turn: int) -> list:
    """Return ``what`` beginning elsewhere in every round, so that no place in a round is always the same one's."""
    return [*what[turn % len(what) :], *what[: turn % len(what)]]
