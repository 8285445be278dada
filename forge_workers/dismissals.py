"""What a person has looked at and decided to live with, remembered over nights.

Kept as one JSON file, ``$FORGE_HOME/dismissals.json``, replaced whole under a file lock. Belongs here: remembering, and
finding the finding a person means. Does not belong here: hiding anything; a desk counts what it leaves out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from forge_workers import files
from forge_workers.errors import BadArgs, Damaged, Transient
from forge_workers.plain import plain
from forge_workers.report import Finding, Frozen, Report

#: Fewest characters of a fingerprint that may stand for it; 4 hexadecimal ones tell 65,536 findings apart.
SHORTEST_PREFIX = 4
#: Seconds to wait for another process that is writing, which takes milliseconds.
_LOCK_S = 10.0
_FINGERPRINT = r"^[0-9a-f]{16}$"
#: Candidates named when a prefix fits several findings.
_NAMED = 5


class Dismissal(Frozen):
    """One decision to live with a finding.

    Attributes:
        fingerprint: The finding's own.
        because: The person's reason, one line.
        at: When it was decided, UTC unix seconds.
    """

    fingerprint: Annotated[str, Field(pattern=_FINGERPRINT)]
    because: Annotated[str, Field(min_length=1)]
    at: float


class _File(Frozen):
    dismissals: tuple[Dismissal, ...] = ()


class Nights(Protocol):
    """The part of the store of nights that :func:`resolve` reads."""

    def assets(self) -> tuple[str, ...]:
        """Return the assets that have a report of any night."""

    def nights(self, asset: str) -> tuple[str, ...]:
        """Return the nights that have a report of ``asset``."""

    def load(self, asset: str, night: str) -> Report | None:
        """Return one report."""


class Sifted(NamedTuple):
    """Findings parted into what is shown and what is only counted."""

    new: tuple[Finding, ...]
    known: int
    dismissed: int


class Dismissals:
    """Every dismissal of one Forge.

    Args:
        home: ``$FORGE_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "dismissals.json"

    def all(self) -> Mapping[str, Dismissal]:
        """Return every dismissal by fingerprint.

        Raises:
            Damaged: The file is not what Forge wrote. It is left as it is, for a person to mend.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            kept = _File.model_validate_json(content).dismissals
        except ValidationError as error:
            why = plain(error.errors()[0]["msg"], 80)
            raise Damaged(f"{self._path} is damaged ({why}): mend it or move it away") from None
        return {dismissal.fingerprint: dismissal for dismissal in kept}

    def dismiss(self, fingerprint: str, because: str, now: float) -> Dismissal:
        """Remember that the finding is accepted; a second reason replaces the first.

        Args:
            fingerprint: All 16 characters; :func:`resolve` finds them.
            because: Why, in the person's words.
            now: UTC unix seconds.

        Raises:
            BadArgs: There is no reason, or the fingerprint is none.
            Damaged: The file is not what Forge wrote.
            Transient: Another process holds the file.
            OSError: The disk is full or refuses; the file before it is untouched.
        """
        reason = plain(because, 500)
        if not reason:
            raise BadArgs('say why: forge dismiss <finding> --because "..."')
        if not re.fullmatch(_FINGERPRINT, fingerprint):
            raise BadArgs(f"{plain(fingerprint, 40)!r} is no fingerprint: 16 characters of 0-9 and a-f")
        dismissal = Dismissal(fingerprint=fingerprint, because=reason, at=now)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_S, mode=0o600):
                kept = {**self.all(), fingerprint: dismissal}
                files.replace(self._path, _File(dismissals=tuple(kept.values())).model_dump_json(indent=1))
        except Timeout:
            raise Transient(f"{self._path} is being written by another process: try again") from None
        return dismissal


def sift(findings: Iterable[Finding], known: frozenset[str], dismissed: Mapping[str, Dismissal]) -> Sifted:
    """Part findings into new, known and dismissed ones; what is both known and dismissed counts as dismissed.

    Args:
        findings: At most one of each fingerprint counts.
        known: Fingerprints seen before.
        dismissed: Fingerprints a person has accepted.
    """
    by_fingerprint = {finding.fingerprint: finding for finding in findings}
    undecided = {f: finding for f, finding in by_fingerprint.items() if f not in dismissed}
    new = tuple(finding for f, finding in undecided.items() if f not in known)
    return Sifted(new, len(undecided) - len(new), len(by_fingerprint) - len(undecided))


def _left_open(report: Report) -> Iterator[Finding]:
    """Yield what a report says is still open: a fault older than Forge was never a finding of any night."""
    kept = report.data.get("open")
    seen_at = report.receipt.started_at if report.receipt else 0.0
    for row in kept if isinstance(kept, list) else ():
        if isinstance(row, dict):
            at = {name: row.get(name) for name in ("repository", "commit", "path", "line")}
            told = {name: row.get(name) for name in ("fingerprint", "rule", "severity", "title")}
            evidence = {"source": "git", "observed_at": seen_at, **at}
            with contextlib.suppress(ValidationError):
                yield Finding.model_validate({**told, "is_new": False, "evidence": [evidence]})


def of_night(fingerprint: str, night: str, store: Nights) -> tuple[str, Finding] | None:
    """Return the finding with this whole fingerprint as a night's reports tell it, with its asset; None without one.

    A damaged report is passed over.
    """
    for asset in store.assets():
        with contextlib.suppress(Damaged):
            report = store.load(asset, night)
            for finding in (*report.findings, *_left_open(report)) if report else ():
                if finding.fingerprint == fingerprint:
                    return asset, finding
    return None


def resolve(prefix: str, store: Nights) -> Finding:
    """Find the one finding of any stored night whose fingerprint starts with ``prefix``, as it was seen last.

    A damaged night is passed over here; the night itself says so.

    Raises:
        BadArgs: The prefix is too short or no fingerprint, or fits no finding or several; the message names them.
    """
    wanted = prefix.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},16}}", wanted):
        raise BadArgs(f"{plain(prefix, 40)!r} is no finding: write {SHORTEST_PREFIX} to 16 characters of 0-9 and a-f")
    fitting: dict[str, Finding] = {}
    for asset in store.assets():
        for night in store.nights(asset):
            with contextlib.suppress(Damaged):
                report = store.load(asset, night)
                for finding in (*report.findings, *_left_open(report)) if report else ():
                    if finding.fingerprint.startswith(wanted):
                        fitting.setdefault(finding.fingerprint, finding)
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if not fitting:
        raise BadArgs(f"no stored night has a finding that starts with {wanted}")
    named = [f"{f} ({plain(finding.title, 60)})" for f, finding in sorted(fitting.items())]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    raise BadArgs(f"{wanted} fits {len(named)} findings: {', '.join(named[:_NAMED])}{more}")
