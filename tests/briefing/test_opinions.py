"""What opinions and snoozes change in a briefing, and what they must not."""

from __future__ import annotations

from typing import Any

from forge_workers.briefing.compose import compose
from forge_workers.briefing.model import Briefing, Level
from forge_workers.feedback import Opinion, Snooze, Views
from forge_workers.night import STEPS, Step
from forge_workers.report import Severity
from tests.briefing import parts
from tests.briefing.parts import DAY, NIGHT, NOW, ZONE


def composed(steps: tuple[Step, ...], views: Views) -> Briefing:
    """Compose the night with what people said."""
    return compose(steps, night=NIGHT, window=DAY, timezone=ZONE, earlier={}, now=NOW, views=views)


def night_of(*severities: Severity) -> tuple[tuple[Step, ...], list[str]]:
    """Return a night whose review found one finding of each severity, and their fingerprints."""
    found = tuple(parts.finding(f"Finding {n}", severity) for n, severity in enumerate(severities))
    review = parts.step("security_review", "Found some.", findings=found)
    others = tuple(parts.step(asset, "Done.") for asset in STEPS if asset != "security_review")
    return (*others, review), [finding.fingerprint for finding in found]


def opinion(fingerprint: str, *, up: bool, **changed: Any) -> Opinion:
    """Return an opinion given on the day of the night."""
    facts = {"by": "U1", "at": DAY.start_at, "night": NIGHT, "fingerprint": fingerprint, "up": up, "rule": "x"}
    return Opinion(**{**facts, **changed})


def snooze(fingerprint: str, until: float = NOW + 86_400) -> Snooze:
    """Return a snooze until the day after the briefing."""
    return Snooze(fingerprint=fingerprint, until=until, by="U1", at=NOW - 60)


def test_opinions_decide_among_findings_of_one_severity_only() -> None:
    """The one that people liked is told first among its equals; one they dislike stays above a lesser one."""
    steps, (high, liked, low) = night_of(Severity.HIGH, Severity.HIGH, Severity.LOW)
    views = Views(opinions=(opinion(liked, up=True), opinion(high, up=False), opinion(low, up=True)))

    told = composed(steps, views)

    assert [finding.fingerprint for finding in told.findings] == [liked, high, low]
    assert {finding.severity for finding in told.findings[:2]} == {Severity.HIGH}


def test_opinions_given_after_the_night_leave_its_briefing_as_it_was() -> None:
    """A briefing told again is the same."""
    steps, (_, second) = night_of(Severity.HIGH, Severity.HIGH)
    later = Views(opinions=(opinion(second, up=True, at=DAY.end_at),))

    assert composed(steps, later) == composed(steps, Views())


def test_a_snoozed_finding_is_left_out_of_the_lists_and_counted() -> None:
    """Neither new findings nor what needs a person tell it; the note says how many and until when."""
    steps, (snoozed, shown) = night_of(Severity.HIGH, Severity.HIGH)

    told = composed(steps, Views(snoozes=(snooze(snoozed),)))

    assert [finding.fingerprint for finding in told.findings] == [shown]
    assert snoozed not in [need.fingerprint for need in told.needs_you]
    assert told.findings_note.endswith("1 snoozed until Wed 25 Nov 01:09.")
    assert len(told.findings) + sum(number for _, number in told.findings_more) == 2


def test_a_snooze_changes_no_verdict() -> None:
    """What was serious stays serious: nobody makes a night green by looking away."""
    steps, fingerprints = night_of(Severity.HIGH, Severity.HIGH)
    snoozed = Views(snoozes=tuple(map(snooze, fingerprints)))

    told = composed(steps, snoozed)

    assert told.verdict == composed(steps, Views()).verdict
    assert told.verdict.level is not Level.GREEN
    assert not told.quiet
    assert "2 snoozed" in told.findings_note


def test_a_critical_finding_is_told_however_it_was_snoozed() -> None:
    """It may have become critical since."""
    steps, (critical,) = night_of(Severity.CRITICAL)

    told = composed(steps, Views(snoozes=(snooze(critical),)))

    assert [finding.fingerprint for finding in told.findings] == [critical]


def test_a_snooze_that_is_over_leaves_nothing_behind() -> None:
    """The finding is told again, without a note."""
    steps, (finding,) = night_of(Severity.HIGH)

    assert composed(steps, Views(snoozes=(snooze(finding, until=NOW),))) == composed(steps, Views())
