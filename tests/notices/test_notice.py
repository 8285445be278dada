"""A notice is checked and bounded on its way in."""

from __future__ import annotations

from typing import Any

import pytest

from forge_workers.errors import BadArgs
from forge_workers.notices.notice import DETAIL_CHARS, TITLE_CHARS, notice_from
from tests.briefing.hostile import LONG, STRINGS

GOOD: dict[str, Any] = {"kind": "failed", "worker": "code_review", "title": "job 7 failed"}


def made(**changed: Any) -> Any:
    """Return a notice of good arguments but for ``changed`` ones; None leaves one out."""
    arguments = {name: value for name, value in (GOOD | changed).items() if value is not None}
    return notice_from(arguments, "job-7", 5.0, lambda text: text.replace("hunter2", "***"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": None}, "kind of a notice is missing"),
        ({"kind": "gossip"}, "kind of a notice must be one of done, failed, contention, buried, alarm"),
        ({"kind": 3}, "kind of a notice must be a text"),
        ({"title": None}, "title of a notice is missing"),
        ({"title": "\u202e\n \x00"}, "title of a notice has no character that can be shown"),
        ({"worker": ["a"]}, "worker of a notice must be a text"),
        ({"worker": ""}, "worker of a notice has no character that can be shown"),
        ({"detail": {"a": 1}}, "detail of a notice must be a text"),
        ({"urgent": "yes"}, "urgent of a notice must be true or false"),
        ({"link": "http://example.com/a"}, "link of a notice must be an https address"),
        ({"link": "https://example.com/?leak=1"}, "nothing but a host and a path"),
        ({"link": "https://user:pass@example.com/"}, "nothing but a host and a path"),
        ({"colour\n": 1}, "a notice has no 'colour': it takes kind, title, worker"),
    ],
)
def test_each_bad_argument_is_one_line_that_names_it(changed: dict[str, Any], said: str) -> None:
    """Whoever sent it reads which argument to change."""
    with pytest.raises(BadArgs) as caught:
        made(**changed)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [*filter(None, STRINGS), LONG, "a\u202eb" * 500_000])
def test_whatever_the_text_a_notice_is_two_short_plain_lines(text: str) -> None:
    """A title of a megabyte, with markup, bidi marks or controls, becomes plain and bounded."""
    told = made(title=f"a{text}", detail=text)

    assert 1 <= len(told.title) <= TITLE_CHARS
    assert len(told.detail) <= DETAIL_CHARS
    assert not set("\n\r\x00\x1b\u202e\u2066\u2028") & set(told.title + told.detail)


def test_secrets_are_hidden_before_a_text_is_cut() -> None:
    """No half of a secret is left at the end of a cut text."""
    told = made(title="x" * (TITLE_CHARS - 4) + " hunter2", detail="the password is hunter2")

    assert "hun" not in told.title
    assert told.detail == "the password is ***"


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"detail": "another time"}, True),
        ({"title": "job 8 failed"}, False),
        ({"title": "job 8 failed", "reason": "timeout"}, False),
        ({"kind": "buried"}, False),
        ({"worker": "pr_digest"}, False),
        ({"urgent": True}, False),
    ],
)
def test_notices_that_tell_the_same_have_the_same_key(changed: dict[str, Any], same: bool) -> None:
    """Kind, worker, urgency and reason, or without one the title, decide what collapses."""
    assert (made().key == made(**changed).key) is same


def test_a_reason_counts_for_more_than_the_title() -> None:
    """Two jobs that failed for one reason are told once, whatever their titles say."""
    assert made(reason="timeout").key == made(reason="timeout", title="job 8 failed").key
