"""One line per thing that happened: an event name with dots, then ``key=value`` pairs.

Belongs here: the format. Does not belong here: what to log; each module logs its own acts, ids and sizes, never
arguments, prompts, notes or secrets.
"""

from __future__ import annotations

import logging
import re

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\"=\\]|[\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def event(logger: logging.Logger, name: str, /, level: int = logging.INFO, **facts: object) -> None:
    """Log ``name`` with its facts on one line that no fact can break or forge.

    Args:
        logger: The module's own logger.
        name: What happened, with dots: ``night.step_failed``.
        level: ``INFO`` happened, ``WARNING`` we recovered, ``ERROR`` a person should look.
        facts: Ids, counts, sizes and seconds; values with blanks or control characters are quoted and escaped.
    """
    words = (f"{key}={_written(value)}" for key, value in facts.items() if value is not None)
    logger.log(level, "%s", " ".join((name, *words)))


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    if _UNSAFE.search(text) or not text:
        return '"' + _UNSAFE.sub(lambda m: " " if m[0] == " " else f"\\x{ord(m[0]):02x}", text) + '"'
    return text
