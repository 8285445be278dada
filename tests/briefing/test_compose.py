"""The briefing says what the receipts say, no more and no less."""

from __future__ import annotations

import unicodedata
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.briefing.model import NO_MODEL, Briefing, Level
from forge_workers.briefing.told import linkable
from forge_workers.night import STEPS, Step
from forge_workers.report import Finding, Gap, Outcome, Severity
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import (
    DAY,
    NOW,
    briefing,
    check,
    commit,
    commit_log,
    earlier,
    finding,
    health,
    pull,
    receipt,
    step,
    threat,
)


def changed(steps: tuple[Step, ...], *new: Step) -> tuple[Step, ...]:
    """Return ``steps`` with some replaced."""
    by_name = {s.asset: s for s in (*steps, *new)}
    return tuple(by_name.values())


def without(steps: tuple[Step, ...], asset: str) -> tuple[Step, ...]:
    """Return ``steps`` without one."""
    return tuple(s for s in steps if s.asset != asset)


def failed(asset: str, reason: str = "it broke") -> Step:
    """Return a failed step."""
    return Step(asset=asset, failure=receipt(asset, Outcome.FAILED, (reason,)))


def strings(value: Any) -> list[str]:
    """Return every string in a value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [text for part in inner for text in strings(part)]


def claims_green_unseen(told: Briefing, steps: tuple[Step, ...]) -> bool:
    """The check of the central rule: GREEN although the threat assessment did no work."""
    report = next((s.report for s in steps if s.asset == "threat_assessment"), None)
    worked = report is not None and report.outcome is not Outcome.SKIPPED
    return told.verdict.level is Level.GREEN and not worked


def test_a_night_on_which_nothing_changed_is_a_short_green_briefing() -> None:
    """No commits, nothing new and a machine that is well make a valid, short briefing."""
    told = briefing(calm())

    assert told.verdict.level is Level.GREEN
    assert told.quiet
    assert told.verdict.sentence.startswith("Nothing changed")
    assert told.needs_you == ()


@pytest.mark.parametrize("lost", ["absent", "missing", "failed", "skipped"])
def test_green_is_never_claimed_without_a_threat_assessment(lost: str) -> None:
    """Whatever took the threat assessment away, the night is incomplete and says why."""
    asset = "threat_assessment"
    steps = {
        "absent": without(calm(), asset),
        "missing": changed(calm(), Step(asset=asset, missing="health_snapshot failed before it")),
        "failed": changed(calm(), failed(asset)),
        "skipped": changed(calm(), step(asset, "skipped", Outcome.SKIPPED, "no snapshot")),
    }[lost]
    told = briefing(steps)

    assert told.verdict.level is Level.INCOMPLETE
    assert not claims_green_unseen(told, steps)
    assert "threat" in told.verdict.sentence
    assert not told.quiet


def test_a_verdict_that_only_counts_findings_is_caught() -> None:
    """The control: a briefing judged by findings alone claims green unseen, and the same check says so."""
    steps = without(calm(), "threat_assessment")
    told = briefing(steps)
    naive = told.model_copy(update={"verdict": told.verdict.model_copy(update={"level": Level.GREEN})})

    assert claims_green_unseen(naive, steps)


STATES = ("ran", "skipped", "failed", "missing", "absent")


@given(st.lists(st.sampled_from(STATES), min_size=len(STEPS), max_size=len(STEPS)))
def test_every_step_is_named_with_what_became_of_it(states: list[str]) -> None:
    """Whatever mix of outcomes a night had, each step is told as it was, and no unseen thing is green."""
    usual = {s.asset: s for s in calm()}
    steps: list[Step] = []
    for asset, state in zip(STEPS, states, strict=True):
        one = {
            "ran": usual[asset],
            "skipped": step(asset, "", Outcome.SKIPPED, "there was no need"),
            "failed": failed(asset),
            "missing": Step(asset=asset, missing="it did not finish"),
            "absent": None,
        }[state]
        steps += [one] if one else []
    told = briefing(tuple(steps))

    assert [line.asset for line in told.steps] == list(STEPS)
    for line, state, asset in zip(told.steps, states, STEPS, strict=True):
        expected = "missing" if state == "absent" else "skipped" if asset == "pr_digest" and state == "ran" else state
        assert line.outcome == expected
    assert not claims_green_unseen(told, tuple(steps))
    if {"failed", "missing", "absent"} & set(states):
        assert told.verdict.level is Level.INCOMPLETE
    for line in told.steps:
        if line.outcome in {"failed", "missing"}:
            assert line.asset in told.verdict.sentence
            assert any(line.asset in short.assets for short in told.shortfalls)
            assert any(need.act == "forge night --date 2026-11-23" for need in told.needs_you)


@pytest.mark.parametrize(
    ("machine", "worst", "whole", "expected"),
    [
        ("GREEN", None, True, Level.GREEN),
        ("GREEN", Severity.MEDIUM, True, Level.GREEN),
        ("GREEN", Severity.HIGH, True, Level.YELLOW),
        ("GREEN", Severity.CRITICAL, True, Level.RED),
        ("YELLOW", None, True, Level.YELLOW),
        ("RED", None, True, Level.RED),
        ("GREEN", None, False, Level.INCOMPLETE),
        ("YELLOW", Severity.HIGH, False, Level.INCOMPLETE),
        ("RED", None, False, Level.RED),
        ("GREEN", Severity.CRITICAL, False, Level.RED),
    ],
)
def test_the_verdict_is_the_worst_of_machine_findings_and_holes(
    machine: str, worst: Severity | None, whole: bool, expected: Level
) -> None:
    """RED before INCOMPLETE before YELLOW before GREEN."""
    found = (finding("It matters", worst),) if worst else ()
    steps = changed(calm(), threat(machine), step("security_review", "done", findings=found))
    steps = steps if whole else changed(steps, failed("evolution_report"))

    assert briefing(steps).verdict.level is expected


def test_a_failed_step_tells_nothing_of_an_older_report() -> None:
    """When this attempt failed, findings of an earlier attempt are not told as tonight's."""
    old = step("security_review", "old", findings=(finding("An old finding"),)).report
    both = Step(asset="security_review", report=old, failure=receipt("security_review", Outcome.FAILED, ("disk full",)))
    told = briefing(changed(calm(), both))

    assert told.findings == ()
    assert "disk full" in told.findings_note


def test_needs_are_most_urgent_first_and_steps_before_pull_requests() -> None:
    """What a person must do first stands first."""
    ranks = [need.urgency.rank for need in briefing(broken()).needs_you]

    assert ranks == sorted(ranks, reverse=True)
    assert "failed" in briefing(broken()).needs_you[0].text


def test_known_and_dismissed_findings_are_only_counted() -> None:
    """Only what is new is listed; the rest is a number."""
    old = finding("Known already", Severity.CRITICAL, is_new=False)
    told = briefing(changed(calm(), step("security_review", "", findings=(old,), known=4, dismissed=2)))

    assert told.findings == ()
    assert told.verdict.level is Level.GREEN
    assert "5 known and 2 dismissed" in told.findings_note


def test_findings_beyond_what_a_person_reads_are_counted_by_severity() -> None:
    """Nothing is dropped without a word."""
    many = tuple(finding(f"Finding {n}", Severity.LOW if n % 2 else Severity.MEDIUM) for n in range(100))
    told = briefing(changed(calm(), step("security_review", "", findings=many)))

    assert len(told.findings) + sum(number for _, number in told.findings_more) == 100
    assert [f.severity for f in told.findings] == sorted((f.severity for f in told.findings), key=lambda s: -s.rank)


def test_remarks_with_nothing_to_do_are_only_counted() -> None:
    """A finding of severity info fills no line of the morning, and is not hidden either."""
    found = (finding("Remark", Severity.INFO), finding("Weak hash", Severity.LOW))
    told = briefing(changed(calm(), step("security_review", "", findings=found)))

    assert [f.title for f in told.findings] == ["Weak hash"]
    assert told.findings_more == ((Severity.INFO, 1),)


def test_the_verdict_names_what_decided_it() -> None:
    """On a well machine an urgent finding is the evidence, not the machine's own receipt."""
    found = (finding("Secret", Severity.HIGH),)
    told = briefing(changed(calm(), step("security_review", "", findings=found)))

    assert told.verdict.level is Level.YELLOW
    assert "security_review" in told.verdict.proof.where


def test_a_text_that_came_without_a_model_says_so() -> None:
    """The mark stands at the machine's explanation and at each finding of the step without a model."""
    told = briefing(busy())

    assert told.verdict.mark == NO_MODEL
    assert [f.mark for f in told.findings if f.asset == "code_review"] == [NO_MODEL]
    assert {line.asset for line in told.steps if line.mark} == {"threat_assessment", "code_review"}


def test_every_line_has_a_place_and_a_time() -> None:
    """Needs, findings, commits and pull requests can be checked where they say."""
    told = briefing(busy())
    several = [*(need.proofs for need in told.needs_you), *(found.proofs for found in told.findings)]
    proofs = [proof for some in several for proof in some]
    proofs += [change.proof for change in told.code] + [c.proof for change in told.code for c in change.latest]
    proofs += [pull.proof for pull in told.pull_requests]

    assert all(several)
    assert all(proof.where and DAY.start_at <= proof.at <= NOW for proof in proofs)
    assert "orchard deploy/staging.env:3@3fa9c1d0b2" in [proof.where for proof in proofs]


def test_a_day_that_is_not_over_is_told_as_such() -> None:
    """A briefing made before the window ends says that it is early."""
    assert not briefing(busy(), now=DAY.end_at - 1).day_over
    assert briefing(busy(), now=DAY.end_at).day_over


def test_commits_are_not_called_none_when_nobody_counted() -> None:
    """Without a commit log the briefing neither says "no commits" nor "nothing changed"."""
    told = briefing(changed(calm(), step("commit_log", "", Outcome.SKIPPED, "git is not installed")))

    assert "Nothing changed" not in told.verdict.sentence
    assert "git is not installed" in told.code_note
    assert not told.quiet


def test_a_green_night_says_how_much_could_not_be_looked_at() -> None:
    """A gap does not hide behind a green word."""
    gap = Gap(what="repository cellar", why="it is missing")
    told = briefing(changed(calm(), commit_log([], gaps=(gap,))))

    assert told.verdict.level is Level.GREEN
    assert "1 thing could not be looked at" in told.verdict.sentence
    assert [short.what for short in told.shortfalls if short.kind == "gap"] == [("repository cellar",)]


@pytest.mark.parametrize("asset", ["commit_log", "health_snapshot", "threat_assessment", "pr_digest", "code_review"])
def test_data_of_another_shape_is_a_gap(asset: str) -> None:
    """A desk whose result cannot be read is named; nothing breaks and nothing is called clean."""
    shapes: list[dict[str, Any]] = [{"level": 7}, {"commits": "x", "checks": 3, "waiting": [None], "not_reviewed": 1}]
    for data in shapes:
        told = briefing(changed(busy(), step(asset, "odd", data=data)))
        wrong = data == {"level": 7} and asset in {"pr_digest", "code_review"}  # every field of these is optional

        assert wrong or any(short.kind == "gap" and asset in short.assets for short in told.shortfalls)
        assert told.verdict.level is not Level.GREEN


def test_numbers_are_compared_with_the_night_before() -> None:
    """Each figure carries tonight's value, the earlier one, and which night that was."""
    told = briefing(busy())
    disk = next(figure for figure in told.figures if figure.name == "disk_free_gib")

    assert (disk.tonight, disk.last_night, disk.last_is) == (38.2, 44.9, "2026-11-22")
    assert disk.moved


def compared(watched: tuple[str, ...]) -> set[str]:
    """Return the steps whose numbers are held against an earlier night that watched ``watched``."""
    told = briefing(busy(), before=earlier(*watched))
    return {figure.asset for figure in told.figures if figure.last_night is not None}


def test_numbers_of_other_repositories_are_not_compared() -> None:
    """A repository that came or went is no movement of the code; the machine's numbers compare as ever."""
    code = {"commit_log", "security_review", "evolution_report"}
    same = compared(("press", "orchard", "attic"))

    assert code < same
    for other in (("orchard",), ("orchard", "press", "attic", "new"), ("orchard", "press", "cellar")):
        assert compared(other) == same - code
    gone = {asset: report for asset, report in earlier().items() if asset != "commit_log"}
    assert {f.asset for f in briefing(busy(), before=gone).figures if f.last_night is not None} == same - code


def test_a_night_of_another_date_says_nothing_about_which_repositories_were_watched() -> None:
    """An earlier report is compared only when the commit log of its own night names the same repositories."""
    older = {**earlier(), "security_review": earlier()["security_review"].model_copy(update={"night": "2026-11-20"})}
    moved = {f.asset for f in briefing(busy(), before=older).figures if f.last_night is not None}

    assert "security_review" not in moved
    assert "commit_log" in moved


def test_numbers_that_are_none_are_left_out() -> None:
    """Not a number and infinity are shown to nobody."""
    odd = step("evolution_report", "", numbers={"a": float("nan"), "b": float("inf"), "c": 1.0})

    assert [f.name for f in briefing(changed(calm(), odd)).figures if f.asset == "evolution_report"] == ["c"]


def test_the_riskiest_of_what_nobody_reviewed_are_named() -> None:
    """Without a review a person learns where to look first: the three of highest risk, and no more."""
    left = [
        {"repository": "orchard", "commit": "a" * 40, "path": f"part{n}.py", "risk": n, "reason": "no model"}
        for n in range(5)
    ]
    told = briefing(changed(calm(), step("code_review", "", data={"reviewed": [], "not_reviewed": left})))
    short = next(short for short in told.shortfalls if short.kind == "not reviewed")

    assert short.what == ("5 changes",)
    assert [f"part{n}.py in orchard@aaaaaaaaaa (risk {n})" in short.why for n in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_only_numbers_a_person_reads_are_told() -> None:
    """The rest of a step's numbers stay in its report; a step nobody chose for shows its first ones."""
    many = step("commit_log", "", data={}, numbers={"odd": 1.0, "commits": 2.0, "merges": 3.0})

    figures = [f for f in briefing(changed(calm(), many)).figures if f.asset == "commit_log"]

    assert [(f.name, f.label) for f in figures] == [("commits", "Commits")]


def test_a_failing_check_is_told_once() -> None:
    """A check that also became a finding of its desk needs the person once."""
    again = finding("Disk is full", Severity.HIGH)
    told = briefing(changed(calm(), health(check("disk", "Disk", "fail", detail="full"), findings=(again,))))

    assert len(told.needs_you) == 1


def test_the_briefing_survives_a_round_trip_through_json() -> None:
    """What is stored is what was composed."""
    for steps in (busy(), calm(), broken()):
        told = briefing(steps)

        assert Briefing.model_validate_json(told.model_dump_json()) == told


@given(hostile.ANY)
def test_every_text_is_one_bounded_line_without_control_characters(text: str) -> None:
    """No text of anybody else keeps a line break, an escape or a bidi override."""
    for part in strings(hostile.told(text).model_dump(mode="json")):
        assert len(part) <= 1_000
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for c in part)


def test_a_megabyte_of_title_is_cut() -> None:
    """The briefing stays small whatever it is given."""
    assert len(hostile.told(hostile.LONG).model_dump_json()) < 60_000


def test_a_fingerprint_is_safe_to_type() -> None:
    """What stands after ``forge dismiss`` holds nothing that a shell would read."""
    odd = Finding.model_validate({**finding("x").model_dump(), "fingerprint": "ab;$(rm -rf ~)`id`\n12"})
    told = briefing(changed(calm(), step("security_review", "", findings=(odd,))))

    assert told.findings[0].fingerprint == "abrm-rfid12"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "http://github.com/a", "https://u:p@github.com/a", "https://github.com/a?q=secret",
        "https://github.com/a#x", "https://github.com/a|b", "https://github.com/a>x", "https://github.com/a b",
        "https://git hub.com", "data:text/html,x", "//github.com/a", "https://github.com/%3Cscript%3E", "https://", "",
        "https://github.com/a\n", "https://github.com/" + "a" * 500,
    ],
)  # fmt: skip
def test_an_address_that_could_carry_data_out_is_no_link(url: str) -> None:
    """Only https with a host and a plain path becomes a link."""
    assert linkable(url) is None


def test_a_pull_request_is_linked_only_where_its_number_says() -> None:
    """An address that leads elsewhere than to the pull request it names is shown as nothing."""
    good, bad = pull(1, "Good", 1.0), {**pull(2, "Bad", 1.0), "url": "https://evil.example/acme/orchard/pull/3"}
    told = briefing(changed(calm(), step("pr_digest", "", data={"waiting": [good, bad]})))
    urls = {pr.number: pr.proof.url for pr in told.pull_requests}

    assert urls == {1: "https://github.com/acme/orchard/pull/1", 2: None}


def test_busy_repositories_come_first_and_quiet_ones_are_named() -> None:
    """The code section is in the order of work done."""
    told = briefing(busy())

    assert [change.repository for change in told.code] == ["orchard", "press"]
    assert told.code_note == "No commits in attic."
    assert told.code[0].more == 1


def test_wild_times_are_said_to_be_unknown_and_break_nothing() -> None:
    """A commit dated far beyond the calendar is told without a time."""
    for at, renderer in product((1e18, -1e18, 0.0), ("markdown", "html", "slack", "terminal")):
        log = commit_log([{**commit("orchard", "From the future", "x", 1.0, []), "committed_at": at}])
        told = briefing(changed(calm(), log))
        module = __import__(f"forge_workers.briefing.{renderer}", fromlist=["render"])

        assert module.render(told)
