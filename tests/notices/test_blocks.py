"""A notice as a Slack message: data never becomes markup, and every message is within Slack's limits."""

from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from forge_workers.briefing.slack import MESSAGE_CHARS
from forge_workers.notices.blocks import render
from forge_workers.notices.letter import SHOWN, Letter
from forge_workers.notices.notice import Notice
from tests.briefing.hostile import ANY, STRINGS
from tests.notices.scenes import NOON, notice
from tests.standins.slack import broken_limit

PARIS = ZoneInfo("Europe/Paris")
#: Characters that escaping or JSON make the most of.
WORST = st.text('&<>\U0001f600\u0627א"\\', max_size=700)


def sent(letter: Letter) -> dict[str, Any]:
    """Return what is sent for a letter."""
    message = render(letter, PARIS)
    return {"text": message.text, "blocks": list(message.blocks)}


@given(st.lists(st.tuples(ANY | WORST, ANY | WORST), min_size=1, max_size=SHOWN + 2))
def test_no_text_breaks_out_or_breaks_a_limit(texts: list[tuple[str, str]]) -> None:
    """Hostile titles, details and workers stay text: no token begins in one, no link, nothing too long."""
    notices = [
        notice(f"n{n}", title=f"t{title}", detail=detail, worker=f"w{title}", reason=str(n))
        for n, (title, detail) in enumerate(texts)
    ]
    message = sent(Letter().adding(notices))

    assert broken_limit(message) is None
    assert not set("<>") & set(json.dumps(message))
    assert re.sub("&(amp|lt|gt);", "", message["text"]).count("&") == 0
    assert "link" not in {element["type"] for block in message["blocks"] for element in _elements(block)}


def _elements(block: dict[str, Any]) -> list[dict[str, Any]]:
    return [e for outer in block["elements"] for e in outer.get("elements", [outer])]


def test_the_worst_eight_fit_one_message() -> None:
    """As many notices as a message shows, each as long as it may be, are within the limits."""
    notices = [notice(f"n{n}", title="\U0001f600" * 300, detail="\U0001f600" * 900, worker="\U0001f600" * 90,
                      reason=str(n), at=NOON + n)
               for n in range(30)]  # fmt: skip

    again = [one.model_copy(update={"at": NOON + 90_000, "count": 9_999}) for one in notices]
    for letter in (Letter().adding([*notices, *again]), Letter().adding(notices[:1])):
        assert broken_limit(sent(letter)) is None
        assert len(json.dumps(sent(letter)["blocks"])) < MESSAGE_CHARS


def test_one_notice_reads_as_one_sentence() -> None:
    """Title, detail, a link that code produced, and where and when."""
    message = sent(Letter().adding([notice("a", detail="it took too long", link="https://github.com/x/y/pull/7")]))

    assert message["text"].splitlines() == [
        "🔴 job a failed",
        "it took too long",
        "https://github.com/x/y/pull/7",
        "code_review · failed · Wed 25 Nov 12:00",
    ]
    assert message["blocks"][2]["elements"][0]["elements"][0]["url"] == "https://github.com/x/y/pull/7"


def test_repeats_are_counted_with_first_and_last() -> None:
    """Fourteen of a kind are one line with the newest detail."""
    many = [notice(f"n{n}", "same", at=NOON + 60 * n, detail=f"{n}") for n in range(14)]
    message = sent(Letter().adding(many))

    assert message["text"].splitlines() == [
        "🔴 job same failed ×14", "13", "code_review · failed · first 12:00, last 12:13"
    ]  # fmt: skip


def test_repeats_over_midnight_name_the_days() -> None:
    """First and last of different days are told apart."""
    message = sent(Letter().adding([notice("a", "k"), notice("b", "k", at=NOON + 13 * 3600)]))

    assert "first Wed 25 Nov 12:00, last Thu 26 Nov 01:00" in message["text"]


def test_a_merged_message_counts_what_it_does_not_show() -> None:
    """Of a flood a few are shown and all are counted."""
    letter = Letter().adding([notice(f"n{n}") for n in range(SHOWN + 29)])
    text = sent(letter)["text"]

    assert letter.count == SHOWN + 29
    assert text.splitlines()[0] == f"{SHOWN + 29} notices in one message"
    assert "And 29 more." in text
    assert text.count("failed") == SHOWN


def test_a_notice_that_stands_for_many_counts_as_many() -> None:
    """What was dropped is in the sum."""
    dropped: Notice = notice("d").model_copy(update={"count": 37})

    assert Letter().adding([dropped, notice("e")]).count == 38


def test_all_kinds_have_their_mark() -> None:
    """Every kind can be told at a glance."""
    marks = {sent(Letter().adding([notice("a", kind=kind)]))["text"][0] for kind in
             ("done", "failed", "contention", "buried", "alarm")}  # fmt: skip

    assert len(marks) == 5


def test_strings_of_attackers_are_shown_as_they_are() -> None:
    """What looked like a mention is still there to be read, as text."""
    text = sent(Letter().adding([notice("a", title=STRINGS[0])]))["text"]

    assert "&lt;!channel&gt; &lt;!here&gt;" in text
