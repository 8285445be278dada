"""What the night did not do is told once for each cause, and nothing of it is lost."""

from __future__ import annotations

import html as entities
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.briefing import html, markdown, slack, words
from forge_workers.briefing.model import NO_MODEL, Briefing, Shortfall, StepLine
from forge_workers.briefing.shortfalls import CHOSEN, CHOSEN_TOLD
from forge_workers.night import STEPS, Step
from forge_workers.plain import plain
from forge_workers.report import Finding, Outcome, Report
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm, text
from tests.briefing.parts import briefing, finding, step, threat
from tests.briefing.test_compose import changed, failed

SERVER = "Ollama does not answer at 127.0.0.1:11434"
GONE = "this was seen on 2026-11-24 at 20:51; the machine's state of the night 2026-03-01 is gone"
Renderer = Callable[[Briefing], str]
RENDERERS: dict[str, Renderer] = {
    "terminal": lambda told: text(told, 4_000),
    "markdown": lambda told: markdown.render(told).replace("\\", ""),
    "html": lambda told: entities.unescape(html.render(told)),
    "slack": lambda told: entities.unescape("\n".join(message.text for message in slack.render(told))),
}


def without_model(reason: str = f"no model: {SERVER}", *findings: Finding) -> tuple[Step, ...]:
    """Return a night, done over afterwards, in which no model was asked for ``reason``."""
    change = {"repository": "press", "commit": "b" * 40, "reason": reason}
    left = [{**change, "path": f"a{n}.py", "risk": n} for n in (1, 2)]
    return changed(
        calm(),
        step("gpu_readiness", reason, Outcome.SKIPPED, reason),
        step("health_snapshot", "9 checks", Outcome.DEGRADED, GONE, data={"observed_at": 0.0, "checks": []}),
        threat("YELLOW", ("disk_low", "the disk is low", 2), outcome=Outcome.DEGRADED, reasons=(GONE, reason)),
        step("code_review", "0 of 2 changes reviewed.", Outcome.DEGRADED, reason, findings=findings,
             data={"reviewed": [], "not_reviewed": left}),
    )  # fmt: skip


def of(told: Briefing, cause: str) -> list[Shortfall]:
    """Return what is told with ``cause``."""
    return [short for short in told.shortfalls if cause in short.why]


def reasons(steps: tuple[Step, ...]) -> set[str]:
    """Return every reason that any step left, as it may be shown."""
    reports: list[Report] = [step.report for step in steps if step.report and not (step.failure or step.missing)]
    left = [*(reason for report in reports for reason in report.reasons)]
    left += [reason for step in steps if step.failure for reason in step.failure.reasons]
    left += [step.missing for step in steps if step.missing]
    return {plain(reason, 300) for reason in left} - {""}


def hidden(steps: tuple[Step, ...], page: str) -> list[str]:
    """The check of these tests: reasons of steps that stand nowhere in ``page``."""
    shown = re.sub(r"\s+", " ", page).casefold()
    return [r for r in sorted(reasons(steps)) if " ".join(r.casefold().split()).rstrip(". ") not in shown]


@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
@pytest.mark.parametrize("steps", [busy(), calm(), broken(), without_model()], ids=["busy", "calm", "broken", "none"])
def test_every_reason_of_every_step_stands_in_the_briefing(steps: tuple[Step, ...], renderer: Renderer) -> None:
    """However causes are grouped and steps shortened, no reason is lost in any medium."""
    assert hidden(steps, renderer(briefing(steps))) == []


@given(hostile.ANY)
def test_no_reason_of_anybody_else_is_lost(raw: str) -> None:
    """Reasons that hold colons, brackets or nothing at all are still told."""
    told = briefing(hostile.night(raw))
    said = " ".join([short.why for short in told.shortfalls])

    assert hidden(hostile.night(raw), said) == []


@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
def test_a_briefing_that_drops_a_shortfall_is_caught(renderer: Renderer) -> None:
    """The control: with one line of the shortfalls gone, the same check names the reason that is lost."""
    steps = busy()
    told = briefing(steps)
    dropped = told.model_copy(update={"shortfalls": told.shortfalls[:-1], "pull_requests_note": ""})

    assert hidden(steps, renderer(dropped))


def test_one_cause_is_one_line() -> None:
    """What failed for want of a model is told together, with the cause once and every step named."""
    told = briefing(without_model())
    (model,) = of(told, SERVER)
    (gone,) = of(told, GONE)

    places = "a2.py in press@bbbbbbbbbb (risk 2) and a1.py in press@bbbbbbbbbb (risk 1)"
    assert model.what == (
        "GPU readiness skipped",
        "threat assessment explained by its rules",
        f"2 changes not reviewed (worth a look: {places})",
    )
    assert gone.what == ("health snapshot degraded", "threat assessment degraded")


@pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS)
def test_a_cause_stands_once_on_the_page(renderer: Renderer) -> None:
    """A reader meets the same sentence once."""
    page = renderer(briefing(without_model()))

    assert page.count(SERVER) == 1
    assert page.count("is gone") == 1


def test_steps_that_broke_are_each_told_alone() -> None:
    """A failure is never folded into another line."""
    told = briefing(changed(calm(), failed("commit_log"), failed("security_review")))

    assert [short.assets for short in told.shortfalls if short.kind == "failed"] == [
        ("commit_log",),
        ("security_review",),
    ]


def test_a_step_says_nothing_twice() -> None:
    """A headline that is the reason is told once, and what stands among the gaps is shortened."""
    page = text(briefing(without_model()), 200).partition("The night's steps")[2]

    assert [line.split()[-2:] for line in page.splitlines() if "gpu_readiness" in line] == [["no", "model"]]
    assert "0 of 2 changes reviewed; no model" in page


def test_a_headline_that_holds_its_reason_is_shortened_with_it() -> None:
    """The cause stands among the gaps, whatever sentence the step put it into."""
    reason = f"no model: {SERVER}"
    heads = {
        f"No model is ready: {SERVER}.": "No model is ready.",
        f"None reviewed: {reason}": "None reviewed: no model",
    }
    for headline, said in heads.items():
        line = StepLine(asset="code_review", outcome="degraded", headline=headline, reasons=(reason,))

        assert words.step(line) == ((said, "no model") if "no model" not in said.casefold() else (said,))


def test_reasons_of_a_step_that_ran_are_told_in_full() -> None:
    """They stand among no gaps, so the step itself tells them."""
    told = briefing(changed(busy(), step("evolution_report", "Done.", Outcome.RAN, "one file: not counted")))

    assert "one file: not counted" in text(told, 200)


def test_reasons_beyond_the_first_are_counted() -> None:
    """A step with a hundred reasons says how many are not told."""
    many = step("evolution_report", "", Outcome.DEGRADED, *(f"reason number {n}" for n in range(100)))
    told = briefing(changed(calm(), many))

    assert any("92 more reasons" in short.why for short in told.shortfalls)


def test_changes_beyond_the_first_reasons_are_counted() -> None:
    """A review with a hundred reasons still accounts for every change."""
    left = [{"reason": f"reason number {n}"} for n in range(100)]
    told = briefing(changed(calm(), step("code_review", "", data={"reviewed": [], "not_reviewed": left})))
    counts = [int(short.what[0].split()[0]) for short in told.shortfalls if short.kind == "not reviewed"]

    assert sum(counts) == 100


def test_ones_own_setting_is_told_neutrally_and_once() -> None:
    """No model by choice is no fault: one line says so, and the texts are still marked."""
    told = briefing(without_model(f"no model: {CHOSEN}", finding("Odd")))
    (short,) = of(told, CHOSEN_TOLD)

    assert short.kind == "chosen"
    assert len(short.what) == 3
    assert told.verdict.mark == NO_MODEL
    assert [found.mark for found in told.findings] == [NO_MODEL]
    for renderer in RENDERERS.values():
        page = renderer(told)

        assert page.count(CHOSEN_TOLD) == 1
        assert CHOSEN not in page
        assert NO_MODEL in page


def test_a_choice_is_not_counted_as_a_gap() -> None:
    """The page counts what went wrong, not what was wished."""
    page = html.render(briefing(without_model(f"no model: {CHOSEN}")))

    assert "<b>2</b> gaps" in page


@given(st.lists(st.sampled_from(["no model: a", "No model: a.", "no model: b"]), min_size=2, max_size=8))
def test_each_cause_has_one_line_whatever_the_steps(causes: list[str]) -> None:
    """There are as many lines as causes, and each step is named with its own."""
    steps = tuple(step(a, "", Outcome.SKIPPED, cause) for a, cause in zip(STEPS, causes, strict=False))
    told = briefing(changed(calm(), *steps))
    for cause in ("no model: a", "no model: b"):
        named = {asset for short in told.shortfalls for asset in short.assets if cause in short.why.lower()}
        lines = [short for short in told.shortfalls if cause in short.why.lower()]

        assert len(lines) <= 1
        assert named == {a for a, why in zip(STEPS, causes, strict=False) if why.lower().rstrip(".") == cause}


def test_the_messages_stay_json() -> None:
    """What is told together still fits the blocks of a message."""
    assert json.dumps([message.model_dump(mode="json") for message in slack.render(briefing(without_model()))])
