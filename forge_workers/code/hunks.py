"""A diff as a reviewer reads it: changed lines with their numbers and some lines of the file around them.

Belongs here: reading a unified diff and laying it out, pure. Does not belong here: what is asked about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: Lines of the file shown before and after a hunk, beyond the three that the diff itself brings.
CONTEXT = 7
#: Lines of a piece; a longer hunk, such as a new file, becomes several, so that its first ones can be shown at least.
PIECE = 120
_HEADER = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class Row(NamedTuple):
    """One line of a hunk.

    Attributes:
        mark: ``+`` added, ``-`` removed, blank unchanged.
        line: Its number after the change, None when it was removed.
        text: The text of a removed line; the others are read from the file.
    """

    mark: str
    line: int | None
    text: str = ""


class Piece(NamedTuple):
    """A part of a diff that is shown whole or not at all.

    Attributes:
        text: Numbered lines.
        lines: The numbers of the lines of the file it shows.
    """

    text: str
    lines: frozenset[int]


def hunks(diff: str) -> list[list[Row]]:
    """Read the hunks of a unified diff of one file.

    The lengths in a hunk's header decide where it ends, so no line of the file can pass for a header. A hunk that was
    cut short keeps the lines it has.
    """
    found: list[list[Row]] = []
    lines = iter(diff.split("\n"))
    for line in lines:
        header = _HEADER.match(line)
        if header:
            removed, start, added = header.groups(default="1")
            found.append(list(_rows(lines, int(removed), int(start), int(added))))
    return found


def _rows(lines: Iterator[str], old: int, line: int, new: int) -> Iterator[Row]:
    while old > 0 or new > 0:
        text = next(lines, None)
        if text is None:
            return
        mark = text[:1] or " "
        if mark == "-":
            old -= 1
            yield Row(mark, None, text[1:])
        elif mark in {"+", " "}:
            old -= mark == " "
            new -= 1
            yield Row(mark, line)
            line += 1


def pieces(diff: str, content: Sequence[str]) -> list[Piece]:
    """Lay a diff out in pieces, each line as ``number mark text``.

    Args:
        diff: A unified diff of one file.
        content: The lines of the file after the change.
    """
    found = hunks(diff)
    spans = [[row.line for row in hunk if row.line is not None] for hunk in found]
    length = len(content) - (content[-1:] == [""])
    parts: list[list[Row]] = []
    shown = 0
    for number, (hunk, span) in enumerate(zip(found, spans, strict=True)):
        first, end = (span[0], span[-1]) if span else (shown + 1, shown)
        before = range(max(shown + 1, first - CONTEXT), first)
        following = next((later[0] for later in spans[number + 1 :] if later), length + 1)
        shown = max(end, min(end + CONTEXT, following - 1))
        rows = [*(Row(" ", n) for n in before), *hunk, *(Row(" ", n) for n in range(end + 1, shown + 1))]
        parts += [rows[n : n + PIECE] for n in range(0, len(rows), PIECE)]
    return [_piece(rows, content) for rows in parts]


def _piece(rows: Sequence[Row], content: Sequence[str]) -> Piece:
    shown = [row for row in rows if row.line is None or row.line <= len(content)]
    text = "\n".join(
        f"{row.line or '':>6} {row.mark} {content[row.line - 1] if row.line else row.text}" for row in shown
    )
    return Piece(text, frozenset(row.line for row in shown if row.line is not None))
