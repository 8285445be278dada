"""The kernel's part of the lease: a locked file that two processes of one machine never hold together.

Redis gives queueing, visibility and expiry, but a holder that was paused past its expiry does not know. The kernel
does: it frees the lock only when the last process that inherited the open file is gone. The file also keeps the newest
term, so that terms keep rising when Redis has lost its counter. Belongs here: the file. Does not belong here: Redis.

``fcntl.flock`` and not ``filelock``: that empties the file when it opens it, and with it the term.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path


def mutex_file(home: Path, device: str = "local:0") -> Path:
    """Return the file that stands for ``device`` on this machine."""
    return home / "gpu" / f"{re.sub(r'[^A-Za-z0-9]+', '-', device)}.lock"


class Mutex:
    """One attempt at the locked file; ``close`` lets go of it.

    Args:
        path: The file; it and its directory are made when absent and never removed.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def taken(self) -> bool:
        """Take the lock if nobody has it, and say whether it is ours."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def note(self) -> tuple[int, int]:
        """Return the newest term and the process that wrote it, 0 and 0 when there is none."""
        found = re.fullmatch(rb"(\d+) (\d+)\n", os.pread(self._file, 64, 0))
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def write(self, term: int) -> None:
        """Keep ``term`` and this process's number; only while the lock is ours."""
        line = b"%d %d\n" % (term, os.getpid())
        os.pwrite(self._file, line, 0)
        os.ftruncate(self._file, len(line))

    def close(self) -> None:
        """Let go of the lock, unless a child inherited the open file and still lives."""
        os.close(self._file)
