"""What a button carries, and that nothing else can be read from one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.briefing.buttons import MOST_CHARS, Pressed, Verb, action_id, read, value
from forge_workers.errors import BadArgs

NIGHT = "2026-11-23"
FINDING = "00000000000000aa"
ALL: dict[str, Any] = {
    "night": NIGHT,
    "fingerprint": FINDING,
    "asset": "code_review",
    "repository": "fruit/orchard",
    "commit": "a" * 40,
    "edition": 2,
}


@pytest.mark.parametrize("verb", list(Verb))
def test_what_a_button_carries_is_read_back(verb: Verb) -> None:
    """Every key survives, within Slack's bound, as compact JSON."""
    carried = value(verb, **ALL)

    assert read(action_id(verb), carried) == Pressed(verb=verb, **ALL)
    assert len(carried) < 300
    assert " " not in carried.replace("fruit/orchard", "")


def test_the_longest_button_keeps_slacks_bound() -> None:
    """A repository's name may be long, and in any script."""
    carried = value(Verb.REVIEW, **{**ALL, "repository": "果" * 200, "commit": "f" * 64, "asset": "a" * 60})

    assert len(carried) <= MOST_CHARS < 2_000


@pytest.mark.parametrize(
    ("verb", "changed"),
    [
        (Verb.DISMISS, {"fingerprint": None}),
        (Verb.SNOOZE, {"fingerprint": None}),
        (Verb.REVIEW, {"repository": None}),
        (Verb.UP, {"night": "yesterday"}),
        (Verb.UP, {"fingerprint": "short"}),
        (Verb.UP, {"fingerprint": FINDING + "\n"}),
        (Verb.UP, {"asset": "Code Review"}),
        (Verb.UP, {"repository": "<!channel>"}),
        (Verb.UP, {"repository": "/etc"}),
        (Verb.UP, {"repository": "x" * 201}),
        (Verb.UP, {"commit": "HEAD"}),
        (Verb.UP, {"edition": 0}),
    ],
)
def test_a_key_that_is_none_of_its_kind_is_refused_where_a_button_is_drawn(verb: Verb, changed: dict[str, Any]) -> None:
    """Whoever draws leaves the button out."""
    with pytest.raises(BadArgs):
        value(verb, **{**ALL, **changed})


@pytest.mark.parametrize(
    "text",
    ["", "null", "7", "[]", '"x"', "{", "{}", "[" * 1_800, "x" * 2_001, '{"night":"2026-11-23","verb":"up"}',
     '{"night":"2026-11-23","edition":true}', '{"night":"2026-11-23","edition":"1"}', '{"night":7}',
     '{"night":"2026-11-23","more":1}', '{"night":"2026-11-23","night":"2026-11-99"}'],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_forged_value_is_refused_in_one_line(text: str) -> None:
    """Whatever stands there, the refusal is one short line."""
    with pytest.raises(BadArgs) as caught:
        read(action_id(Verb.UP), text)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("action", ["", "forge", "forge.", "forge.UP", "up", "forge.up.up", "x" * 5_000])
def test_an_unknown_action_is_refused(action: str) -> None:
    """Only the six verbs are buttons."""
    with pytest.raises(BadArgs):
        read(action, value(Verb.UP, night=NIGHT))


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    """There is no third way."""
    try:
        read(action_id(Verb.UP), text)
    except BadArgs:
        return
