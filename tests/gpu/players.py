"""Processes that compete for the lease, and the things they compete over. Spawned by tests; holds no assertion."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from forge_workers.errors import LeaseLost, Snooze
from tests.gpu.holding import leases_at

_SPAWN = multiprocessing.get_context("spawn")


class FencedStore:
    """A file of writes that refuses a term below the highest it has seen; unless it is broken on purpose."""

    def __init__(self, path: Path, *, fenced: bool = True) -> None:
        self.path = path
        self.fenced = fenced
        path.touch()

    def write(self, term: int) -> bool:
        """Write in the name of ``term`` and say whether it was accepted."""
        with self.path.open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            accepted = not self.fenced or term >= max((int(line) for line in file), default=0)
            if accepted:
                file.seek(0, os.SEEK_END)
                file.write(f"{term}\n")
        return accepted

    def accepted(self) -> list[int]:
        """Return the terms of all accepted writes, in order."""
        return [int(line) for line in self.path.read_text(encoding="ascii").splitlines()]


class Device:
    """A device that writes down who opens and closes it, and so shows two users at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def use(self, term: int, for_s: float) -> None:
        """Open it, work, close it."""
        self._note(f"open {term}")
        time.sleep(for_s)
        self._note(f"close {term}")

    def _note(self, line: str) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(line + "\n")

    def overlaps(self) -> int:
        """Return how often it was opened while somebody used it."""
        users, found = 0, 0
        for line in self.path.read_text(encoding="ascii").splitlines():
            users += 1 if line.startswith("open") else -1
            found += users > 1
        return found


def compete(redis_socket: Path, home: Path, mutex: Path | None, for_s: float, ttl_s: float) -> None:
    """Take the lease again and again for ``for_s`` seconds, use the device and write to the store."""
    leases = leases_at(redis_socket, ttl_s=ttl_s, mutex=mutex)
    store, device = FencedStore(home / "store"), Device(home / "device")
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        try:
            with leases.acquire("storm", wait_s=2) as lease:
                for _ in range(3):
                    lease.check()
                    device.use(lease.term, 0.005)
                    store.write(lease.term)
        except (LeaseLost, Snooze):
            continue


def hold(redis_socket: Path, mutex: Path | None, ttl_s: float, told: Connection) -> None:
    """Take the lease, tell its term, and keep it until killed."""
    with leases_at(redis_socket, ttl_s=ttl_s, mutex=mutex).acquire("holder", wait_s=10) as lease:
        told.send(lease.term)
        time.sleep(600)


def sleep_before_writing(
    redis_socket: Path, store: FencedStore, mutex: Path | None, ttl_s: float, told: Connection
) -> None:
    """Take the lease, check it, be stopped by a signal, and write when continued: the worst moment there is."""
    with leases_at(redis_socket, ttl_s=ttl_s, mutex=mutex).acquire("sleeper", wait_s=10) as lease:
        lease.check()
        told.send(lease.term)
        os.kill(os.getpid(), signal.SIGSTOP)
        told.send(store.write(lease.term))


@contextmanager
def running(target: object, *args: object) -> Iterator[BaseProcess]:
    """Run ``target`` in a process of its own and kill it at the end, stopped or not."""
    process = _SPAWN.Process(target=target, args=args, daemon=True)  # type: ignore[arg-type]
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def pipe() -> tuple[Connection, Connection]:
    """Return the two ends of a pipe: to read from, to hand to a player."""
    return _SPAWN.Pipe(duplex=False)
