"""How findings are told: briefly where they can wait, together where alike, with what to do where they press."""

from __future__ import annotations

import pytest

from forge_workers.briefing import html, markdown, slack
from forge_workers.briefing.findings import details, in_tests, together, typed
from forge_workers.briefing.model import Briefing
from forge_workers.report import Finding, Outcome, Severity
from tests.briefing.examples import busy, calm, text
from tests.briefing.parts import briefing, finding, step
from tests.briefing.test_compose import changed

ADVICE = "If it is real, revoke it where it was issued. Removing the line leaves it in the history."
LONG = "Pickle and modules that wrap it can be unsafe when used to deserialize untrusted data, which this may be."


def secret(number: int, path: str = "tests/test_keys.py", severity: Severity = Severity.LOW) -> Finding:
    """Return a possible secret."""
    title = f"A committed secret: key {number}"
    return finding(title, severity, "secret:High Entropy", path=path, line=number + 1, detail=ADVICE, quote="key")


def of(*findings: Finding) -> Briefing:
    """Return the briefing of a night that found these and nothing else."""
    return briefing(changed(calm(), step("security_review", "", findings=findings)))


def section(told: Briefing, width: int = 80) -> str:
    """Return the new findings as the terminal shows them."""
    return text(told, width).partition("New findings")[2].partition("To dismiss one")[0]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("severity", [Severity.MEDIUM, Severity.LOW])
def test_a_finding_that_can_wait_takes_two_lines(severity: Severity, width: int) -> None:
    """Title, place and fingerprint; the line of code and the detail stand on the page."""
    one = finding(LONG, severity, detail=ADVICE, quote="return pickle.loads(cookie)")
    shown = section(of(one), width)

    assert len(shown.strip().splitlines()) == 2
    assert LONG[:20] in shown
    assert one.fingerprint in shown
    assert "orchard" in shown
    assert "revoke" not in shown
    assert "pickle.loads" not in shown


@pytest.mark.parametrize("severity", [Severity.HIGH, Severity.CRITICAL])
def test_an_urgent_finding_is_told_in_full(severity: Severity) -> None:
    """Whatever must be done today comes with its line and its whole detail."""
    one = finding(LONG, severity, detail=ADVICE, quote="return pickle.loads(cookie)")
    shown = " ".join(section(of(one)).split())

    for part in (LONG, "return pickle.loads(cookie)", ADVICE, one.fingerprint):
        assert part in shown


def test_a_brief_finding_keeps_its_mark() -> None:
    """What came without a model says so on two lines too."""
    step_of = step("code_review", "", Outcome.DEGRADED, "no model: gone", findings=(finding(LONG, Severity.LOW),))

    assert "degraded: no model" in section(briefing(changed(calm(), step_of)))


def test_possible_secrets_in_tests_are_one_entry() -> None:
    """Fourteen of them are one line, three places, and the advice once."""
    shown = " ".join(section(of(*(secret(n) for n in range(14)))).split())

    assert "14 possible secrets in tests" in shown
    assert shown.count("orchard tests/test_keys.py:") == 3
    assert shown.count("revoke") == 1
    assert "and 11 more" in shown


def test_what_is_no_secret_or_no_test_is_told_alone() -> None:
    """Only look-alikes of secrets in tests are told together, and each severity apart."""
    apart = (secret(1), secret(2), secret(3, "src/keys.py"), finding("Odd", Severity.LOW, path="tests/test_x.py"),
             secret(4, severity=Severity.HIGH))  # fmt: skip
    sizes = sorted(len(some) for some in together(of(*apart).findings))

    assert sizes == [1, 1, 1, 2]


def test_telling_together_loses_nobody() -> None:
    """Every finding is in one group and only one."""
    told = of(*(secret(n, path) for n, path in enumerate(["tests/a.py", "src/b.py", "test_c.py", "tests/d/e.json"])))

    assert sorted(f.fingerprint for some in together(told.findings) for f in some) == sorted(
        f.fingerprint for f in told.findings
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("tests/a.py", True), ("src/app/test/data.json", True), ("pkg/test_a.py", True), ("test_a.py", True),
     ("latest/a.py", False), ("src/testing.py", False), ("contests/a.py", False), ("src/a.py", False), (None, False)],
)  # fmt: skip
def test_a_test_is_known_by_its_path(path: str | None, expected: bool) -> None:
    """A folder of tests, or a file that pytest would collect."""
    assert in_tests(finding("x", path=path)) is expected


def test_the_page_and_the_markdown_keep_every_entry_and_tell_advice_once() -> None:
    """Each fingerprint is there; the sentence that all share stands above the first of them."""
    told = of(*(secret(n) for n in range(5)))
    for page in (html.render(told), markdown.render(told).replace("\\", "")):
        assert all(found.fingerprint in page for found in told.findings)
        assert page.count("Removing the line") == 1


def test_no_detail_is_lost_to_another_kind_of_finding() -> None:
    """The same sentence is told again below another rule or severity."""
    told = of(secret(1), secret(2), secret(3, severity=Severity.MEDIUM), finding("Odd", Severity.LOW, detail=ADVICE))

    assert sum(bool(detail) for _, detail in details(told.findings)) == 3


def test_an_urgent_finding_can_be_dismissed_where_it_asks_for_a_person() -> None:
    """It says what to do, in one sentence, and what to type."""
    one = secret(1, "src/keys.py", Severity.HIGH)
    told = of(one)
    (need,) = told.needs_you

    assert need.advice == "If it is real, revoke it where it was issued."
    assert need.fingerprint == typed(one.fingerprint)
    alone = told.model_copy(update={"findings": ()})
    for page in (html.render(alone), markdown.render(alone), text(alone), str(slack.render(alone))):
        assert one.fingerprint in page
        assert "revoke it where it was issued" in page


def test_an_advice_is_not_cut_inside_a_number() -> None:
    """A sentence ends before a capital, not at every full stop."""
    (need,) = of(finding("x", Severity.HIGH, detail="Move to httpx 0.28 at once. Then look again.")).needs_you

    assert need.advice == "Move to httpx 0.28 at once."


def test_what_nobody_looked_at_is_not_counted_as_none() -> None:
    """The row of counters does not say 0 where a step was skipped."""
    skipped = [step(a, "", Outcome.SKIPPED, "there was no need") for a in ("pr_digest", "commit_log")]
    page = html.render(briefing(changed(busy(), *skipped)))

    assert "pull requests not looked at</a>" in page
    assert "commits not counted</a>" in page
    assert "<b>0</b> pull requests" not in page
    assert "not looked at</a>" not in html.render(briefing(busy()))
