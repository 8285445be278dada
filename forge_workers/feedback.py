"""What people think of findings, and which ones they want to hear of later.

An opinion is thumbs up or thumbs down on one finding, or on a night's whole briefing; a person may change it, and the
latest counts. From opinions comes a *leaning*, a small whole number that decides among findings of one severity, and
among diffs of one risk, which comes first. It never hides a finding and never changes a severity or a score. A snooze
leaves a finding out of a briefing's lists until a time; it is still counted there.

Kept as one JSON file, ``$FORGE_HOME/feedback.json``, replaced whole under a file lock. Belongs here: remembering, and
the arithmetic. Does not belong here: what is sorted by it (``code/ranking.py``, ``briefing/compose.py``), or accepting
a finding for good (``dismissals.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from forge_workers import files
from forge_workers.errors import Damaged, Transient
from forge_workers.plain import plain
from forge_workers.report import Finding, Frozen, Severity
from forge_workers.windows import NightKey

#: Opinions and snoozes kept, the newest: years of a few clicks a day, and a bound on a file that is read every night.
MOST_OPINIONS, MOST_SNOOZES = 5_000, 1_000
#: Most that the opinions on one thing weigh, so that many clicks weigh no more than a few people.
_MOST = 3
#: What the finding or file itself weighs beside others of its rule or repository.
_ITSELF = 2
#: Whose findings say which diffs are worth a review.
_REVIEW = "code_review"
_LOCK_S = 10.0

_Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_Name = Annotated[str, Field(max_length=1_000)]


class Opinion(Frozen):
    """One press of a thumb.

    Attributes:
        by: The person's id.
        at: When, UTC unix seconds.
        up: Whether the thumb was up.
        night: The night of the briefing it was pressed under.
        fingerprint: Of the finding; None when it is about the whole briefing.
        asset: Whose finding it is.
        rule: The finding's rule.
        repository: The repository its first evidence names.
        path: The path its first evidence names.
    """

    by: Annotated[str, Field(min_length=1, max_length=100)]
    at: float
    up: bool
    night: NightKey
    fingerprint: _Fingerprint | None = None
    asset: _Name = ""
    rule: _Name = ""
    repository: _Name = ""
    path: _Name = ""


class Snooze(Frozen):
    """One finding to hear of later.

    Attributes:
        fingerprint: The finding's own.
        until: Until when it is left out, UTC unix seconds.
        by: The person's id.
        at: When it was asked for, UTC unix seconds.
    """

    fingerprint: _Fingerprint
    until: float
    by: Annotated[str, Field(min_length=1, max_length=100)]
    at: float


@dataclass(frozen=True)
class Leaning:
    """Which findings and diffs people want to see first: whole numbers, higher is earlier, 0 for no opinion."""

    fingerprints: Counter[str] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    paths: Counter[tuple[str, str]] = field(default_factory=Counter)
    repositories: Counter[str] = field(default_factory=Counter)

    def of_finding(self, finding: Finding) -> int:
        """Return the leaning of a finding: twice that of itself and once that of its rule in its repository."""
        rule = finding.rule, finding.evidence[0].repository or ""
        return _ITSELF * _bounded(self.fingerprints[finding.fingerprint]) + _bounded(self.rules[rule])

    def of_file(self, repository: str, path: str) -> int:
        """Return the leaning of a file's diffs: twice that of its own reviews and once that of its repository's."""
        return _ITSELF * _bounded(self.paths[repository, path]) + _bounded(self.repositories[repository])


class Views(Frozen):
    """Everything that people have said, as it was read.

    Attributes:
        opinions: Every opinion kept, also those that were changed later.
        snoozes: Every snooze kept, the latest of each finding.
    """

    opinions: tuple[Opinion, ...] = ()
    snoozes: tuple[Snooze, ...] = ()

    def leaning(self, before: float) -> Leaning:
        """Return what the opinions given before a moment come to.

        Args:
            before: UTC unix seconds; a night counts those before its end, so that it comes out the same later.
        """
        latest: dict[tuple[str, str], Opinion] = {}
        for opinion in sorted(self.opinions, key=lambda one: one.at):
            if opinion.at < before and opinion.fingerprint is not None:
                latest[opinion.by, opinion.fingerprint] = opinion
        found = Leaning()
        for (_, fingerprint), opinion in latest.items():
            step = 1 if opinion.up else -1
            found.fingerprints[fingerprint] += step
            found.rules[opinion.rule, opinion.repository] += step
            if opinion.asset == _REVIEW:
                found.paths[opinion.repository, opinion.path] += step
                found.repositories[opinion.repository] += step
        return found

    def snoozed_until(self, fingerprint: str, severity: Severity, now: float) -> float | None:
        """Return until when a finding is left out, UTC unix seconds; None when it is shown. A critical one always is.

        Args:
            fingerprint: The finding's own.
            severity: As it is now.
            now: UTC unix seconds.
        """
        if severity is Severity.CRITICAL:
            return None
        ends = (snooze.until for snooze in self.snoozes if snooze.fingerprint == fingerprint and snooze.until > now)
        return max(ends, default=None)


class Feedback:
    """Everything that people have said to one Forge.

    Args:
        home: ``$FORGE_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "feedback.json"

    def views(self) -> Views:
        """Return what was said.

        Raises:
            Damaged: The file is not what Forge wrote. It is left as it is, for a person to mend.
        """
        try:
            return Views.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Views()
        except ValidationError as error:
            why = plain(error.errors()[0]["msg"], 80)
            raise Damaged(f"{self._path} is damaged ({why}): mend it or move it away") from None

    def opine(self, opinion: Opinion) -> None:
        """Remember an opinion; the very same one twice is one.

        Raises:
            Damaged: The file is not what Forge wrote.
            Transient: Another process holds the file.
            OSError: The disk is full or refuses; the file before it is untouched.
        """
        self._add(opinions=(opinion,))

    def snooze(self, snooze: Snooze) -> None:
        """Remember to leave a finding out until a time; raises as :meth:`opine` does."""
        self._add(snoozes=(snooze,))

    def _add(self, opinions: Iterable[Opinion] = (), snoozes: Iterable[Snooze] = ()) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_S, mode=0o600):
                kept = self.views()
                said = dict.fromkeys((*kept.opinions, *opinions))
                asleep = {one.fingerprint: one for one in sorted((*kept.snoozes, *snoozes), key=lambda one: one.at)}
                views = Views(
                    opinions=tuple(sorted(said, key=lambda one: one.at))[-MOST_OPINIONS:],
                    snoozes=tuple(sorted(asleep.values(), key=lambda one: one.at))[-MOST_SNOOZES:],
                )
                files.replace(self._path, views.model_dump_json())
        except Timeout:
            raise Transient(f"{self._path} is being written by another process: try again") from None


def _bounded(number: int) -> int:
    return max(-_MOST, min(_MOST, number))
