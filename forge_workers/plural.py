"""Writing how many there are of something.

Belongs here: that one phrase, for every desk. Does not belong here: figures with units (``briefing/words.py``).
"""

from __future__ import annotations


def count(number: int, one: str, many: str | None = None) -> str:
    """Return "0 commits", "1 commit", "1,400 commits"; ``many`` is given where the plural is not ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
