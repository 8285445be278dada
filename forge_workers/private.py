"""Directories for their owner alone, and kernel locks on the files in them.

The kernel frees a lock when the last process that inherited it is gone, however it went: what a lock says cannot be
stale. Belongs here: those two acts. Does not belong here: what is kept where, or what a lock stands for.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import IO

from forge_workers.errors import ConfigError


def make_private(folder: Path) -> None:
    """Make ``folder`` one that only this user may enter.

    Raises:
        ConfigError: It is a link or somebody else's directory.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError(f"{folder} is a link or belongs to somebody else: remove it")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def locked(file: IO[str]) -> bool:
    """Take the kernel lock on ``file`` without waiting, and say whether it was free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
