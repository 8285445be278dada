"""Notices where no Slack token is set: one plain line each in ``logs/notices.log``.

Belongs here: that file and its bound. Does not belong here: what waits (``outbox.py``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from forge_workers.briefing import words
from forge_workers.notices.notice import Notice

#: The file is kept up to about this size, and the one before it.
_LOG_BYTES = 1_000_000


def write_down(notices: Sequence[Notice], home: Path, zone: ZoneInfo) -> None:
    """Append a line for each notice that has none yet, durable when this returns.

    Raises:
        OSError: The disk is full or refuses.
    """
    path = home / "logs" / "notices.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = b"".join(file.read_bytes() for file in (path.with_suffix(".log.1"), path) if file.exists())
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    lines = [_line(notice, zone) for notice in notices if f"[{notice.id}]\n".encode() not in written]
    torn = b"" if written.endswith(b"\n") or not written else b"\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
        file.write(torn + "".join(lines).encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())


def _line(notice: Notice, zone: ZoneInfo) -> str:
    said = ": ".join(filter(None, (notice.title, notice.detail)))
    urgent = " urgent" if notice.urgent else ""
    link = f" {notice.link}" if notice.link else ""
    return f"{words.moment(notice.at, zone)}{urgent} {notice.kind} {notice.worker}: {said}{link} [{notice.id}]\n"
