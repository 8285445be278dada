"""The place of one daemon on this machine: a locked file, so that there is one process per place.

The kernel frees the lock when the process is gone, however it went, which tells the next one at once, and without
waiting for a heartbeat to expire, that what the last one had in flight may be taken back. A second file is shared with
the processes that do the jobs: only when they are gone too is there nobody left who could still finish one. Belongs
here: those two files. Does not belong here: claims (``queue.py``).
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path


class Slot:
    """One place.

    Args:
        home: ``FORGE_HOME``.
        worker: The worker's name.
        number: Which of its processes, from 0.
    """

    def __init__(self, home: Path, worker: str, number: int) -> None:
        folder = home / "fleet"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{worker}-{number}.lock"
        self._jobs_path = folder / f"{worker}-{number}.jobs"
        self._file = _opened(self._path)
        self.jobs = -1

    def take(self) -> str | None:
        """Wait for the place; return the claim of its last owner if all its processes are gone, else None."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        found = re.fullmatch(rb"([0-9a-f]{32})\n", os.pread(self._file, 64, 0))
        last = found[1].decode() if found else None
        self.jobs = _opened(self._jobs_path)
        try:
            fcntl.flock(self.jobs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a job's process outlived its daemon: leave it that file, and its claim its heartbeat
            os.close(self.jobs)
            self._jobs_path.unlink()
            self.jobs = _opened(self._jobs_path)
            fcntl.flock(self.jobs, fcntl.LOCK_EX)
            return None
        return last

    def write(self, claim: str) -> None:
        """Keep ``claim`` for the next owner."""
        os.pwrite(self._file, claim.encode() + b"\n", 0)

    def close(self) -> None:
        """Leave the place."""
        for file in (self.jobs, self._file):
            if file >= 0:
                os.close(file)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
