"""What became of earlier nights since the last briefing: missed and caught up, left out and why, or backfilled.

Read from what was asked for (``nights/asked.py``) and from the briefings that those nights left. The same night told
again says the same. Belongs here: which nights are told, and the sentences. Does not belong here: what is done about a
missed night (``nights/policy.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from pydantic import ValidationError

from forge_workers.briefing import words
from forge_workers.briefing.model import Briefing
from forge_workers.errors import Damaged
from forge_workers.night import BRIEFING
from forge_workers.nights import asked
from forge_workers.nights.asked import Asked
from forge_workers.nights.policy import LOOK_BACK_DAYS, briefing_due_at
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import nights_before

#: Nights named one by one in a sentence; more are told from the first to the last.
_NAMED = 3
#: Sentences told; the rest are counted.
_SENTENCES = 10


def sentences(history: NightStore, night: str, settings: Settings) -> tuple[str, ...]:
    """Return what the briefing of ``night`` says of the nights before it, oldest first.

    1. What was decided about missed nights, and is told in this briefing.
    2. Nights that were backfilled between the hour of the last briefing and the hour of this one.
    """
    found: list[tuple[str, str]] = []
    for key in reversed([n for n in nights_before(night, LOOK_BACK_DAYS) if (history.root / n).is_dir()]):
        record = asked.read(history.root, key)
        if record is not None and record.kind != "scheduled" and record.tells_in == night:
            found.append((key, _missed(history, record)))  # 1
        elif _backfilled(history, key, record, night, settings):
            found.append((key, "backfilled"))  # 2
    said = tuple(_sentence(what, tuple(key for key, _ in some)) for what, some in _together(found))
    more = len(said) - _SENTENCES
    return said if more <= 0 else (*said[:_SENTENCES], f"And {words.count(more, 'more change')} to earlier nights.")


def _together(found: list[tuple[str, str]]) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    """Group neighbours of whom the same is told."""
    return groupby(found, key=lambda pair: pair[1])


def _missed(history: NightStore, record: Asked) -> str:
    """Say what became of one missed night, after "was"."""
    left = _left_out(record.skipped)
    if not record.wants_run:
        return f"missed and left out: {'; '.join(left)}"
    told = _told(history, record.night)
    if told is None or told.backfilled_at is None or told.backfilled_at < record.at:
        became = "missed and is still being caught up"
    else:
        broken = sum(line.outcome in {"failed", "missing"} for line in told.steps)
        became = "missed and caught up" + (f", but {words.count(broken, 'step')} gave no result" if broken else "")
    return "; skipped: ".join((became, *left[:1])) + "".join(f"; {each}" for each in left[1:])


def _left_out(skipped: Mapping[str, str]) -> list[str]:
    """Say what is left out, by cause."""
    causes: dict[str, list[str]] = {}
    for asset, why in skipped.items():
        causes.setdefault(why, []).append(words.inside(words.title(asset)))
    if len(causes) == 1 and len(skipped) > _NAMED + 1:
        return list(causes)
    return [f"{words.listed(assets)} ({why})" for why, assets in causes.items()]


def _backfilled(history: NightStore, key: str, record: Asked | None, night: str, settings: Settings) -> bool:
    """Whether ``key`` was done again since the last briefing, other than by being caught up for it."""
    last = nights_before(night, 1)[0]
    told = _told(history, key)
    if told is None or told.backfilled_at is None:
        return False
    if record is not None and record.kind != "scheduled" and record.tells_in >= last:
        return False
    since, until = (briefing_due_at(n, settings.night, settings.zone) for n in (last, night))
    return since <= told.backfilled_at < until


def _told(history: NightStore, night: str) -> Briefing | None:
    try:
        report = history.load(BRIEFING, night)
        return None if report is None else Briefing.model_validate(dict(report.data))
    except (Damaged, ValidationError, OSError):
        return None


def _sentence(what: str, nights: tuple[str, ...]) -> str:
    days = [words.short_day(night) for night in nights]
    if len(nights) == 1:
        return f"{days[0]} was {what}."
    what = what.replace(" is ", " are ", 1)
    named = words.listed(days) if len(nights) <= _NAMED else f"{len(nights)} nights from {days[0]} to {days[-1]}"
    return f"{named} were {what}."
