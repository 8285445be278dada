"""One line per thing that happened."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge_workers.log import event


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80))
def test_no_fact_can_break_or_forge_a_line(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Whatever a fact holds, the line stays one line and no second key can be read from it."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        event(logging.getLogger("forge"), "job.done", name=text, seconds=1.5)

    line = caplog.messages[0]
    assert len(line.splitlines()) == 1
    assert line.endswith(" seconds=1.500")


def test_a_line_reads_as_event_and_pairs(caplog: pytest.LogCaptureFixture) -> None:
    """The event first, then key=value; what is None is left out."""
    with caplog.at_level(logging.INFO):
        event(logging.getLogger("forge"), "night.step_failed", asset="commit_log", seconds=0.5, why="disk full", n=None)

    assert caplog.messages == ['night.step_failed asset=commit_log seconds=0.500 why="disk full"']
