"""Whole nights under fault, a sample of them; and briefings that lie, which the judge must catch."""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_workers.briefing.model import Briefing, Level
from forge_workers.briefing.morning import briefing_of
from forge_workers.night import BRIEFING
from forge_workers.store import NightStore
from tests.chaos.night_faults import FAULTS
from tests.chaos.night_judge import DETERMINISTIC, Facts, differing, doubled, gist, lies
from tests.chaos.night_storm import CASES, PLANTED, POINTS, Case, Scene, run, table
from tests.standins.nights import SUNDAY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Waits minutes for a Redis that does not answer: `make chaos` has it.
_LONG = "Redis stopped"


def test_a_hundred_nights_are_told_apart() -> None:
    """Twenty kinds of fault at five steps each."""
    assert (len(FAULTS), len(POINTS), len(set(CASES))) == (20, 5, 100)


def test_no_fault_makes_a_night_lie_or_do_a_thing_twice(tmp_path: Path) -> None:
    """Ten nights, each under another kind of fault: truthful, and in the end what no fault would have made."""
    seed = os.environ.get("FORGE_SEED", secrets.token_hex(4))
    chance = random.Random(seed)
    kinds = chance.sample(sorted(set(FAULTS) - {_LONG}), 10)

    results = run((Case(kind, chance.choice(POINTS)) for kind in kinds), tmp_path)

    print(table(results, seed))  # noqa: T201  the seed, for whoever must run it again
    assert {str(result.case): result.findings for result in results if result.findings} == {}, f"seed {seed}"
    assert all(result.struck for result in results)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A repository, and what an undisturbed night made of it."""
    return Scene(tmp_path_factory.mktemp("scene"))


def facts(scene: Scene) -> Facts:
    """Return what the undisturbed night left."""
    store = NightStore(scene.folder / "undisturbed" / "forge" / "nights")
    return Facts(store, SUNDAY, scene.commits, PLANTED)


def truth(scene: Scene) -> Briefing:
    """Return what the undisturbed night told."""
    report = facts(scene).store.load(BRIEFING, SUNDAY)
    assert report is not None
    briefing = briefing_of(report)
    assert briefing is not None
    return briefing


def green_but_broken(told: Briefing) -> Briefing:
    """Claim that all is well beside a step that is told as failed."""
    steps = (told.steps[0].model_copy(update={"outcome": "failed"}), *told.steps[1:])
    return told.model_copy(update={"steps": steps, "verdict": told.verdict.model_copy(update={"level": Level.GREEN})})


LIES: dict[str, Callable[[Briefing], Briefing]] = {
    "a step left out": lambda told: told.model_copy(update={"steps": told.steps[1:]}),
    "a step that ran told as failed": green_but_broken,
    "a commit too many": lambda told: told.model_copy(
        update={"code": (told.code[0].model_copy(update={"commits": told.code[0].commits + 1}), *told.code[1:])}
    ),
    "a finding kept back": lambda told: told.model_copy(update={"findings": (), "needs_you": ()}),
}


def test_the_truth_is_no_lie(scene: Scene) -> None:
    """The undisturbed night's own briefing passes the judge."""
    assert list(lies(truth(scene), facts(scene))) == []


@pytest.mark.parametrize("lie", LIES)
def test_the_judge_catches_a_briefing_that_lies(scene: Scene, lie: str) -> None:
    """Control: each way to tell a night wrongly is found."""
    assert list(lies(LIES[lie](truth(scene)), facts(scene)))


def test_the_judge_catches_another_report_and_a_message_sent_twice(scene: Scene) -> None:
    """Control: one byte more in a report, a part posted twice, and no briefing at all are found."""
    store = facts(scene).store
    other = {asset: gist(report) + b" " for asset in DETERMINISTIC if (report := store.load(asset, SUNDAY))}

    assert len(list(differing(store, SUNDAY, other))) == len(DETERMINISTIC)
    assert list(doubled(Counter({0: 1, 1: 2}))) == ["Slack holds part 1 2 times"]
    assert list(doubled(Counter())) == ["Slack has no briefing"]
