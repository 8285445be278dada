"""The form that asks why a finding is dismissed.

What it carries from the button to its answer is the button's own value, checked again when it comes back. Belongs here:
that form and reading it. Does not belong here: dismissing (``actions.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import InputBlock, PlainTextInputElement, PlainTextObject, SectionBlock
from slack_sdk.models.views import View

from forge_workers.briefing.slack import escape
from forge_workers.plain import plain

#: Names of the form, of its one field's block, and of the field.
FORM, BLOCK, FIELD = "forge.dismiss.reason", "reason", "because"
#: Most characters of a reason, below what ``dismissals.py`` keeps with who gave it.
MOST_REASON = 400


def form(value: str, title: str) -> View:
    """Return the form for the finding that the button with this value stands under.

    Args:
        value: The button's.
        title: The finding's, untrusted.
    """
    asked = PlainTextObject(text="Why can we live with it?", emoji=False)
    told = PlainTextObject(text=escape(plain(title, 300)) or "this finding", emoji=False)
    field = PlainTextInputElement(action_id=FIELD, multiline=False, max_length=MOST_REASON)
    return View(
        type="modal",
        callback_id=FORM,
        private_metadata=value,
        title=PlainTextObject(text="Dismiss a finding"),
        submit=PlainTextObject(text="Dismiss"),
        close=PlainTextObject(text="Leave it"),
        blocks=[SectionBlock(text=told), InputBlock(block_id=BLOCK, label=asked, element=field)],
    )


def reason_in(view: Mapping[str, Any]) -> str:
    """Return what was written into the form, "" for nothing; raises KeyError or TypeError for what is no such form."""
    return view["state"]["values"][BLOCK][FIELD].get("value") or ""


def complaint(text: str) -> dict[str, Any]:
    """Return the acknowledgement that keeps the form open and shows one line under its field."""
    return {"response_action": "errors", "errors": {BLOCK: text}}
