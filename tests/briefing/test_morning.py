"""The desk as the night calls it: composed, kept, delivered, whatever failed before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from forge_workers.briefing import slack
from forge_workers.briefing.morning import briefing_of, morning_briefing
from forge_workers.models.gateway import Gateway
from forge_workers.night import STEPS, Step
from forge_workers.report import Outcome, Report
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import DAY, NIGHT, NOW, earlier, report
from tests.briefing.test_deliver import Clock, chosen, posted_once
from tests.standins.slack import Fault, slack_server

pytestmark = pytest.mark.slow


def tools(home: Path, settings: Settings | None = None) -> Tools:
    """Return tools without a model, which the briefing never asks."""
    settings = settings or chosen(home, "http://127.0.0.1:9", token=None)
    return Tools(settings=settings, models=cast("Gateway", None), history=NightStore(home / "nights"), now=lambda: NOW)


def morning(home: Path, steps: tuple[Step, ...], settings: Settings | None = None) -> Report:
    """Run the desk."""
    request = Request(night=NIGHT, window=DAY)
    return morning_briefing(request, tools(home, settings), steps=steps, sleep=Clock().sleep)


def kept(store: NightStore) -> Report:
    """Return the night's briefing as the store has it."""
    report = store.load("morning_briefing", NIGHT)
    assert report is not None
    return report


def test_the_morning_leaves_a_report_two_files_and_a_picture(tmp_path: Path) -> None:
    """What is returned, what lies in the home and what is loaded again are the same briefing."""
    done = morning(tmp_path, busy())
    store = NightStore(tmp_path / "nights")
    store.save(done)

    assert done.outcome is Outcome.RAN
    assert done.markdown.startswith("## Morning briefing")
    assert done.headline.startswith("RED: ")
    assert [image.name for image in done.images] == ["timeline"]
    assert (tmp_path / "briefings" / f"{NIGHT}.md").read_text() == done.markdown
    assert "<!doctype html>" in (tmp_path / "briefings" / f"{NIGHT}.html").read_text().lower()
    assert all(effect.verified for effect in done.effects if effect.target != "terminal")
    assert briefing_of(kept(store)) == briefing_of(done)
    assert done.numbers["new_findings"] == 5.0


def test_the_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Nobody else on the machine may read a briefing."""
    morning(tmp_path, calm())
    for path in (tmp_path / "briefings").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_a_night_of_nothing_but_failures_is_told(tmp_path: Path) -> None:
    """When every step is gone a briefing still goes out and names each."""
    done = morning(tmp_path, tuple(Step(asset=asset, missing="it did not finish") for asset in STEPS))

    assert done.outcome is Outcome.RAN
    assert done.headline.startswith("INCOMPLETE")
    assert all(asset in done.markdown.replace("\\", "") for asset in STEPS)
    assert done.numbers["steps_broken"] == len(STEPS)


@pytest.mark.parametrize("asset", STEPS)
def test_each_step_that_fails_is_named_and_the_rest_goes_on(tmp_path: Path, asset: str) -> None:
    """One source down: the briefing names the gap."""
    steps = tuple(Step(asset=asset, missing="it was killed") if s.asset == asset else s for s in busy())
    done = briefing_of(morning(tmp_path, steps))

    assert done is not None
    assert [line.asset for line in done.steps if line.outcome == "missing"] == [asset]
    assert any(need.text.endswith("it was killed") for need in done.needs_you)


def test_numbers_are_compared_with_the_newest_night_in_the_store(tmp_path: Path) -> None:
    """The earlier night is the nearest one before this, not this one and not an older one."""
    store = NightStore(tmp_path / "nights")
    for night, value in (("2026-11-20", 1.0), ("2026-11-21", 2.0), (NIGHT, 3.0)):
        kept = {"night": night, "numbers": {"disk_free_gib": value}}
        store.save(report("health_snapshot", "").model_copy(update=kept))
    told = briefing_of(morning(tmp_path, busy()))

    assert told is not None
    free = next(figure for figure in told.figures if figure.name == "disk_free_gib")
    assert (free.last_night, free.last_is) == (2.0, "2026-11-21")


def test_slack_is_posted_once_over_repeats(tmp_path: Path) -> None:
    """The desk may run twice; the channel holds one briefing."""
    with slack_server() as server:
        settings = chosen(tmp_path, server.url)
        first = morning(tmp_path, busy(), settings)
        morning(tmp_path, busy(), settings)

        told = briefing_of(first)
        assert told is not None
        assert posted_once(server, len(slack.render(told, buttons=False)))
        assert any(effect.target.startswith("Slack") and effect.verified for effect in first.effects)


def test_a_broken_slack_degrades_the_briefing_and_never_fails_it(tmp_path: Path) -> None:
    """The reason is in the report; the files are there all the same."""
    with slack_server(Fault("invalid_auth", "*", times=1_000)) as server:
        done = morning(tmp_path, busy(), chosen(tmp_path, server.url))

    assert done.outcome is Outcome.DEGRADED
    assert "slack.token" in done.reasons[0]
    assert (tmp_path / "briefings" / f"{NIGHT}.html").is_file()


def test_a_secret_in_somebody_elses_words_reaches_no_page_and_no_channel(tmp_path: Path) -> None:
    """A token in a commit's subject, a pull request's title or a quoted line is hidden wherever the night is told."""
    secret = "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"
    with slack_server() as server:
        done = morning(tmp_path, hostile.night(f"Deploy with {secret} now"), chosen(tmp_path, server.url))
        sent = str(server.requests)

    pages = [path.read_text() for path in (tmp_path / "briefings").glob(f"{NIGHT}.[hm]*")]
    assert len(pages) == 2
    assert "Deploy with [redacted" in sent
    assert all(secret[4:] not in told for told in (*pages, sent, done.model_dump_json()))


def test_a_file_in_the_way_degrades(tmp_path: Path) -> None:
    """Where the pages cannot be written, the report says so and carries the briefing."""
    (tmp_path / "briefings").write_text("in the way")
    done = morning(tmp_path, calm())

    assert done.outcome is Outcome.DEGRADED
    assert "could not be written" in done.reasons[0]
    assert briefing_of(done) is not None


@pytest.mark.slow
def test_a_hostile_night_is_kept_and_loaded(tmp_path: Path) -> None:
    """Text of any kind survives the store."""
    store = NightStore(tmp_path / "nights")
    for raw in (*hostile.STRINGS, hostile.LONG):
        done = morning(tmp_path, hostile.night(raw))
        store.save(done)

        assert briefing_of(kept(store)) == briefing_of(done)


def test_a_briefing_of_another_version_is_none(tmp_path: Path) -> None:
    """What cannot be read as a briefing is not half-read."""
    odd: dict[str, Any] = {"night": NIGHT, "level": "GREEN"}

    assert briefing_of(Report(asset="morning_briefing", night=NIGHT, headline="", data=odd)) is None


def test_the_same_night_told_twice_is_the_same_report(tmp_path: Path) -> None:
    """A repeat over the same receipts changes nothing."""
    store = NightStore(tmp_path / "nights")
    for before in earlier().values():
        store.save(before)

    assert morning(tmp_path, broken()) == morning(tmp_path, broken())
