"""Noticing that a holder died, at once: the kernel frees its lock, and whoever waits looks.

Only for holders on this machine that took the kernel lock; for others the lease's TTL is the bound. A living holder is
never taken for dead: the note in the file names a lease only once its holder has the lock, and that lease is over when
the lock is free again, because a holder takes it once. Belongs here: the looking. Does not belong here: what becomes
of the lease, which ``lease.lua`` decides by its token.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from forge_workers.errors import Transient
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
                if note is not None and note.token not in {"", ended}:
                    with contextlib.suppress(Transient):
                        self._end(note.token)
                        ended = note.token
                time.sleep(PEEK_S)
