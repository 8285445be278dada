"""The kernel's part of the lease: a locked file that two processes of one machine never hold together.

Redis gives queueing, visibility and expiry, but a holder that was paused past its expiry does not know. The kernel
does: it frees the lock only when the last process that inherited the open file is gone. The file also keeps the newest
term, so that terms keep rising when Redis has lost its counter, and the token of its lease, so that whoever finds the
lock free can end the lease of a holder that died. Belongs here: the file. Does not belong here: Redis.

``fcntl.flock`` and not ``filelock``: that empties the file when it opens it, and with it the term.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import NamedTuple

#: Numbers with as many digits as 64 bits have, so that a note never changes its length: half a note cannot be left.
_NOTE = b"%020d %020d %32s\n"
_READ = re.compile(rb"(\d+) +(\d+)(?: ([0-9a-f]{32}))?\n")


class Note(NamedTuple):
    """Who took the lock last: its term, its process, its token; 0, 0 and empty when nobody did."""

    term: int
    pid: int
    token: str


def mutex_file(home: Path, device: str = "local:0") -> Path:
    """Return the file that stands for ``device`` on this machine."""
    return home / "gpu" / f"{re.sub(r'[^A-Za-z0-9]+', '-', device)}.lock"


class Mutex:
    """One attempt at the locked file; ``close`` lets go of it.

    Args:
        path: The file; it and its directory are made when absent and never removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = _opened(path)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _opened(path)

    def fileno(self) -> int:
        """Return the descriptor, for a child that shall inherit the lock."""
        return self._file

    def taken(self) -> bool:
        """Take the lock if nobody has it, and say whether it is ours."""
        return self._locked(fcntl.LOCK_EX)

    def let_go(self) -> None:
        """Unlock and keep the file open."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def note_if_free(self) -> Note | None:
        """Return the note when nobody has the lock, else None. Not on an attempt that has taken it."""
        if not self._locked(fcntl.LOCK_SH):
            return None
        try:
            return self.note()
        finally:
            self.let_go()

    def note(self) -> Note:
        """Return who took the lock last."""
        found = _READ.match(os.pread(self._file, 128, 0))
        return Note(int(found[1]), int(found[2]), (found[3] or b"").decode()) if found else Note(0, 0, "")

    def write(self, term: int, token: str) -> None:
        """Keep ``term``, this process's number and ``token``; only while the lock is ours."""
        os.pwrite(self._file, _NOTE % (term, os.getpid(), token.encode()), 0)

    def close(self) -> None:
        """Let go of the lock, unless a child inherited the open file and still lives."""
        os.close(self._file)

    def _locked(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
