"""How the briefing writes times, spans, counts and figures; every renderer uses these, so all of them say the same.

Belongs here: words for numbers. Does not belong here: escaping, which is each renderer's own, or what is said.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from forge_workers import plural
from forge_workers.briefing.model import Briefing, CodeChange, Figure, Shortfall, StepLine

#: Names of steps as people say them; any other name is said with blanks for underscores.
_TITLES = {"gpu_readiness": "GPU readiness", "pr_digest": "Pull request digest"}
#: Where the first clause of a reason ends: "no model" of "no model: Ollama does not answer".
_CLAUSE = re.compile(r"[:;] ")
#: Typographic minus, as wide as the plus.
_MINUS = "\N{MINUS SIGN}"
_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
#: Endings of a figure's name that carry its unit, longest first, with what is written after the value.
_UNITS = (
    ("_per_s", "/s"),
    ("_bytes", ""),
    ("_ratio", "%"),
    ("_share", "%"),
    ("_percent", "%"),
    ("_celsius", " °C"),
    ("_days", " days"),
    ("_per_core", " per core"),
    ("_gib", " GiB"),
    ("_mb", " MB"),
    ("_gb", " GB"),
    ("_ms", " ms"),
    ("_s", ""),
)
#: Endings of figures between 0 and 1, shown in percent.
_SHARES = ("_ratio", "_share")
#: Names of the editions of a night's briefing; a later one is called by its number.
_EDITIONS = {2: "Second edition", 3: "Third edition", 4: "Fourth edition"}


def title(asset: str) -> str:
    """Return the name of a step as a person says it: ``threat_assessment`` is "Threat assessment"."""
    return _TITLES.get(asset) or asset.replace("_", " ").capitalize()


def inside(title: str) -> str:
    """Return a title as it reads inside a sentence: "threat assessment", but "GPU readiness"."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def day(night: str) -> str:
    """Return a night's key as a day: "Monday 23 November 2026"."""
    when = date.fromisoformat(night)
    return f"{when:%A} {when.day} {when:%B %Y}"


def short_day(night: str) -> str:
    """Return a night's key as a short day: "Sun 22 Nov"."""
    when = date.fromisoformat(night)
    return f"{when:%a} {when.day} {when:%b}"


def moment(at: float, zone: ZoneInfo) -> str:
    """Return a moment (UTC unix seconds) in local time: "Mon 23 Nov 14:05"; one that no calendar holds is said."""
    when = _local(at, zone)
    return "at an unknown time" if when is None else f"{when:%a} {when.day} {when:%b %H:%M}"


def clock(at: float, zone: ZoneInfo) -> str:
    """Return the local time of day of a moment (UTC unix seconds): "14:05"."""
    when = _local(at, zone)
    return "--:--" if when is None else f"{when:%H:%M}"


def _local(at: float, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, zone)
    except (ValueError, OverflowError, OSError):
        return None


def duration(seconds: float) -> str:
    """Return a span of seconds as people say it: "0.4 s", "48 s", "3 min 5 s", "1 h 12 min"."""
    if seconds < 9.95:  # noqa: PLR2004 - below it one decimal is worth reading
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, of_hour = divmod(minutes, 60)
    if hours:
        return f"{hours} h {of_hour} min" if of_hour else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{whole} s"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return "1 commit", "14 commits", "no commits"."""
    return plural.count(number, one, many) if number else f"no {many or f'{one}s'}"


def age(days: float) -> str:
    """Return an age in days: "since today", "1 day", "6 days"."""
    return count(round(days), "day") if math.isfinite(days) and days >= 0.5 else "since today"  # noqa: PLR2004


def edition(told: Briefing) -> str:
    """Return what marks a later edition: "Second edition, 07:42: ..."; nothing for the first."""
    if told.edition <= 1:
        return ""
    name = _EDITIONS.get(told.edition) or f"Edition {told.edition}"
    return f"{name}, {clock(told.made_at, told.zone)}: it takes the place of the one before it."


def late(told: Briefing) -> str:
    """Return that the night was done after its morning, and when; nothing when it was told in its morning."""
    return "" if told.backfilled_at is None else f"Done after its morning, {moment(told.backfilled_at, told.zone)}."


def at_work(told: Briefing) -> str:
    """Return which steps were still at work when this left, as one sentence; nothing when none was."""
    if not told.at_work:
        return ""
    steps = listed([inside(title(asset)) for asset in told.at_work])
    return f"Still at work when this left: {steps}. What comes of it follows in another edition."


def listed(words: list[str] | tuple[str, ...]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def same(said: str) -> str:
    """Return what two ways of writing the same sentence share."""
    return said.casefold().rstrip(". ")


def clause(reason: str) -> str:
    """Return the first clause of a reason that is told in full elsewhere."""
    return _CLAUSE.split(reason, maxsplit=1)[0]


def shortfall(short: Shortfall) -> tuple[str, str]:
    """Return what stands first and what follows: one thing and its cause, or one cause and all that it took."""
    if len(short.what) == 1 and short.kind != "chosen":
        return f"{short.what[0]}:", short.why
    cause = f"{short.why[:1].upper()}{short.why[1:]}".rstrip(".")
    return f"{cause}{':' if short.kind == 'chosen' else ' —'}", listed(short.what)


def step(line: StepLine) -> tuple[str, ...]:
    """Return what a step says of itself: its headline and its reasons, nothing of it twice.

    Every reason of a step that did not simply run stands in full among the shortfalls: here its first clause will do.
    """
    if line.outcome == "ran":
        return tuple(dict.fromkeys(filter(None, (line.headline, *line.reasons))))
    headline = line.headline
    for reason in line.reasons:
        first = clause(reason)
        headline = headline.replace(reason, first).replace(reason[len(first) :] or reason, "")
    reasons = (first for first in map(clause, line.reasons) if first.casefold() not in headline.casefold())
    return tuple(dict.fromkeys(filter(None, (headline.strip(), *reasons))))


def seen_in(short: Shortfall) -> str:
    """Return the step that a shortfall is from, empty where what is told names several."""
    return short.assets[0] if len(set(short.assets)) == 1 else ""


def work(change: CodeChange) -> str:
    """Return what happened in a repository: "7 commits by 3 people, +295 -214 lines in 10 files, python, sql"."""
    people = count(change.authors, "person", "people")
    lines = f"+{change.added:,} -{change.removed:,} lines in {count(change.files, 'file')}"
    merges = [count(change.merges, "merge")] if change.merges else []
    return ", ".join([f"{count(change.commits, 'commit')} by {people}", *merges, lines, *change.languages])


def label(name: str) -> str:
    """Return a figure's name without its unit: ``test_ratio`` is "Test ratio", ``tokens_per_s`` is "Tokens"."""
    ending = next((e for e, _ in _UNITS if name.endswith(e) and name != e and e not in _SHARES), "")
    return (name.removesuffix(ending).replace("_", " ").strip() or name).capitalize()


def amount(name: str, value: float) -> str:
    """Return a figure with the unit that its name carries: ``load_s`` 4.2 is "4.2 s"."""
    if not math.isfinite(value):
        return "unknown"
    ending, unit = next(((e, u) for e, u in _UNITS if name.endswith(e)), ("", ""))
    if ending == "_s":
        return f"{_MINUS}{duration(-value)}" if value < 0 else duration(value)
    if ending == "_bytes":
        return _size(value)
    if ending in _SHARES:
        value *= 100
    return _digits(value) + (f" {unit}" if unit == "%" else unit)


def change(figure: Figure) -> str:
    """Return by how much a figure moved, signed: "+3", "-0.4 s", "=" when it did not move, nothing when it is new."""
    if figure.last_night is None:
        return ""
    moved = figure.tonight - figure.last_night
    if not figure.moved or not math.isfinite(moved):
        return "="
    sign = "+" if moved > 0 else _MINUS
    if figure.name.endswith(_SHARES):
        return f"{sign}{_digits(abs(moved) * 100)} points"
    return f"{sign}{amount(figure.name, abs(moved))}"


def _size(value: float) -> str:
    sign, size = (_MINUS, -value) if value < 0 else ("", value)
    place = min(int(math.log10(size) // 3), len(_BYTES) - 1) if size >= 1 else 0
    return f"{sign}{_digits(size / 1000**place)} {_BYTES[place]}"


def _digits(value: float) -> str:
    """Write a number with as many decimals as matter: 1,234 · 12.3 · 0.42."""
    if value == int(value) or abs(value) >= 100:  # noqa: PLR2004 - three digits are read, more are noise
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"
    return text.replace("-", _MINUS, 1)
