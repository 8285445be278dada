"""The place of one service on this machine: a locked file, in which it says that it is ready and where it listens.

The kernel frees the lock when the process is gone, however it went: so there is one process per place, and what is read
of a place is never stale. Belongs here: that file. Does not belong here: a worker's place (``jobs/slot.py``), or what a
service does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import NamedTuple

from forge_workers.private import make_private


class Told(NamedTuple):
    """What the owner of a place said: its process number, and where it listens, "" for nowhere."""

    pid: int
    address: str


class Place:
    """One service's place.

    Args:
        home: ``FORGE_HOME``.
        service: The service's name.
    """

    def __init__(self, home: Path, service: str) -> None:
        self._path = home / "fleet" / f"{service}-0.lock"

    def take(self) -> None:
        """Wait until nobody has the place, and keep it until this process is gone."""
        make_private(self._path.parent)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.ftruncate(self._file, 0)

    def tell(self, address: str = "") -> None:
        """Say that this process is ready; the place must have been taken."""
        os.pwrite(self._file, f"{os.getpid()} {address}\n".encode(), 0)

    def told(self) -> Told | None:
        """Return what its owner said; None when there is none or it is not ready."""
        try:
            with self._path.open("r", encoding="utf-8") as file:
                with contextlib.suppress(BlockingIOError):  # shared, so that two who look do not see each other
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return None
                found = re.fullmatch(r"(\d{1,9}) (\S*)\n", file.read(4_096))
        except OSError:
            return None
        return Told(int(found[1]), found[2]) if found else None
