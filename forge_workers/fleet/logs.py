"""The end of a log, and following it over rotation.

Belongs here: reading log files for a person. Does not belong here: writing or rotating them, which supervisord does.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from forge_workers.plain import plain

#: Longest line that is shown, characters.
_MOST_LINE = 2_000
#: Bytes of a line that is guessed for finding the last ones without reading the whole file.
_LINE_BYTES = 400
_LOOK_S = 0.2
#: Dagster colours its logs, even in files.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def last(path: Path, lines: int) -> list[str]:
    """Return the last lines of a log as they may be shown; none when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - lines * _LINE_BYTES))
            found = file.read().decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return []
    whole = found[:-1] if not found[-1] else found
    return [_shown(line) for line in whole[-lines:]]


def follow(path: Path, lines: int, look_s: float = _LOOK_S) -> Iterator[str]:
    """Yield the last lines of a log, then each line that is added, for ever.

    A file that is put aside is read to its end before the one that takes its place.

    Args:
        path: The log; it may come later.
        lines: How many lines to begin with.
        look_s: Seconds between two looks.
    """
    file, rest, skip = _opened(path), b"", True
    if file is not None:
        file.seek(max(0, os.fstat(file.fileno()).st_size - lines * _LINE_BYTES))
    while True:
        added = file.read() if file is not None else b""
        *whole, rest = (rest + added).split(b"\n")
        whole, skip = whole[-lines:] if skip else whole, False
        yield from (_shown(line.decode("utf-8", "replace")) for line in whole)
        if added:
            continue
        if file is None or _is_another(path, file):
            newer = _opened(path)
            if newer is not None:
                if file is not None:
                    file.close()
                file, rest = newer, b""
                continue
        time.sleep(look_s)


def _shown(line: str) -> str:
    return plain(_COLOUR.sub("", line), _MOST_LINE)


def _opened(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_another(path: Path, file: IO[bytes]) -> bool:
    """Whether a new file stands at ``path``, or this one was cut short."""
    try:
        there, here = path.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev) or here.st_size < file.tell()
