"""A process group that ends as one, and with it the use of the device.

The kernel lock is inherited, not shared: once the process runs, its keeper has no copy. So it is free exactly when
the last process that inherited it is gone, also when the keeper was killed; one that did not inherit it, or closed it,
ends with the group. Belongs here: starting and ending
such a group. Does not belong here: what it does, when it must end (``jobs/runner.py``), or the lease (``lease.py``),
which its keeper gives back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from forge_workers.gpu.held import Lease

#: Seconds between two looks at whether a group that was asked to end has ended.
_LOOK_S = 0.02


class HeldProcess:
    """Runs one command in a session and process group of its own; what it prints, both ways, comes through ``popen``.

    Args:
        argv: The command; no shell reads it.
        lease: Held by this process; its kernel lock goes to the new one. None when it does not use the device.
        env: Its whole environment, this process's own when None.
        keep: Further files that it inherits.

    Raises:
        OSError: It cannot be started; the lock stays here.
    """

    def __init__(
        self,
        argv: Sequence[str],
        lease: Lease | None,
        *,
        env: Mapping[str, str] | None = None,
        keep: tuple[int, ...] = (),
    ) -> None:
        with lease.lock_handed_over() if lease is not None else contextlib.nullcontext(()) as files:
            self.popen = subprocess.Popen(
                list(argv),
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(*keep, *files),
            )

    def stop(self, grace_s: float) -> None:
        """End the whole group: SIGTERM, and SIGKILL to what is left after ``grace_s`` seconds."""
        self._signal(signal.SIGTERM)
        until = time.monotonic() + grace_s
        while self._has_members() and time.monotonic() < until:
            time.sleep(_LOOK_S)
        self._signal(signal.SIGKILL)
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it was never told
                    pipe.close()

    def _has_members(self) -> bool:
        self.popen.poll()
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        """Signal the group, and say whether there is one."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
            os.killpg(self.popen.pid, number)
            return True
        return False
