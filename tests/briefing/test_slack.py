"""What Slack is sent: within its limits, and no token in it but ours."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings

from forge_workers.briefing import slack
from forge_workers.briefing.blocks import cut
from forge_workers.briefing.slack import Message, escape
from forge_workers.report import Severity
from tests.briefing import hostile
from tests.briefing.examples import broken, busy, calm
from tests.briefing.parts import briefing, finding, step
from tests.briefing.test_compose import changed
from tests.standins.slack import broken_limit

#: A control character of Slack's that is not an entity: where a token such as ``<!channel>`` could begin.
_CONTROL = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
_PULLS = re.compile(r"https://github\.com/acme/orchard/pull/\d+")


def parts(value: Any) -> list[dict[str, Any]]:
    """Return every object in a message's blocks."""
    inner = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, (list, tuple)) else []
    return ([value] if isinstance(value, dict) else []) + [found for part in inner for found in parts(part)]


def tokens(messages: tuple[Message, ...]) -> list[str]:
    """The check of all these tests: everything in ``messages`` that Slack would read as more than text."""
    found = [m.text for m in messages if _CONTROL.search(m.text)]
    for message in messages:
        for part in parts(message.blocks):
            found += [str(t) for t in (part.get("text"),) if isinstance(t, str) and _CONTROL.search(t)]
            if part.get("type") in {"mrkdwn", "user", "channel", "broadcast", "usergroup", "emoji", "image", "team"}:
                found.append(json.dumps(part))
            if part.get("type") == "link" and not _PULLS.fullmatch(part["url"]):
                found.append(part["url"])
    return found


def refusals(messages: tuple[Message, ...]) -> list[str | None]:
    """Return what Slack would refuse."""
    sent = ({"text": message.text, "blocks": list(message.blocks)} for message in messages)
    return [refusal for one in sent if (refusal := broken_limit(one))]


@settings(max_examples=60, deadline=None)
@given(hostile.ANY)
def test_no_text_of_anybody_else_becomes_a_token(text: str) -> None:
    """Whatever stands in titles, names and reasons, Slack parses nothing in it and refuses nothing."""
    messages = slack.render(hostile.told(text))

    assert tokens(messages) == []
    assert refusals(messages) == []


def test_messages_without_escaping_are_caught() -> None:
    """The control: the same messages with their entities undone hold tokens, and the same check finds them."""
    messages = slack.render(hostile.told("<!channel>"))
    undone = tuple(
        Message(text=html.unescape(m.text), blocks=json.loads(html.unescape(json.dumps(m.blocks)))) for m in messages
    )

    assert tokens(undone)


def test_ten_thousand_strings_hold_no_control_character_once_escaped() -> None:
    """Escaping leaves nothing but entities, and loses nothing."""
    alphabet = ["<", ">", "&", "!", "@", "|", "channel", "&lt;", "&amp;", "http://x", " ", "#C1"]
    strings = {a + b + c + d for a in alphabet for b in alphabet for c in alphabet for d in alphabet}

    assert len(strings) > 10_000
    assert [s for s in strings if _CONTROL.search(escape(s)) or html.unescape(escape(s)) != s] == []


@pytest.mark.parametrize("steps", [busy(), calm(), broken()], ids=["busy", "calm", "broken"])
def test_ordinary_nights_are_within_the_limits(steps: Any) -> None:
    """Every example goes through as it is, and links only pull requests."""
    messages = slack.render(briefing(steps))

    assert refusals(messages) == []
    assert tokens(messages) == []


def test_a_night_with_too_much_for_one_message_is_split() -> None:
    """Forty findings with long texts full of characters that escaping lengthens still fit, in several messages."""
    many = tuple(finding(f"{n} " + "<&>" * 70, Severity.MEDIUM, quote="<" * 400) for n in range(60))
    messages = slack.render(briefing(changed(busy(), step("security_review", "", findings=many))))

    assert len(messages) > 3
    assert refusals(messages) == []
    assert sum(m.text.count("&lt;&amp;&gt;") > 0 for m in messages) > 1


def test_a_message_that_is_not_split_is_caught() -> None:
    """The control: the same blocks in one message are refused."""
    many = tuple(finding(f"{n} " + "<&>" * 70, Severity.MEDIUM) for n in range(60))
    messages = slack.render(briefing(changed(busy(), step("security_review", "", findings=many))))
    one = Message(text="all", blocks=tuple(block for message in messages for block in message.blocks))

    assert refusals((one,)) in (["invalid_blocks"], ["msg_blocks_too_long"])


def test_the_first_message_holds_what_a_person_must_know() -> None:
    """Verdict, needs, findings and gaps stand in the channel; the rest in the thread."""
    first, *thread = slack.render(briefing(busy()))

    assert first.text.startswith("🔴 RED · Monday 23 November 2026")
    for word in ("Needs you", "New findings", "Gaps and degradations", "AWS access key", "In the thread"):
        assert word in first.text
    assert any("Numbers" in message.text for message in thread)


def test_a_quiet_night_is_one_short_message() -> None:
    """Nothing changed: nobody has to open a thread."""
    (only,) = slack.render(briefing(calm()))

    assert "Nothing changed" in only.text
    assert len(only.blocks) < 12


def test_the_text_of_a_message_says_what_its_blocks_say() -> None:
    """A screen reader, a notification, and a Slack that refuses the blocks get every finding and fingerprint."""
    told = briefing(busy())
    spoken = "\n".join(message.text for message in slack.render(told))

    for found in told.findings:
        assert found.fingerprint in spoken
        assert escape(found.title) in spoken


def test_a_numbered_list_goes_on_counting_where_it_was_split() -> None:
    """Needs keep their numbers over several blocks."""
    many = tuple(finding(f"Urgent {n} " + "x" * 190, Severity.HIGH) for n in range(30))
    messages = slack.render(briefing(changed(broken(), step("security_review", "", findings=many))))
    lists = [p for m in messages for p in parts(m.blocks) if p.get("style") == "ordered"]

    assert len(lists) > 1
    assert lists[1]["offset"] == len(lists[0]["elements"])


def test_a_cut_never_falls_into_an_entity() -> None:
    """A text at its limit ends with whole entities."""
    for size in range(1, 40):
        found = cut("&" * size, 23)

        assert len(found) <= 23
        assert not _CONTROL.search(found.removesuffix("…"))
