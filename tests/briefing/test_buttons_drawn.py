"""The buttons under a briefing: few enough for Slack, each telling what it is about, none where nobody listens."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from hypothesis import given, settings

from forge_workers.briefing import button_blocks, slack
from forge_workers.briefing.blocks import MESSAGE_CHARS
from forge_workers.briefing.buttons import Verb, read
from forge_workers.briefing.slack import Message
from forge_workers.report import Severity
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import COMMIT, briefing, finding, step
from tests.briefing.test_compose import changed
from tests.briefing.test_slack import refusals, tokens

#: A title, a rule and a path as long and as bad as Slack's escaping can make them.
_BAD = "<&>" * 70


def pressed(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Return every button of these messages with the block it stands in."""
    found = []
    for message in messages:
        for block in json.loads(json.dumps(message.blocks)):
            if block["type"] == "actions":
                found += [{**button, "block": block["block_id"]} for button in block["elements"]]
    return found


def crowded(number: int) -> tuple[Message, ...]:
    """Render a night with this many severe findings, all of them hostile."""
    many = tuple(finding(f"{n} {_BAD}", Severity.HIGH, rule=_BAD, path=_BAD, quote="<" * 400) for n in range(number))
    return slack.render(briefing(changed(busy(), step("security_review", _BAD, findings=many))))


def test_the_first_message_asks_about_the_whole_night() -> None:
    """Thumbs up, thumbs down and "run again" stand last in the channel's message, and name night and edition."""
    first = slack.render(briefing(busy()))[0]
    about = [read(button["action_id"], button["value"]) for button in pressed((first,))]

    assert first.blocks[-1]["type"] == "actions"
    assert [said.verb for said in about] == [Verb.UP, Verb.DOWN, Verb.RERUN]
    assert {(said.night, said.edition, said.fingerprint) for said in about} == {("2026-11-23", 1, None)}


def test_each_finding_has_its_own_row_of_buttons() -> None:
    """The thread has a row for each finding, the urgent ones first, that carries fingerprint, commit and repository."""
    told = briefing(busy())
    rows: dict[str, list[Any]] = {}
    for button in pressed(slack.render(told)[1:]):
        rows.setdefault(button["block"], []).append(read(button["action_id"], button["value"]))

    assert [row[0].fingerprint for row in rows.values()] == [f.fingerprint for f in told.findings]
    for row in rows.values():
        assert [said.verb for said in row] == [Verb.DISMISS, Verb.SNOOZE, Verb.UP, Verb.DOWN, Verb.REVIEW]
        assert {(said.repository, said.commit) for said in row if said.verb is Verb.REVIEW} == {("orchard", COMMIT)}


def test_a_row_stays_with_its_finding() -> None:
    """However the thread is split, the buttons follow the line they are about in the same message."""
    messages = crowded(30)
    for message in messages[1:]:
        for place, block in enumerate(message.blocks):
            if block["type"] == "actions":
                name = str(block["block_id"]).rpartition(".")[2]
                assert name in json.dumps(message.blocks[place - 1])


@pytest.mark.parametrize("number", [0, 1, 5, 12, 200])
def test_hostile_nights_of_any_size_keep_the_limits(number: int) -> None:
    """Blocks, characters, elements, labels and ids stay within what Slack takes, and the first message has buttons."""
    messages = crowded(number)

    assert refusals(messages) == []
    assert tokens(messages) == []
    assert max(len(json.dumps(message.blocks)) for message in messages) <= MESSAGE_CHARS
    assert messages[0].blocks[-1]["type"] == "actions"
    rows = {button["block"] for button in pressed(messages[1:])}
    assert len(rows) <= button_blocks.MOST_ANSWERED


def test_rows_for_every_finding_in_one_message_are_caught() -> None:
    """The control: the same rows unpacked into one message, or a label of any length, are refused by the same check."""
    told = briefing(changed(busy(), step("security_review", "", findings=tuple(
        finding(f"{n} {_BAD}", Severity.HIGH) for n in range(40)))))  # fmt: skip
    rows = [block.to_dict() for row in button_blocks.of_findings(told) for block in row]
    assert refusals((Message(text="all", blocks=tuple(rows)),)) == ["msg_blocks_too_long"]
    actions = next(block for block in rows if block["type"] == "actions")
    actions["elements"][0]["text"]["text"] = "x" * 76
    assert refusals((Message(text="all", blocks=(actions,)),)) == ["invalid_blocks"]


@settings(max_examples=40, deadline=None)
@given(hostile.ANY)
def test_what_a_button_carries_can_always_be_read_back(text: str) -> None:
    """Whatever stands in names and commits, a button says what Forge wrote, or is not there."""
    for button in pressed(slack.render(hostile.told(text))):
        assert read(button["action_id"], button["value"]).night == "2026-11-23"


@pytest.mark.parametrize("steps", [busy(), calm(), broken()], ids=["busy", "calm", "broken"])
def test_without_a_listener_there_are_no_buttons(steps: Any) -> None:
    """Slack shows an error under a button that nobody answers, so none is drawn and none is promised."""
    messages = slack.render(briefing(steps), buttons=False)

    assert pressed(messages) == []
    assert "buttons" not in " ".join(message.text for message in messages)


def test_a_screen_reader_hears_which_finding_a_button_is_about() -> None:
    """Rows have the same labels, so what is spoken names the finding; the emoji are never the only words."""
    for button in pressed(slack.render(briefing(busy()))[1:]):
        assert len(html.unescape(button["accessibility_label"]).partition(": ")[2]) > 10


def test_a_later_edition_is_marked_at_its_top_and_names_its_buttons() -> None:
    """The first line says which edition this is, what is still at work, and what was caught up; ids are new."""
    told = briefing(busy()).model_copy(
        update={
            "edition": 2,
            "at_work": ("code_review",),
            "caught_up": ("The night of 2026-11-21 was skipped: the machine slept.",),
        }
    )
    messages = slack.render(told)

    assert messages[0].text.startswith("Second edition, ")
    assert "Still at work when this left: code review." in messages[0].text
    assert "The night of 2026-11-21 was skipped" in messages[0].text
    ids = {button["block"] for button in pressed(messages)}
    assert not ids & {button["block"] for button in pressed(slack.render(briefing(busy())))}
