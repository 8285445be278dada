"""Answers that only the person who asked sees.

An answer goes to the ask's ``response_url`` where that is Slack's own, and otherwise into the channel as an ephemeral
message. Everything in it is text that Slack does not parse, escaped, within limits, and without secrets. Belongs here:
that way out. Does not belong here: what is said.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import urlsplit

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackClientError
from slack_sdk.models.blocks import Block, PlainTextObject, SectionBlock
from slack_sdk.models.views import View

from forge_workers.briefing.channel import Patience
from forge_workers.briefing.slack import escape
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.redact import Redactor
from forge_workers.settings import Settings
from forge_workers.slack_gateway.envelope import Ask

_LOG = logging.getLogger(__name__)
#: Most characters of one line, which escaping can make five times as many, and of one block. Source: docs.slack.dev,
#: text object: at most 3,000.
_LINE, _BLOCK_CHARS = 400, 2_600
#: Blocks of one answer; the lines that do not fit are counted.
_BLOCKS = 4
#: Longest wait for Slack, and longest single wait that Slack may ask for, seconds.
_TIMEOUT_S, _PATIENCE_S = 10, 5.0
_WITHHELD = "the answer holds one of Forge's own secrets, so it is not shown here"


class Answers:
    """The way back to the person who asked.

    Args:
        settings: With token and channel set.
    """

    def __init__(self, settings: Settings) -> None:
        token = settings.slack.token
        self._settings = settings
        self._redactor = Redactor(settings.secrets)
        self._client = WebClient(
            token=token.get_secret_value() if token else None,
            base_url=f"{settings.slack.api_url}/",
            timeout=_TIMEOUT_S,
            retry_handlers=[Patience(time.sleep, _PATIENCE_S)],
        )

    def say(self, ask: Ask, said: str) -> bool:
        """Show ``said`` to the person who asked, and say whether Slack took it.

        Args:
            ask: What is answered.
            said: Plain lines.
        """
        text = self.safe(said)
        return self._respond(ask.response_url, text) or self._whisper(ask.by, text)

    def open_form(self, trigger: str, view: View) -> bool:
        """Open a form, and say whether Slack did; three seconds after the press it does not any more."""
        try:
            self._client.views_open(trigger_id=trigger, view=view)
        except (SlackClientError, OSError, HTTPException, ValueError) as error:
            event(_LOG, "slack.no_form", logging.WARNING, error=type(error).__name__)
            return False
        return True

    def safe(self, said: str) -> str:
        """Return lines as they may leave: bounded, without control characters and without secrets."""
        lines = [plain(line, _LINE) if line.strip() else "" for line in self._redactor.text(said).splitlines()]
        text = "\n".join(lines)
        held = any(map(self._redactor.holds_own_secret, (text, text.replace("\n", ""))))
        return _WITHHELD if held else text

    def _respond(self, url: str, text: str) -> bool:
        if not _is_slacks(url, self._settings.slack.api_url):
            return False
        try:
            answer = WebhookClient(url, timeout=_TIMEOUT_S).send(
                text=escape(text), blocks=blocks_of(text), response_type="ephemeral", replace_original=False
            )
        except (SlackClientError, OSError, HTTPException, ValueError) as error:
            event(_LOG, "slack.unanswered", logging.WARNING, error=type(error).__name__)
            return False
        return answer.status_code == 200  # noqa: PLR2004 - HTTP's own number

    def _whisper(self, user: str, text: str) -> bool:
        channel = self._settings.slack.channel
        if channel is None:
            return False
        try:
            self._client.chat_postEphemeral(channel=channel, user=user, text=escape(text), blocks=blocks_of(text))
        except (SlackClientError, OSError, HTTPException, ValueError) as error:
            event(_LOG, "slack.unanswered", logging.WARNING, error=type(error).__name__)
            return False
        return True


def blocks_of(text: str) -> list[Block]:
    """Return an answer as blocks within Slack's limits; data in them is never parsed as markup."""
    pages = list(_pages(text.split("\n")))
    left = sum(len(page) for page in pages[_BLOCKS:])
    shown = pages[:_BLOCKS] + ([[f"… and {left} more lines"]] if left else [])
    return [SectionBlock(text=PlainTextObject(text="\n".join(page).strip() or "…", emoji=False)) for page in shown]


def _pages(lines: list[str]) -> Iterator[list[str]]:
    """Split lines into blocks, escaped, none too long."""
    page: list[str] = []
    size = 0
    for line in map(escape, lines):
        if page and size + len(line) + 1 > _BLOCK_CHARS:
            yield page
            page, size = [], 0
        page.append(line)
        size += len(line) + 1
    yield page


def _is_slacks(url: str, api_url: str) -> bool:
    """Whether an address is of the Slack that the settings name: no other is ever posted to.

    Source: docs.slack.dev, "Handling user interaction": ``https://hooks.slack.com/...`` beside ``https://slack.com/api``.
    """
    try:
        asked, api = urlsplit(url), urlsplit(api_url)
    except ValueError:
        return False
    if asked.scheme != api.scheme or asked.username is not None:
        return False
    return asked.netloc in {api.netloc, f"hooks.{api.netloc}"}
