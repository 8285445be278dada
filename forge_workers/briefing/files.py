"""Putting a text into a file whole or not at all.

Belongs here: that one act, for the briefing's own files. Does not belong here: reports, which the store keeps.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def put(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one rename, readable by its owner only, durable when this returns.

    Raises:
        OSError: The disk is full or refuses; the file before it is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
