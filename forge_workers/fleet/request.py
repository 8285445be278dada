"""From what a person types after ``forge enqueue`` to a job's arguments and its time.

Belongs here: reading those words. Does not belong here: what a worker takes (``catalog.py``) or putting a job in line
(``jobs/spool.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from forge_workers.catalog import Arg, Worker
from forge_workers.errors import BadArgs

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
#: Longest time ahead: a job for later than a year from now is a mistyped date.
_MOST_AHEAD_S = 366 * 86_400
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def arguments(row: Worker, words: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` words, each value by the kind of its argument.

    Raises:
        BadArgs: A word is none of these, names an argument twice or one the worker does not have, or a value does not
            fit; the message says what to write.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise BadArgs(f"write NAME=VALUE, not {word!r:.80}: {row.name} takes {', '.join(row.args) or 'nothing'}")
        if name in found:
            raise BadArgs(f"{row.name}: {name} is given twice")
        arg = row.args.get(name)
        found[name] = text if arg is None else _value(row, name, arg, text)
    row.check(found)
    return found


def due(at: str | None, in_: str | None, *, now: float, zone: ZoneInfo) -> float | None:
    """Return when a job is due, UTC unix seconds; None for at once.

    Args:
        at: ``HH:MM``, the next time the clock shows it, or a date and time as ISO 8601 writes it.
        in_: A number with a unit: ``90s``, ``5m``, ``2h``, ``1d``.
        now: UTC unix seconds.
        zone: Whose clock.

    Raises:
        BadArgs: It is none of these, lies in the past, or both are given.
    """
    if at is not None and in_ is not None:
        raise BadArgs("--at and --in are both given: keep one")
    if in_ is not None:
        when = now + _span(in_)
    elif at is not None:
        when = _moment(at, now, zone)
    else:
        return None
    if when < now:
        raise BadArgs(f"--at {at} lies in the past: it is {datetime.fromtimestamp(now, zone):%Y-%m-%d %H:%M} now")
    if when > now + _MOST_AHEAD_S:
        raise BadArgs(f"{f'--at {at}' if at else f'--in {in_}'} is more than a year ahead: choose an earlier time")
    return when


def _value(row: Worker, name: str, arg: Arg, text: str) -> Any:
    if arg.kind is int and re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        return int(text)
    if arg.kind is float and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text, re.ASCII):
        number = float(text)
        if math.isfinite(number):
            return number
    if arg.kind is bool and text in {"true", "false"}:
        return text == "true"
    if arg.kind is str:
        return text
    raise BadArgs(f"{row.name}: {name} must be {_KINDS[arg.kind]}, not {text!r:.60}")


def _span(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", text, re.ASCII)
    if found is None:
        raise BadArgs(f"--in {text!r:.40} is no time span: write 90s, 5m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def _moment(text: str, now: float, zone: ZoneInfo) -> float:
    today = datetime.fromtimestamp(now, zone)
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII):
        then = today.replace(hour=int(text[:2]), minute=int(text[3:]), second=0, microsecond=0)
        return (then if then.timestamp() >= now else then + timedelta(days=1)).timestamp()
    try:
        then = datetime.fromisoformat(text)
        return (then if then.tzinfo else then.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        raise BadArgs(f"--at {text!r:.40} is no time: write 07:30 or 2026-12-01T07:30") from None
