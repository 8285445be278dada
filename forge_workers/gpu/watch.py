"""Noticing that a holder died, at once: the kernel frees its lock, and whoever waits looks.

Only for holders on this machine that took the kernel lock; for others the lease's TTL is the bound. A living holder is
never taken for dead: two things must hold, that nobody has the lock any more, and that the process which the note in
the file names is gone. The lock alone is not enough: a job's process may have closed it and work on. Belongs here: the
looking. Does not belong here: what becomes
of the lease, which ``lease.lua`` decides by its token.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from forge_workers.errors import ForgeError
from forge_workers.gpu.mutex import Mutex

#: Seconds between two looks: short beside loading a model, and twenty cheap system calls a second.
PEEK_S = 0.05


class Watch:
    """Looks at the kernel lock from a thread of its own until stopped.

    Args:
        path: The lock's file.
        end: Ends the lease of a token if it is still held; may raise ``Transient``, then it is asked again.
    """

    def __init__(self, path: Path, end: Callable[[str], object]) -> None:
        self._path = path
        self._end = end
        self._stopped = False
        threading.Thread(target=self._look, name="lease-watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more. The thread is not woken for it: who stops has just been given the device and is in a hurry."""
        self._stopped = True

    def _look(self) -> None:
        ended = ""
        with contextlib.closing(Mutex(self._path)) as mutex:
            while not self._stopped:
                note = mutex.note_if_free()
                if note is not None and note.token not in {"", ended} and not _lives(note.pid):
                    with contextlib.suppress(ForgeError):  # Redis is away, or starts: look again
                        self._end(note.token)
                        ended = note.token
                time.sleep(PEEK_S)


def _lives(pid: int) -> bool:
    """Whether a process has this number and more is left of it than an entry that waits to be collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # elsewhere than on Linux such an entry counts as alive until it is collected
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return True
