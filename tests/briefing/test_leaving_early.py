"""A briefing that leaves before its night is done, the edition that follows, and nights that are told to nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forge_workers.briefing.compose import compose
from forge_workers.briefing.model import Briefing, Level
from forge_workers.briefing.morning import briefing_of, morning_briefing
from forge_workers.night import Step
from forge_workers.report import Report
from forge_workers.settings import Settings
from forge_workers.tools import Request
from tests.briefing.examples import busy, calm
from tests.briefing.parts import DAY, NIGHT, NOW, ZONE
from tests.briefing.test_deliver import Clock, chosen
from tests.briefing.test_morning import tools
from tests.standins.slack import slack_server

LATE = ("code_review", "evolution_report")


def without(steps: tuple[Step, ...], *assets: str, missing: str = "") -> tuple[Step, ...]:
    """Return the night with some steps still at work, or missing."""
    gone = {
        asset: Step(asset=asset, missing=missing) if missing else Step(asset=asset, at_work=True) for asset in assets
    }
    return tuple(gone.get(step.asset, step) for step in steps)


def told(steps: tuple[Step, ...], before: Briefing | None = None) -> Briefing:
    """Compose one edition."""
    return compose(steps, night=NIGHT, window=DAY, timezone=ZONE, earlier={}, now=NOW, before=before)


def test_what_is_at_work_is_named_and_is_no_failure() -> None:
    """It is in no shortfall, no need and no line of its own; nothing is called well without it."""
    early = told(without(calm(), *LATE))

    assert early.at_work == LATE
    assert not {line.asset for line in early.steps} & set(LATE)
    assert not any(set(short.assets) & set(LATE) for short in early.shortfalls)
    assert not any(asset in need.text for need in early.needs_you for asset in LATE)
    assert early.verdict.level is Level.INCOMPLETE
    assert early.verdict.sentence.endswith("code_review and evolution_report are still at work.")
    assert "is still at work" in early.findings_note
    assert not early.quiet


def test_more_that_arrives_makes_a_second_edition() -> None:
    """Also when all that arrives is a failure: the first said that it was at work."""
    early = told(without(calm(), *LATE))
    later = told(without(calm(), "evolution_report"), early)
    whole = told(calm(), later)

    assert (early.edition, later.edition, whole.edition) == (1, 2, 3)
    assert (later.at_work, whole.at_work) == (("evolution_report",), ())


def test_nothing_that_arrives_makes_no_other_edition() -> None:
    """Told again, with the same at work, or when the night was cut short: the same edition, and what is true by now."""
    early = told(without(calm(), *LATE))
    again, cut = told(without(calm(), *LATE), early), told(without(calm(), *LATE, missing="it did not finish"), early)

    assert (again.edition, cut.edition) == (1, 1)
    assert {line.asset for line in cut.steps if line.outcome == "missing"} == set(LATE)
    assert told(calm(), told(calm())).edition == 1


def morning(
    home: Path, settings: Settings, steps: tuple[Step, ...], now: float = NOW, *, publishes: bool = True
) -> Report:
    """Run the desk and keep what it made, as a step of the night does."""
    means = replace(tools(home, settings), now=lambda: now)
    request = Request(night=NIGHT, window=DAY, publishes=publishes)
    done = morning_briefing(request, means, steps=steps, sleep=Clock().sleep)
    means.history.save(done)
    return done


@pytest.mark.slow
def test_the_second_edition_takes_the_place_of_the_first_in_slack(tmp_path: Path) -> None:
    """One message per night; it is marked, and no longer says that anything is at work."""
    with slack_server() as server:
        settings = chosen(tmp_path, server.url)
        morning(tmp_path, settings, without(busy(), *LATE))
        first = str(server.messages)
        done = morning(tmp_path, settings, busy(), NOW + 1_800)
        tops = [message for message in server.messages if "thread_ts" not in message]

    assert "Still at work" in first
    assert len(tops) == 1
    assert "Second edition" in str(tops)
    assert "Still at work" not in str(tops)
    told_last = briefing_of(done)
    assert told_last is not None
    assert told_last.edition == 2


@pytest.mark.slow
def test_a_night_that_is_done_late_is_told_on_its_pages_alone(tmp_path: Path) -> None:
    """Slack hears nothing of it, and its briefing says when it was done."""
    with slack_server() as server:
        done = morning(tmp_path, chosen(tmp_path, server.url), busy(), publishes=False)
        posted = list(server.messages)

    assert posted == []
    assert (tmp_path / "briefings" / f"{NIGHT}.html").is_file()
    assert any("the next briefing names it" in effect.detail for effect in done.effects)
    told_late = briefing_of(done)
    assert told_late is not None
    assert told_late.backfilled_at == NOW


@pytest.mark.slow
def test_a_night_that_was_told_and_is_done_again_is_told_where_it_stands(tmp_path: Path) -> None:
    """The message of its morning is brought up to date; nothing is posted anew."""
    with slack_server() as server:
        settings = chosen(tmp_path, server.url)
        morning(tmp_path, settings, without(busy(), "code_review", missing="it did not finish"))
        before = len(server.messages)
        morning(tmp_path, settings, busy(), NOW + 86_400, publishes=False)
        tops = [message for message in server.messages if "thread_ts" not in message]

    assert before > 0
    assert len(tops) == 1
    assert "it did not finish" not in str(tops)
