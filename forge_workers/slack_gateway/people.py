"""Whether an ask comes from where it should, and whether this person may.

Pure. Belongs here: those two decisions. Does not belong here: which rights there are to give (``settings_sections.py``,
``SlackMay``).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from forge_workers.briefing.buttons import Verb
from forge_workers.plain import plain
from forge_workers.settings_sections import EVERYONE, SlackMay
from forge_workers.slack_gateway.envelope import Ask

Right = Literal["read", "rate", "hide", "work"]
#: The right that each button takes.
RIGHTS: dict[Verb, Right] = {
    Verb.UP: "rate",
    Verb.DOWN: "rate",
    Verb.DISMISS: "hide",
    Verb.SNOOZE: "hide",
    Verb.RERUN: "work",
    Verb.REVIEW: "work",
}
_MEANS: dict[Right, str] = {
    "read": "ask Forge for anything",
    "rate": "rate findings",
    "hide": "dismiss or snooze findings",
    "work": "give Forge work",
}


class Here(NamedTuple):
    """Where this gateway listens.

    Attributes:
        app: The app's id, which the app-level token names.
        team: The workspace of the bot token.
        bot: The bot's own user id.
        channel: The channel of the briefing.
    """

    app: str
    team: str
    bot: str
    channel: str


def foreign(ask: Ask, here: Here) -> str | None:
    """Say why an ask is none of ours, or None; the first that holds.

    1. It is for another app. 2. It is from another workspace. 3. Except a form, which Slack shows in no channel: it is
    from another channel. 4. The button stands under a message that is not ours.
    """
    if ask.app != here.app:
        return "this was meant for another Slack app"  # 1
    if ask.team != here.team:
        return "Forge listens to people of its own workspace only"  # 2
    if ask.kind != "reason" and ask.channel != here.channel:
        return "Forge listens in the channel of its briefing only"  # 3
    if ask.kind == "button" and ask.message_by != here.bot:
        return "this button stands under a message that is not Forge's"  # 4
    return None


def refusal(by: str, right: Right, may: SlackMay) -> str | None:
    """Say why a person may not, and which setting decides that; None when they may."""
    allowed: tuple[str, ...] = getattr(may, right)
    if EVERYONE in allowed or by in allowed:
        return None
    return f"you may not {_MEANS[right]} from Slack: add {plain(by, 40)} to slack.may.{right} in forge.toml"
