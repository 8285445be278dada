"""Every button that a briefing draws is one that the gateway takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_workers.briefing.buttons import Verb, read
from forge_workers.briefing.slack import render
from forge_workers.report import Report
from forge_workers.store import NightStore
from tests.briefing import examples, parts
from tests.slack_gateway.scenes import NOON, POSTED, Desk, desk
from tests.standins.repositories import Repo
from tests.standins.slack_socket import pressed


def drawn() -> list[dict[str, Any]]:
    """Return every button of the example's messages."""
    messages = render(parts.briefing(examples.busy()), buttons=True)
    found: list[dict[str, Any]] = []
    for message in messages:
        for block in message.blocks:
            elements: Any = block.get("elements", [])
            found += [one for one in elements if block["type"] == "actions" and one["type"] == "button"]
    return found


@pytest.fixture
def furnished(tmp_path: Path) -> Iterator[Desk]:
    """A gateway whose store holds the example night, and whose repository is watched."""
    Repo(tmp_path / "orchard").commit({"a.py": "\n"})
    with desk(tmp_path) as running:
        store = NightStore(running.home / "nights")
        for step in examples.busy():
            if step.report is not None:
                store.save(step.report)
        data = parts.briefing(examples.busy()).model_dump(mode="json")
        store.save(Report(asset="morning_briefing", night=parts.NIGHT, headline="RED", data=data))
        yield running


def test_every_verb_is_drawn() -> None:
    """A busy night has all six buttons."""
    assert {read(button["action_id"], button["value"]).verb for button in drawn()} == set(Verb)


def test_every_button_that_is_drawn_does_something(furnished: Desk) -> None:
    """Pressed once each, none is forged or stale; what needs Redis says that it is away, and a critical one stays."""
    for number, button in enumerate(drawn()):
        furnished.now[0] = NOON + number
        line = furnished.sent(pressed(button["action_id"], button["value"], ts=POSTED))
        verb = read(button["action_id"], button["value"]).verb
        expected = {Verb.RERUN: {"failed"}, Verb.SNOOZE: {"done", "refused"}}.get(verb, {"done"})
        assert line["came"] in expected, (button, line)
        if line["came"] == "refused":
            assert "a critical finding cannot be snoozed" in line["why"]
