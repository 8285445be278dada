"""Putting a text into a file whole or not at all, readable by its owner only and safe against a power cut.

Belongs here: that one act and its parts. Does not belong here: what is kept, where, or what a damaged file means.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one rename, durable when this returns; missing directories are made.

    What UTF-8 cannot write becomes a question mark.

    Raises:
        OSError: The disk is full or refuses; the file before it is untouched and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        write(beside, text.encode("utf-8", "replace"))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, its content durable when this returns.

    Raises:
        OSError: It is there, or the disk is full or refuses; what was written by then stays.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to disk.

    Raises:
        OSError: It is not there, or the disk refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
