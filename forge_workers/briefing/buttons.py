"""The buttons under a briefing: their names, what they carry, and reading both back.

What comes back from Slack is untrusted: a value is what somebody sent, not what was drawn. So it is small, holds only
checked keys (a night, a fingerprint, an asset, a watched repository's name, a commit, an edition), and is checked again
when it is read. Belongs here: that encoding. Does not belong here: how a button looks (``slack.py``), or what a press
does (``forge_workers/slack_gateway``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from forge_workers.errors import BadArgs
from forge_workers.plain import plain
from forge_workers.report import Frozen
from forge_workers.windows import NightKey

#: Most characters of a button's value, below Slack's limit. Source: docs.slack.dev, button element: 2,000.
MOST_CHARS = 1_900
_PREFIX = "forge."
#: A watched repository's name, which is the last parts of its path; it is only ever looked up among the watched ones.
_REPOSITORY = r"^[\w.+@-][\w.+@/ -]{0,199}$"


class Verb(StrEnum):
    """What a button does."""

    UP = "up"
    DOWN = "down"
    DISMISS = "dismiss"
    RERUN = "rerun"
    REVIEW = "review"
    SNOOZE = "snooze"


#: Verbs that make sense for one finding only.
_OF_A_FINDING = frozenset({Verb.DISMISS, Verb.SNOOZE})


class Pressed(Frozen):
    """What a button says when it is pressed.

    Attributes:
        verb: What to do.
        night: The night of the briefing it stands under.
        fingerprint: Of the finding it stands under; without one, up and down are about the whole briefing.
        asset: Whose finding that is, or the step to run again.
        repository: Name of the watched repository to review.
        commit: The commit to review.
        edition: Which edition of the night's briefing it stands under, from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    verb: Verb
    night: NightKey
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    asset: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")] | None = None
    repository: Annotated[str, Field(pattern=_REPOSITORY)] | None = None
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    edition: Annotated[int, Field(ge=1, le=99)] = 1


def action_id(verb: Verb) -> str:
    """Return the name of a verb's button; it is the same in every block, so give each finding a block of its own."""
    return f"{_PREFIX}{verb}"


def value(
    verb: Verb,
    *,
    night: str,
    fingerprint: str | None = None,
    asset: str | None = None,
    repository: str | None = None,
    commit: str | None = None,
    edition: int = 1,
) -> str:
    """Return what a button carries, as compact JSON of at most 1,900 characters.

    Args:
        verb: What it does.
        night: The night's key; always needed.
        fingerprint: Needed to dismiss and to snooze.
        asset: Whose finding it is, or which step to run again.
        repository: A watched repository's name; needed to review.
        commit: The commit to review.
        edition: Of the night's briefing, from 1.

    Raises:
        BadArgs: Something is missing or no key of its kind; leave the button out.
    """
    given = {"night": night, "fingerprint": fingerprint, "asset": asset, "repository": repository, "commit": commit,
             "edition": edition}  # fmt: skip
    pressed = _checked(verb, given)
    return _encoded(pressed)


def read(action: str, text: str) -> Pressed:
    """Return what the button named ``action`` that carries ``text`` says.

    Raises:
        BadArgs: Forge draws no such button, or the value is none that it writes; one line says so.
    """
    name = action.removeprefix(_PREFIX)
    if not action.startswith(_PREFIX) or name not in set(Verb):
        raise BadArgs(f"{plain(action, 40)!r} is no button of Forge")
    if len(text) > MOST_CHARS:
        raise BadArgs(f"this button carries {len(text)} characters, at most {MOST_CHARS} are taken")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise BadArgs("what this button carries is not what Forge wrote") from None
    if not isinstance(given, dict) or "verb" in given:
        raise BadArgs("what this button carries is not what Forge wrote")
    return _checked(Verb(name), given)


def _checked(verb: Verb, given: Mapping[str, object]) -> Pressed:
    try:
        pressed = Pressed.model_validate({**given, "verb": verb})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = plain(".".join(map(str, first["loc"])), 40)
        raise BadArgs(f"this button's {key} is not what Forge writes ({plain(first['msg'], 100)})") from None
    if verb in _OF_A_FINDING and pressed.fingerprint is None:
        raise BadArgs(f"a button to {verb} must name a finding")
    if verb is Verb.REVIEW and pressed.repository is None:
        raise BadArgs("a button to review must name a repository")
    return pressed


def _encoded(pressed: Pressed) -> str:
    kept = pressed.model_dump(mode="json", exclude={"verb"}, exclude_none=True)
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
