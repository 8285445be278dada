"""What earlier nights left open is told every morning until it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from forge_workers.briefing import html, markdown, slack
from forge_workers.briefing.model import Briefing, Level
from forge_workers.night import Step
from forge_workers.report import Finding, Outcome, Report, Severity
from tests.briefing.examples import calm, text
from tests.briefing.parts import COMMIT, DAY, NIGHT, NOW, briefing, finding, step, threat
from tests.briefing.test_compose import changed, failed


def left(number: int = 1, severity: str = "high", since: str = "2026-11-22") -> dict[str, Any]:
    """Return one open finding as ``security_review`` keeps it."""
    return {
        "fingerprint": f"{number:016x}",
        "rule": "bandit:B602",
        "severity": severity,
        "title": f"Shell call {number}",
        "repository": "orchard",
        "path": "deploy/shell.py",
        "line": 88,
        "commit": COMMIT,
        "since": since,
    }


def review(*open_ones: dict[str, Any], found: tuple[Finding, ...] = ()) -> Step:
    """Return the step ``security_review`` with what it left open."""
    return step("security_review", "done", findings=found, data={"dependencies": [], "open": list(open_ones)})


def told(*open_ones: dict[str, Any], found: tuple[Finding, ...] = ()) -> Briefing:
    """Return the briefing of a calm night on which these are open."""
    return briefing(changed(calm(), review(*open_ones, found=found)))


def is_told(one: Briefing) -> None:
    """Check that the open finding stands under what needs a person, and in the verdict."""
    (need,) = one.needs_you
    assert need.text == "Still open since Sun 22 Nov: Shell call 1 in orchard deploy/shell.py:88"
    assert (need.urgency, need.proofs[0].where) == (Severity.HIGH, f"orchard deploy/shell.py:88@{COMMIT[:10]}")
    assert DAY.start_at <= need.proofs[0].at <= NOW
    assert one.verdict.level is Level.YELLOW
    assert one.verdict.sentence == "1 high finding still open."
    assert "security_review" in one.verdict.proof.where
    assert not one.quiet


def test_an_open_finding_is_told_again_and_the_night_is_not_green() -> None:
    """On a night on which nothing is new, the open finding still needs a person."""
    is_told(told(left()))


def test_a_briefing_that_reads_only_new_findings_is_caught() -> None:
    """Control: the same night without the list of what is open fails the same check."""
    with pytest.raises((AssertionError, ValueError)):
        is_told(told())


@pytest.mark.parametrize("page", [markdown.render, html.render, text, slack.render])
def test_every_page_shows_it(page: Any) -> None:
    """No renderer leaves it out."""
    assert "Still open since Sun 22 Nov" in str(page(told(left())))


def test_three_are_named_and_the_rest_counted() -> None:
    """A long list does not bury the morning."""
    one = told(*(left(number) for number in range(1, 6)))

    assert [need.text.partition(":")[0] for need in one.needs_you] == [
        *["Still open since Sun 22 Nov"] * 3,
        "2 more still open",
    ]
    assert one.verdict.sentence == "5 high findings still open."


def test_a_finding_of_tonight_is_told_once() -> None:
    """What is new tonight is open too, and is told only as new."""
    new = finding("Fresh", Severity.HIGH)
    mine = {**left(since=NIGHT), "fingerprint": new.fingerprint, "title": "Fresh"}
    one = told(mine, left(2), found=(new,))

    assert [need.text for need in one.needs_you] == [
        "Fresh",
        "Still open since Sun 22 Nov: Shell call 2 in orchard deploy/shell.py:88",
    ]
    assert one.verdict.sentence == "1 new high finding; 1 high finding still open."


def test_one_that_was_there_before_tonight_touched_its_file_has_no_earlier_night() -> None:
    """What the code held before Forge looked is open, and no night is claimed to have seen it."""
    assert told(left(since=NIGHT)).needs_you[0].text.startswith("Still open: Shell call 1 in")


@pytest.mark.parametrize(
    ("severity", "machine", "expected"),
    [("high", "GREEN", Level.YELLOW), ("critical", "GREEN", Level.RED), ("high", "RED", Level.RED)],
)
def test_an_open_finding_weighs_as_much_as_on_its_first_night(severity: str, machine: str, expected: Level) -> None:
    """A fault does not become harmless because nobody acted."""
    one = briefing(changed(calm(), review(left(severity=severity)), threat(machine)))
    assert one.verdict.level is expected
    assert f"1 {severity} finding still open" in one.verdict.sentence


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_a_night_without_a_review_tells_what_was_open_last(state: str) -> None:
    """A review that failed or was skipped does not make open findings vanish."""
    data = {"open": [left()]}
    lost = {
        "failed": failed("security_review"),
        "skipped": step("security_review", "", Outcome.SKIPPED, "no commit log", data=data),
    }[state]
    last = Report(asset="security_review", night="2026-11-22", headline="", data=data)
    one = briefing(changed(calm(), lost), before={"security_review": last})

    assert any(need.text.startswith("Still open since Sun 22 Nov") for need in one.needs_you)
    assert "1 high finding still open" in one.verdict.sentence
