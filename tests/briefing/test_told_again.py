"""The briefing by day: the same function as by night, over what the night left in the store."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from forge_workers import attempt
from forge_workers.attempt import Attempt
from forge_workers.briefing.morning import morning_briefing, told_again
from forge_workers.errors import Permanent, Snooze
from forge_workers.night import gather
from forge_workers.tools import Request
from tests.briefing.examples import busy
from tests.briefing.parts import DAY, NIGHT
from tests.briefing.test_morning import tools

pytestmark = pytest.mark.slow

REQUEST = Request(night=NIGHT, window=DAY)


def stored(home: Path) -> None:
    """Keep the reports of a busy night."""
    history = tools(home).history
    for step in busy():
        if step.report is not None:
            history.save(step.report)
        elif step.failure is not None:
            history.save_failure(step.failure)


def test_a_night_is_told_again_as_it_was_told(tmp_path: Path) -> None:
    """The day's face adds nothing and leaves nothing out."""
    stored(tmp_path)
    means = tools(tmp_path)

    again = told_again(REQUEST, means)

    assert again == morning_briefing(REQUEST, means, steps=gather(means.history, NIGHT))
    assert again.headline.startswith("RED: ")
    assert (tmp_path / "briefings" / f"{NIGHT}.html").exists()


def test_a_night_that_never_was_is_not_told(tmp_path: Path) -> None:
    """Nobody gets a briefing that says that everything is missing, because a date was wrong."""
    with pytest.raises(Permanent, match=f"nothing was done for the night {NIGHT}"):
        told_again(REQUEST, tools(tmp_path))

    assert not (tmp_path / "briefings").exists()


def test_a_night_at_work_tells_itself(tmp_path: Path) -> None:
    """While its process runs the job waits; once that is gone, or has finished, it is done."""
    stored(tmp_path)
    means = tools(tmp_path)
    begun = Attempt(name="a", settings="s", started_at=time.time(), pid=os.getpid())
    attempt.write(means.history.root, NIGHT, begun)

    with pytest.raises(Snooze):
        told_again(REQUEST, means)
    attempt.write(means.history.root, NIGHT, begun.model_copy(update={"finished": True}))

    assert told_again(REQUEST, means).headline.startswith("RED: ")
