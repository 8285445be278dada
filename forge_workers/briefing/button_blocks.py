"""How the buttons under a briefing look, and which findings get some.

Everything here is bounded, so that no night can break Slack's limits: five buttons to a block, one block to a finding,
the first findings only. Belongs here: labels, blocks and that choice. Does not belong here: what a button carries
(``buttons.py``), or what a press does (``forge_workers/slack_gateway``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject

from forge_workers.briefing.blocks import context, header, plain_text, rich, text
from forge_workers.briefing.buttons import Verb, action_id, value
from forge_workers.briefing.model import Briefing, NewFinding
from forge_workers.errors import BadArgs
from forge_workers.report import Frozen, Severity

#: Findings that get buttons of their own, the most severe; two messages full. The others are dismissed by typing.
MOST_ANSWERED = 12
#: Characters of what a screen reader says of a button. Source: docs.slack.dev, button element.
_SPOKEN_CHARS = 75
#: Characters of a finding's title beside its buttons.
_TITLE_CHARS = 160
_LABELS = {
    Verb.DISMISS: "Dismiss…",
    Verb.SNOOZE: "Snooze a week",
    Verb.UP: "👍",
    Verb.DOWN: "👎",
    Verb.REVIEW: "Review this now",
    Verb.RERUN: "Run again",
}
_SPOKEN = {
    Verb.DISMISS: "Dismiss",
    Verb.SNOOZE: "Snooze for a week",
    Verb.UP: "Useful",
    Verb.DOWN: "Not useful",
    Verb.REVIEW: "Review now",
}


class Answered(Frozen):
    """A finding that gets buttons; asset, repository and commit are empty where it is only named."""

    fingerprint: str
    severity: Severity
    title: str
    asset: str = ""
    repository: str = ""
    commit: str = ""


def of_night(told: Briefing) -> Block:
    """Return the buttons about the whole briefing."""
    about: dict[str, Any] = {"night": told.night, "edition": told.edition}
    ask = ConfirmObject(
        title=plain_text("Run this night again?", 100),
        text=plain_text(f"Every step of {told.night} is done again, and this message changes with it.", 300),
        confirm=plain_text("Run again", 30),
        deny=plain_text("Leave it", 30),
    )
    buttons = [
        _button(Verb.UP, "👍 Useful", "This briefing was useful", **about),
        _button(Verb.DOWN, "👎 Not useful", "This briefing was not useful", **about),
        _button(Verb.RERUN, _LABELS[Verb.RERUN], f"Run the night {told.night} again", confirm=ask, **about),
    ]
    return ActionsBlock(block_id=f"forge.{told.night}.{told.edition}", elements=buttons)


def of_findings(told: Briefing) -> Iterator[tuple[Block, ...]]:
    """Yield, finding by finding, its line and its buttons; a heading stands with the first."""
    rows = [row for one in chosen(told) if (row := _row(told, one))]
    if rows:
        note = "A finding that is dismissed or snoozed is still counted. The settings say who may press what."
        yield header("What about these?"), context(note), *rows[0]
        yield from rows[1:]


def chosen(told: Briefing) -> tuple[Answered, ...]:
    """Return the findings that get buttons: what needs a person first, then the new ones, each once."""
    new = {finding.fingerprint: finding for finding in told.findings}
    found: dict[str, Answered] = {}
    for need in told.needs_you:
        if need.fingerprint:
            bare = Answered(fingerprint=need.fingerprint, severity=need.urgency, title=need.text)
            known = new.get(need.fingerprint)
            found.setdefault(need.fingerprint, _answered(known) if known else bare)
    for finding in told.findings:
        found.setdefault(finding.fingerprint, _answered(finding))
    return tuple(found.values())[:MOST_ANSWERED]


def _answered(finding: NewFinding) -> Answered:
    names = ("fingerprint", "severity", "title", "asset", "repository", "commit")
    return Answered.model_validate({name: getattr(finding, name) for name in names})


def _row(told: Briefing, one: Answered) -> tuple[Block, ...]:
    """Return the line and the buttons of one finding, nothing when its fingerprint is none that can be carried."""
    about: dict[str, Any] = {
        "night": told.night,
        "edition": told.edition,
        "fingerprint": one.fingerprint,
        "asset": one.asset or None,
    }
    buttons = [
        button
        for verb in (Verb.DISMISS, Verb.SNOOZE, Verb.UP, Verb.DOWN, Verb.REVIEW)
        if (button := _of_finding(verb, one, about))
    ]
    if not buttons:
        return ()
    title = one.title if len(one.title) <= _TITLE_CHARS else f"{one.title[:_TITLE_CHARS]}…"
    line = [text(f"{one.severity} ", bold=True), text(f"{title} "), text(one.fingerprint, code=True)]
    block_id = f"forge.{told.night}.{told.edition}.{one.fingerprint}"
    return (*rich([line]), ActionsBlock(block_id=block_id, elements=buttons))


def _of_finding(verb: Verb, one: Answered, about: dict[str, Any]) -> ButtonElement | None:
    """Return one button, None where it has nothing to act on or what it must carry is no key of its kind."""
    if verb is Verb.REVIEW:
        if not (one.repository and one.commit):
            return None
        about = {**about, "repository": one.repository, "commit": one.commit}
    with contextlib.suppress(BadArgs):
        return _button(verb, _LABELS[verb], f"{_SPOKEN[verb]}: {one.title}", **about)
    return None


def _button(verb: Verb, label: str, says: str, *, confirm: ConfirmObject | None = None, **about: Any) -> ButtonElement:
    return ButtonElement(
        action_id=action_id(verb),
        text=plain_text(label, _SPOKEN_CHARS),
        value=value(verb, **about),
        confirm=confirm,
        accessibility_label=plain_text(says, _SPOKEN_CHARS).text,
    )
