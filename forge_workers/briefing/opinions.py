"""What people's opinions and snoozes do to a briefing's lists.

An opinion decides which of two findings of one severity is told first. A snooze leaves a finding out of the new ones
and of what needs a person; the verdict weighs it as before, and it is counted. Pure. Belongs here: those two rules.
Does not belong here: what people said (``forge_workers/feedback.py``), or how findings are told (``findings.py``).
"""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

from forge_workers.briefing import words
from forge_workers.briefing.reading import OpenFinding
from forge_workers.feedback import Views
from forge_workers.report import Finding


class Heard(NamedTuple):
    """Findings as people want to hear of them.

    Attributes:
        new: New ones that are told, each with its asset, most severe first.
        left: Ones that earlier nights left open and that are told.
        until: When each snooze of the others ends, UTC unix seconds, soonest first.
    """

    new: tuple[tuple[str, Finding], ...]
    left: tuple[OpenFinding, ...]
    until: tuple[float, ...]

    def note(self, zone: ZoneInfo) -> str:
        """Say how many findings are snoozed and until when, "" for none."""
        if not self.until:
            return ""
        first, last = (words.moment(at, zone) for at in (self.until[0], self.until[-1]))
        return f"{len(self.until)} snoozed until {first}{f', the last until {last}' if last != first else ''}."


def heard(
    new: tuple[tuple[str, Finding], ...],
    left: tuple[OpenFinding, ...],
    views: Views,
    *,
    before: float,
    now: float,
) -> Heard:
    """Put new findings in order and leave out what is snoozed.

    Args:
        new: Every new finding with its asset.
        left: Every finding that earlier nights left open.
        views: What people said.
        before: Only opinions before this moment count, UTC unix seconds: the night's end, so that it comes out alike.
        now: When the briefing is composed, UTC unix seconds.
    """
    leaning = views.leaning(before)
    ordered = sorted(new, key=lambda pair: (-pair[1].severity.rank, -leaning.of_finding(pair[1])))
    alike = {one.fingerprint: one.severity for one in left} | {one.fingerprint: one.severity for _, one in new}
    asleep = {name: views.snoozed_until(name, severity, now) for name, severity in alike.items()}
    return Heard(
        new=tuple(pair for pair in ordered if asleep[pair[1].fingerprint] is None),
        left=tuple(one for one in left if asleep[one.fingerprint] is None),
        until=tuple(sorted(at for at in asleep.values() if at is not None)),
    )
