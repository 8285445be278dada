"""One Slack channel: the few things done there, and what each answer means for whoever asked.

Three answers matter to a sender: it was refused, Slack is busy and nothing happened, or nobody knows what happened. The
last must never be answered by sending again before looking. Belongs here: the wire, through slack_sdk, and the name
under which this Forge posts. Does not belong here: what is sent, and how often (``deliver.py``, ``notices/send.py``).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from forge_workers import files
from forge_workers.briefing.blocks import Message
from forge_workers.errors import Permanent, Transient
from forge_workers.plain import plain
from forge_workers.report import Frozen
from forge_workers.settings_sections import Slack

EVENT = "forge_briefing"
#: Longest single wait that Slack may ask for, in seconds, and how many such waits one request may take. Beyond that
#: what was to be sent stays spooled instead.
LONGEST_WAIT_S, WAITS = 60.0, 3
#: Seconds before the second and the third try of a request that got no usable answer. Slack shows a message in the
#: history within about a second; the waits leave it more.
PAUSES_S = (2.0, 8.0)
#: Messages per page and pages looked through for a lost one: a channel's day or a thread, and a bound on it.
_PAGE, _PAGES = 200, 10
#: Slack's own words for "later": nothing was done.
_BUSY = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
#: Slack's own words for faults on its side, after which nobody knows what was done.
_UNCLEAR = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
_TOKEN = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"}
)


#: Slack's words for a channel that cannot be posted to.
_CHANNEL = frozenset({"channel_not_found", "not_in_channel", "is_archived"})


class Refused(Permanent):
    """Slack refuses, and would again; ``code`` is its word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def everything(self) -> bool:
        """Whether any other message would be refused alike: it is about the token or the channel."""
        return self.code in _TOKEN | _CHANNEL | {"missing_scope"}


class Busy(Transient):
    """Slack asks to wait longer than we do; nothing was done. ``wait_s`` is how long, in seconds."""

    def __init__(self, wait_s: float, message: str) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Unclear(Transient):
    """No usable answer came; whether it was done must be looked up."""


class Seen(Frozen):
    """One of our messages as Slack holds it: its timestamp, which is its name, and the digest of its content."""

    ts: str
    digest: str


class Patience(RateLimitErrorRetryHandler):
    """Waits as long as ``Retry-After`` says, within bounds.

    Source: docs.slack.dev, "Rate limits": HTTP 429 with ``Retry-After`` in seconds.
    """

    def __init__(self, sleep: Callable[[float], None], longest_s: float) -> None:
        super().__init__(max_retry_count=WAITS)
        self._sleep = sleep
        self._longest_s = longest_s

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        limited = super()._can_retry(state=state, request=request, response=response, error=error)
        return limited and response is not None and _wait_s(response.headers) <= self._longest_s

    def prepare_for_next_attempt(
        self,
        *,
        state: RetryState,
        request: HttpRequest,  # noqa: ARG002 - slack_sdk's signature
        response: HttpResponse | None = None,
        error: Exception | None = None,  # noqa: ARG002
    ) -> None:
        """Wait, then let the same request go out again."""
        self._sleep(_wait_s(response.headers if response else {}))
        state.next_attempt_requested = True
        state.increment_current_attempt()


def origin_of(home: Path) -> str:
    """Return the name of this Forge, made once and kept."""
    path = home / "spool" / "origin"
    if not path.is_file() or not re.fullmatch(r"[0-9a-f]{16}", path.read_text(encoding="utf-8", errors="replace")):
        files.replace(path, uuid.uuid4().hex[:16])
    return path.read_text(encoding="utf-8")


def _wait_s(headers: Mapping[str, Any]) -> float:
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    text = str(said[0] if isinstance(said, list) else said)
    return float(text) if re.fullmatch(r"\d{1,9}", text) else 1.0


class Channel:
    """The configured channel, spoken to with the configured token.

    Args:
        settings: With token and channel set.
        origin: Names this Forge in what it posts, so that two machines with one token leave each other's alone.
        sleep: Waits some seconds; ``time.sleep``, or a test's record.
        about: Event type of the metadata in what it posts; messages with another are not looked at.
        patience_s: Longest single wait that Slack may ask for.
    """

    def __init__(
        self,
        settings: Slack,
        origin: str,
        sleep: Callable[[float], None],
        *,
        about: str = EVENT,
        patience_s: float = LONGEST_WAIT_S,
    ) -> None:
        if settings.token is None or settings.channel is None:
            raise Refused("not_configured", "slack.token and slack.channel are both needed")
        self.id = settings.channel
        self._origin = origin
        self._about = about
        self._bot: str | None = None
        self._sleep = sleep
        self._loopback = settings.api_url.startswith("http://127.0.0.1:")
        self._client = WebClient(
            token=settings.token.get_secret_value(),
            base_url=f"{settings.api_url}/",
            timeout=settings.timeout_s,  # type: ignore[arg-type]  # urllib takes fractions of a second
            retry_handlers=[Patience(sleep, patience_s)],
        )

    def post(self, message: Message, marks: dict[str, Any], thread_ts: str | None) -> str:
        """Post a message and return its timestamp."""
        answer = self._ask(
            self._client.chat_postMessage,
            **self._content(message, marks),
            thread_ts=thread_ts,
            unfurl_links=False,
            unfurl_media=False,
            mrkdwn=False,
        )
        if not isinstance(answer.get("ts"), str):
            raise Unclear("Slack gave no usable answer")
        return str(answer["ts"])

    def update(self, ts: str, message: Message, marks: dict[str, Any]) -> None:
        """Replace a message's content."""
        self._ask(self._client.chat_update, ts=ts, **self._content(message, marks))

    def find(self, night: str) -> str | None:
        """Return the timestamp of this Forge's first message for ``night``, or None when the channel has none."""
        since = datetime.fromisoformat(night).replace(tzinfo=UTC) - timedelta(hours=14)  # no zone's day begins earlier
        found = (seen.ts for part, seen in _of(self.history(since.timestamp()), night) if part == 0)
        return next(found, None)

    def history(self, since: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield timestamp and marks of each message in the channel that is ours, newest first.

        Args:
            since: UTC unix seconds; nothing older is looked at.
        """
        cursor = None
        for _ in range(_PAGES):
            page = self._read(
                self._client.conversations_history,
                channel=self.id,
                oldest=f"{since:.6f}",
                limit=_PAGE,
                cursor=cursor,
                include_all_metadata=True,
            )
            yield from self._ours(page.get("messages") or [])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def thread(self, ts: str, night: str) -> dict[int, Seen]:
        """Return what Slack holds of this briefing: the first message at ``ts`` and its replies, by part."""
        try:
            replies = list(self.replies(ts))
        except Refused as refused:
            if refused.code == "thread_not_found":
                return {}
            raise
        seen: dict[int, Seen] = {}
        for part, message in _of(self._ours(replies), night):
            seen.setdefault(part, message)
        return seen

    def replies(self, ts: str) -> Iterator[dict[str, Any]]:
        """Yield the message at ``ts`` and its replies as Slack tells them, oldest first, whoever wrote them."""
        cursor = None
        for _ in range(_PAGES):
            page = self._read(
                self._client.conversations_replies,
                channel=self.id,
                ts=ts,
                limit=_PAGE,
                cursor=cursor,
                include_all_metadata=True,
            )
            yield from page.get("messages") or []
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def bot(self) -> str:
        """Return the id under which the token posts."""
        if self._bot is None:
            self._bot = str(self._read(self._client.auth_test).get("user_id"))
        return self._bot

    def _ours(self, messages: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for message in messages:
            metadata = message.get("metadata") or {}
            marks = metadata.get("event_payload") or {}
            mine = message.get("user") == self.bot() and metadata.get("event_type") == self._about
            if mine and marks.get("origin") == self._origin:
                yield str(message["ts"]), marks

    def _content(self, message: Message, marks: dict[str, Any]) -> dict[str, Any]:
        payload = {**marks, "origin": self._origin}
        return {
            "channel": self.id,
            "text": message.text,
            "blocks": list(message.blocks),
            "metadata": {"event_type": self._about, "event_payload": payload},
            "link_names": False,
            "parse": "none",
        }

    def _read(self, method: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        """Ask for something that changes nothing, so that it may be asked again."""
        for pause in PAUSES_S:
            try:
                return self._ask(method, **arguments)
            except Unclear:
                self._sleep(pause)
        return self._ask(method, **arguments)

    def _ask(self, method: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        """Call Slack and return its answer.

        Raises:
            Refused, Busy, Unclear: As their names say.
        """
        try:
            answer = method(**arguments).data
        except SlackApiError as error:
            raise self._meaning(error) from None
        except (SlackClientError, OSError, HTTPException, ValueError, AttributeError, TypeError) as error:
            # The last two are what slack_sdk makes of an answer that is JSON and no object.
            raise Unclear(f"Slack gave no usable answer ({type(error).__name__})") from None
        if not isinstance(answer, dict):
            raise Unclear("Slack gave no usable answer")
        return answer

    def _meaning(self, error: SlackApiError) -> Refused | Busy | Unclear:
        status = int(getattr(error.response, "status_code", 200))
        code = str(error.response.get("error") or "")
        if status == 429 or code in _BUSY:  # noqa: PLR2004 - HTTP's own number
            return Busy(_wait_s(getattr(error.response, "headers", {})), "Slack asks to wait: too many requests")
        if status >= 500 or code in _UNCLEAR or not re.fullmatch(r"[a-z0-9_]{1,60}", code):  # noqa: PLR2004
            return Unclear(f"Slack answered with an error of its own (HTTP {status})")
        return Refused(code, self._advice(code, str(error.response.get("needed") or "")))

    def _advice(self, code: str, needed: str) -> str:
        if code in _TOKEN:
            return f"Slack does not accept the token ({code}): set slack.token to a valid bot token"
        if code in _CHANNEL:
            return f"Slack cannot post to channel {self.id} ({code}): check slack.channel and invite the app to it"
        if code == "missing_scope":
            scope = plain(needed, 80) or "chat:write and channels:history"
            return f"the Slack token lacks a permission: give the app {scope} and install it again"
        return f"Slack refused it ({code})"


def _of(messages: Iterable[tuple[str, dict[str, Any]]], night: str) -> Iterator[tuple[int, Seen]]:
    """Yield the parts of a night's briefing."""
    for ts, marks in messages:
        if marks.get("night") == night:
            yield int(marks.get("part", -1)), Seen(ts=ts, digest=str(marks.get("digest", "")))
