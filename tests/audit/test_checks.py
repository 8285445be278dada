"""The asset checks: a true night passes them all, and each of them catches a report that was spoilt for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from forge_workers.audit.checks import CHECKS
from forge_workers.audit.evidence import MOST, quoted, sample
from forge_workers.night import BRIEFING, STEPS
from forge_workers.redact import LABEL
from forge_workers.report import Effect, Evidence, Outcome, Report, Usage
from tests.audit.real_night import NOW, Night, real_night, with_receipt
from tests.code.desk import WINDOW
from tests.standins.repositories import DAY, HOUR

pytestmark = pytest.mark.slow

Spoil = Callable[[Report], Report]
TOKEN = "xoxb-7143-" + "kQ9vTz2LmR8wXs"
PULL = {"repository": "o/n", "number": 4, "title": "", "url": "https://example.org/x"}
UNREAD = Effect(name="posted", target="C1", verified=False)
KEY = "AKIA" + "QYLPMN5HFIQR7B3D"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """One real night."""
    return real_night(tmp_path_factory.mktemp("audit"))


def changed(**fields: Any) -> Spoil:
    """Return what replaces fields of a report, and nothing in its receipt."""
    return lambda report: report.model_copy(update=fields)


def data(**fields: Any) -> Spoil:
    """Return what replaces parts of a report's data."""
    return lambda report: report.model_copy(update={"data": {**report.data, **fields}})


def numbers(**fields: float) -> Spoil:
    """Return what replaces numbers of a report."""
    return lambda report: report.model_copy(update={"numbers": {**report.numbers, **fields}})


def receipt(**fields: Any) -> Spoil:
    """Return what replaces fields of a receipt."""
    return lambda report: with_receipt(report, **fields)


def evidence(**fields: Any) -> Spoil:
    """Return what replaces fields of the first finding's evidence."""

    def spoil(report: Report) -> Report:
        first, *others = report.findings
        moved = first.evidence[0].model_copy(update=fields)
        return report.model_copy(update={"findings": (first.model_copy(update={"evidence": (moved,)}), *others)})

    return spoil


def commits(**fields: Any) -> Spoil:
    """Return what replaces fields of the newest commit in a commit log."""

    def spoil(report: Report) -> Report:
        newest, *others = report.data["commits"]
        return data(commits=[{**newest, **fields}, *others])(report)

    return spoil


#: Per check the spoilt reports it must catch: asset, what is spoilt, and words of what is then said.
SPOILT: dict[str, list[tuple[str, Spoil, str]]] = {
    "schema": [
        ("commit_log", data(commits=[{"id": 7}]), "its data is no CommitLog"),
        ("commit_log", data(author="somebody"), "its data is no CommitLog: author"),
        ("health_snapshot", data(checks=None), "its data is no Snapshot"),
        ("security_review", data(open=[{"fingerprint": "x"}]), "its data is no Security"),
        ("code_review", changed(data={}), "its data is no Reviews"),
        ("evolution_report", numbers(lines=float("nan")), "the number lines is nan"),
        ("morning_briefing", data(edition="second"), "its data is no Briefing"),
    ],
    "evidence_holds": [
        ("security_review", evidence(commit="0" * 40), "there is no such commit"),
        ("security_review", evidence(path="elsewhere.py"), "there is no such file at that commit"),
        ("security_review", evidence(line=1), "the line says something else"),
        ("security_review", evidence(line=900), "the line says something else"),
        ("security_review", evidence(quote="os.system(line)"), "the line says something else"),
        ("security_review", evidence(observed_at=WINDOW.start_at), "the commit has another date"),
        ("security_review", evidence(repository="other"), "other is no repository that the night read"),
        ("commit_log", commits(id="1" * 40), "@1111111111 is not there"),
        ("commit_log", commits(committed_at=WINDOW.start_at + 5), "has another date"),
        ("health_snapshot", evidence(quote="all is lost"), "quotes what its check did not see"),
        ("pr_digest", data(waiting=[PULL]), "o/n#4 points elsewhere"),
        ("morning_briefing", data(findings=[{"asset": "code_review", "fingerprint": "f00"}]), "has no finding f00"),
    ],
    "counts_add_up": [
        ("commit_log", numbers(commits=400), "commits is 400 and counts to 4"),
        ("commit_log", numbers(lines_added=0), "lines_added is 0"),
        ("security_review", numbers(new_findings=0), "new_findings is 0 and counts to 3"),
        ("security_review", changed(known=9), "known_findings is 0 and counts to 9"),
        ("security_review", numbers(scanned_files=900), "scanned files that no commit touched"),
        ("code_review", numbers(reviewed_diffs=5), "reviewed_diffs is 5 and counts to 0"),
        ("evolution_report", numbers(lines=1), "lines is 1"),
        ("health_snapshot", changed(findings=()), "findings is 0 and counts to 1"),
        ("threat_assessment", data(level="GREEN"), "level is 0"),
        ("morning_briefing", numbers(new_findings=0), "new_findings is 0"),
        ("morning_briefing", data(steps=[]), "steps that are not told"),
    ],
    "sources_fresh": [
        ("commit_log", commits(committed_at=WINDOW.end_at), "is not of this night"),
        ("security_review", evidence(observed_at=WINDOW.start_at - HOUR), "is not of this night"),
        ("health_snapshot", evidence(observed_at=NOW + DAY), "was seen in the future"),
        ("health_snapshot", data(observed_at=NOW - DAY), "the look was not made while the step ran"),
        ("health_snapshot", receipt(started_at=NOW + 30 * DAY), "the look was not made while the step ran"),
    ],
    "no_secret": [
        ("commit_log", changed(markdown=f"- aws_key = {KEY}\n"), "1 of its lines look like secrets"),
        ("commit_log", commits(subject=f"Use {KEY}"), "1 of its lines look like secrets"),
        ("security_review", changed(headline=f"Posted with {TOKEN}."), "1 of its lines hold a secret of Forge's own"),
        ("code_review", data(not_reviewed=[{"reason": TOKEN[::-1]}]), "a secret of Forge's own"),
    ],
    "budget_kept": [
        ("code_review", receipt(usage=Usage(model="m", calls=9, prompt_tokens=90_000)), "90,000 prompt tokens of"),
        ("code_review", receipt(usage=Usage(output_tokens=5)), "5 tokens in 0 calls"),
        ("threat_assessment", receipt(usage=Usage(model="m", calls=1, output_tokens=99_999)), "99,999 tokens in 1"),
        ("threat_assessment", receipt(usage=Usage(calls=1)), "1 call to no model"),
        ("gpu_readiness", receipt(usage=Usage(gpu_s=1.5)), "1.5 GPU seconds without a lease"),
        ("gpu_readiness", receipt(usage=Usage(gpu_s=60.0), term=4), "60.0 GPU seconds in a step of 2.0 seconds"),
        ("gpu_readiness", changed(receipt=None), "there is no receipt"),
    ],
    "receipt_complete": [
        ("commit_log", changed(receipt=None), "there is no receipt"),
        ("commit_log", changed(outcome=Outcome.FAILED), "a failed step has no report"),
        ("commit_log", changed(outcome=Outcome.DEGRADED), "gives no reason"),
        ("pr_digest", changed(reasons=()), "another reasons"),
        ("commit_log", receipt(asset="pr_digest"), "another asset"),
        ("commit_log", receipt(started_at=NOW + DAY), "its times cannot be"),
        ("commit_log", receipt(usage=Usage(calls=-1)), "less than nothing"),
    ],
    "effects_verified": [
        ("morning_briefing", changed(effects=(UNREAD,), reasons=()), "posted C1 was not read back"),
    ],
}  # fmt: skip
CASES = [(name, *case) for name, cases in SPOILT.items() for case in cases]


@pytest.mark.parametrize("asset", [*STEPS, BRIEFING])
def test_a_true_night_passes_every_check(night: Night, asset: str) -> None:
    """What the desks themselves return is refused by none."""
    results = night.checked(night.reports[asset])

    assert [*results] == [*CHECKS]
    assert [result for result in results.values() if not result.passed] == []
    assert all(result.why for result in results.values())


@pytest.mark.parametrize(("name", "asset", "spoil", "said"), CASES, ids=[f"{c[0]}-{c[1]}-{c[3]:.24}" for c in CASES])
def test_a_spoilt_report_is_caught(night: Night, name: str, asset: str, spoil: Spoil, said: str) -> None:
    """The check made for it fails, and says in one line what does not hold."""
    slack = night.tools.settings.slack.model_copy(update={"token": SecretStr(TOKEN)})
    settings = night.tools.settings.model_copy(update={"slack": slack})

    result = night.checked(spoil(night.reports[asset]), settings=settings)[name]

    assert not result.passed
    assert said in result.why
    assert "\n" not in result.why
    assert TOKEN not in result.why
    assert KEY not in result.why


def test_every_check_has_a_control() -> None:
    """No check is trusted that was never seen to fail."""
    assert {*SPOILT} == {*CHECKS}


def test_only_a_secret_of_forges_own_is_grave(night: Night) -> None:
    """What people wrote into a commit keeps no report from being stored."""
    others = night.checked(changed(headline=f"key = {KEY}")(night.reports["commit_log"]))["no_secret"]

    assert (others.passed, others.grave) == (False, False)


def test_a_night_long_past_says_what_it_cannot_know(night: Night) -> None:
    """A look at the machine that pretends to be of a night last month is caught; one that says so passes."""
    late = receipt(started_at=NOW + 30 * DAY)(night.reports["health_snapshot"])
    seen = data(observed_at=NOW + 30 * DAY)(late).model_copy(update={"gaps": (), "reasons": ()})
    honest = seen.model_copy(update={"reasons": ("the machine's state of the night is gone",)})

    facts = {"now": NOW + 30 * DAY + 2}
    caught, passed = (night.checked(one, **facts)["sources_fresh"] for one in (seen, honest))

    assert "nothing says that how the machine was is not known" in caught.why
    assert passed.passed
    assert passed.why.endswith("told 30 days after it: how the machine was then is not known")


def test_a_day_that_is_not_over_is_said(night: Night) -> None:
    """Nothing is wrong with it, and more may come."""
    early = receipt(started_at=WINDOW.end_at - HOUR)(night.reports["commit_log"])

    assert "the day is not over" in night.checked(early)["sources_fresh"].why


def test_an_upstream_of_another_night_is_caught(night: Night) -> None:
    """A step that was handed yesterday's report would tell yesterday as today."""
    other = {"commit_log": night.reports["commit_log"].model_copy(update={"night": "2026-03-01"})}

    assert (
        night.checked(night.reports["pr_digest"], upstream=other)["sources_fresh"].why == "commit_log is of 2026-03-01"
    )


def test_evidence_that_nobody_can_look_at_is_no_evidence(night: Night, tmp_path: Path) -> None:
    """When the repository is gone, the check does not pass."""
    log = night.reports["commit_log"]
    gone = [{**row, "path": str(tmp_path / "gone")} for row in log.data["repositories"]]

    result = night.checked(data(repositories=gone)(log))["evidence_holds"]

    assert not result.passed
    assert result.why.startswith("nothing could be looked at: ")
    assert result.numbers["checked"] == 0


def test_a_check_that_breaks_does_not_pass_and_breaks_nothing(night: Night) -> None:
    """Data of a shape that nobody foresaw is a failed check, not a failed night."""
    odd = night.reports["security_review"].model_copy(update={"data": {"dependencies": 5, "open": [3]}})

    results = night.checked(odd)

    assert not results["counts_add_up"].passed
    assert not results["schema"].passed
    assert results["receipt_complete"].passed


@pytest.mark.parametrize(
    ("quote", "line", "holds"),
    [
        ("run(a)", "run(a)", True),
        ("run(a)", "run(a)  # and more", False),
        (f"key = {LABEL}secret]", 'key = "abc"', True),
        (f"key = {LABEL}secret] # old", 'key = "abc" # old', True),
        (f"key = {LABEL}secret] # old", 'key = "abc" # new', False),
        (f"{LABEL}secret] = {LABEL}secret]", "a b", False),
        ("x" * 500, "x" * 900, True),
        ("x" * 495 + LABEL[:5], "x" * 900, False),
        ("x" * 480 + f"{LABEL}AWS Acc", "x" * 480 + KEY, True),
    ],
)
def test_a_mask_stands_for_any_text_and_a_cut_quote_for_the_beginning(quote: str, line: str, holds: bool) -> None:
    """A quote is compared whole but for what was hidden or cut off."""
    one = Evidence(source="git", observed_at=0.0, line=1, quote=quote)

    assert quoted(one, f"{line}\nanother line\n") is holds


def test_a_quote_full_of_masks_takes_no_time() -> None:
    """A line made to be compared for ever is compared once."""
    one = Evidence(source="git", observed_at=0.0, line=1, quote=f"a{LABEL}x]" * 30 + "b")

    assert not quoted(one, "a" * 20_000)


@pytest.mark.parametrize("number", [0, 1, MOST, MOST + 1, 500, 100_000])
def test_the_sample_is_bounded_and_begins_with_the_weightiest(number: int) -> None:
    """At most so many are looked at, each once, the first half of them always."""
    chosen = sample(number)

    assert len(chosen) == len({*chosen}) == min(number, MOST)
    assert [*chosen][: MOST // 2] == [*range(min(number, MOST // 2))]
    assert all(0 <= n < number for n in chosen)
