"""One line per night, and where it is kept so that a year of nights need not be read again each morning.

``briefings/index.json`` is a cache: it may be deleted at any time, and is made again from the stored reports. A line
is taken from it only while the report it was read from is still the present one. Belongs here: what the index knows of
a night. Does not belong here: how it looks (``index.py``).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from forge_workers import files
from forge_workers.briefing.model import Briefing, Level
from forge_workers.errors import Damaged
from forge_workers.night import BRIEFING
from forge_workers.plain import plain
from forge_workers.report import Frozen, Report
from forge_workers.store import NightStore
from forge_workers.windows import NightKey

#: Findings named per night; what a person can look through.
_TITLES = 20
_TITLE_CHARS = 160
_CACHE = "index.json"


class Titled(Frozen):
    """A finding as the index names it."""

    severity: str
    title: str
    fingerprint: str


class NightLine(Frozen):
    """What the index knows of one night.

    Attributes:
        night: Its key.
        level: The verdict, None when there is no briefing or another version of Forge made it.
        sentence: The verdict's sentence.
        edition: Of the briefing, from 1.
        findings: New findings, shown and counted ones.
        needs: What needs a person.
        titles: The first of the findings.
        repositories: Where work happened or a finding is.
        tokens: Read and written by models.
        gpu_s: Seconds the GPU lease was held.
        night_s: Seconds from the first step's begin to the last one's end.
        told: Whether there is a briefing at all.
    """

    night: NightKey
    level: Level | None = None
    sentence: str = ""
    edition: int = 1
    findings: int = 0
    needs: int = 0
    titles: tuple[Titled, ...] = ()
    repositories: tuple[str, ...] = ()
    tokens: int = 0
    gpu_s: float = 0.0
    night_s: float = 0.0
    told: bool = True


class Kept(Frozen):
    """A line with the generation of the report it was read from."""

    generation: str
    line: NightLine


class Cache(Frozen):
    """Every line that was read before, by night."""

    nights: dict[str, Kept] = Field(default_factory=dict)


def line_of(told: Briefing) -> NightLine:
    """Return what the index says of a briefing."""
    begun = [step for step in told.steps if step.started_at is not None]
    ends = [(step.started_at or 0.0) + (step.seconds or 0.0) for step in begun]
    named = dict.fromkeys([*(finding.repository for finding in told.findings), *(one.repository for one in told.code)])
    return NightLine(
        night=told.night,
        level=told.verdict.level,
        sentence=told.verdict.sentence,
        edition=told.edition,
        findings=len(told.findings) + sum(number for _, number in told.findings_more),
        needs=len(told.needs_you),
        titles=tuple(
            Titled(severity=str(one.severity), title=one.title[:_TITLE_CHARS], fingerprint=one.fingerprint)
            for one in told.findings[:_TITLES]
        ),
        repositories=tuple(name for name in named if name),
        tokens=sum(step.tokens for step in told.steps),
        gpu_s=sum(step.gpu_s for step in told.steps),
        night_s=max(ends) - min(step.started_at or 0.0 for step in begun) if begun else 0.0,
    )


def lines(folder: Path, history: NightStore, tonight: Briefing | None = None) -> tuple[NightLine, ...]:
    """Return a line for every night that was begun, newest first.

    Args:
        folder: Where the cache is kept; one that cannot be written is done without.
        history: The stored reports.
        tonight: A briefing whose report is not stored yet.
    """
    known = _read(folder / _CACHE).nights
    now: dict[str, Kept] = {}
    found: dict[str, NightLine] = {}
    told = set(history.nights(BRIEFING))
    for night in history.all_nights():
        if night not in told:
            found[night] = NightLine(night=night, told=False)
            continue
        kept = _kept(history, night, known.get(night))
        found[night] = kept.line
        if kept.generation:
            now[night] = kept
    if tonight is not None:
        found[tonight.night] = line_of(tonight)
    if now != known:
        _keep(folder / _CACHE, Cache(nights=now))
    return tuple(found[night] for night in sorted(found, reverse=True))


def _kept(history: NightStore, night: str, known: Kept | None) -> Kept:
    """Return what is known of a night while that still holds, or else read it; a damaged one is said, not kept."""
    try:
        generation = history.generation(BRIEFING, night) or ""
        if known is not None and known.generation == generation:
            return known
        report = history.load(BRIEFING, night)
    except (Damaged, OSError):
        damaged = "The stored briefing is damaged: run this night again."
        return Kept(generation="", line=NightLine(night=night, sentence=damaged))
    line = NightLine(night=night, told=False) if report is None else _of_report(report)
    return Kept(generation=generation, line=line)


def _of_report(report: Report) -> NightLine:
    try:
        return line_of(Briefing.model_validate(dict(report.data)))
    except ValidationError:
        return NightLine(night=report.night, sentence=plain(report.headline, 300))


def _read(path: Path) -> Cache:
    try:
        return Cache.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Cache()


def _keep(path: Path, cache: Cache) -> None:
    try:
        files.replace(path, cache.model_dump_json())
    except OSError:
        path.unlink(missing_ok=True)
