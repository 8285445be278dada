"""The fence of a store: who works under an older GPU lease than the store has seen may not write any more.

A lease ends without its holder knowing: it was paused, and wakes up after the next one has begun. Redis cannot stop it
from writing; the place it writes to can, because every lease has a number, the term, that only rises. The highest one
is kept here, beside what it guards, so that it is as durable as that and does not depend on Redis. Belongs here: that
number and the refusal. Does not belong here: what is written, or where the term comes from (``gpu/lease.py``).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forge_workers import files
from forge_workers.errors import Damaged, LeaseLost, Transient

#: Longest wait in seconds for another writer: a switch of one name takes milliseconds, a paused writer for ever.
_PATIENCE_S = 30.0
_LOOK_S = 0.01


class Fence:
    """The highest term that one store has seen of each device.

    Args:
        path: The file that keeps it, beside what it guards; a lock file stands beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def admit(self, device: str, term: int | None) -> Iterator[None]:
        """Let the block write in the name of ``term``. Nobody else is admitted meanwhile, so keep it short.

        Args:
            device: The device that was leased, ``<host>:<number>``.
            term: Of the lease that the work was done under; None for work without one, which is only let in alone.

        Raises:
            LeaseLost: The store has seen a higher term; nothing may be written.
            Transient: Another writer did not finish within 30 seconds.
            Damaged: What is kept is no fence.
            OSError: The disk is full or refuses.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(lock)
            seen = self._seen()
            newest = seen.get(device, 0)
            if term is not None and term < newest:
                raise LeaseLost(f"written under term {term} of GPU {device}, but {self._path.parent} has seen {newest}")
            if term is not None and term > newest:
                files.replace(self._path, json.dumps({**seen, device: term}))
            yield
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Transient(f"another process writes to {self._path.parent} and does not finish") from None
                time.sleep(_LOOK_S)
            else:
                return

    def _seen(self) -> dict[str, int]:
        try:
            seen = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            seen = None
        if not isinstance(seen, dict) or not all(type(term) is int for term in seen.values()):
            raise Damaged(f"{self._path} is no fence: remove it when nothing uses the GPU")
        return seen
