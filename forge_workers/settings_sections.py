"""The sections of ``forge.toml``, one frozen class each, with what each value must look like.

Belongs here: what a user may choose, with its default. Does not belong here: where the values come from, which is
``settings.py``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from forge_workers.address import DEFAULT_MODEL


def _hour(text: str) -> str:
    try:
        exact = datetime.strptime(text, "%H:%M").strftime("%H:%M") == text  # noqa: DTZ007  a time of day has no zone
    except ValueError:
        exact = False
    if not exact:
        raise ValueError(f"{text!r:.40} is no time of day: write HH:MM, for example 01:00")
    return text


def _channel(text: str) -> str:
    if not re.fullmatch(r"[CDG][A-Z0-9]{2,}", text):
        raise ValueError(f"{text!r:.80} is no channel's id: open the channel's details in Slack, it begins with C")
    return text


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write a web address such as http://127.0.0.1:11434")
    return url.rstrip("/")


def _https(url: str) -> str:
    """Refuse to send a token over the network in the clear; a stand-in on this machine may be plain."""
    parts = urlsplit(_http(url))
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("write an address that begins with https://, because a token is sent there")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http)]
HttpsUrl = Annotated[str, AfterValidator(_https)]


class Section(BaseModel):
    """Base of all sections: immutable, strict about types, and no key is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NightHours(Section):
    """When the night works. Times are local, ``HH:MM``.

    Attributes:
        starts_at: When the schedule begins the night for the day that just ended.
        briefing_by: When the briefing is due.
    """

    starts_at: Annotated[str, AfterValidator(_hour)] = "01:00"
    briefing_by: Annotated[str, AfterValidator(_hour)] = "07:00"


class Models(Section):
    """The language model of the night.

    Attributes:
        engine: ``ollama``, or ``extractive`` to never ask a model.
        ollama_url: Where Ollama listens.
        generate: The model's name at Ollama.
        context_tokens: Context window asked for; the same for every request, since another size reloads the model.
        timeout_s: Longest wait for one answer.
        load_timeout_s: Longest wait for the model to load.
        keep_alive_s: How long the model stays loaded after its last answer.
        night_tokens: Prompt tokens that one night may spend on reviewing code.
    """

    engine: Literal["ollama", "extractive"] = "ollama"
    ollama_url: HttpUrl = "http://127.0.0.1:11434"
    generate: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=200)
    context_tokens: int = Field(default=16_384, ge=1_024, le=1_048_576)
    timeout_s: float = Field(default=300.0, gt=0)
    load_timeout_s: float = Field(default=600.0, gt=0)
    keep_alive_s: float = Field(default=300.0, ge=0)
    night_tokens: int = Field(default=60_000, ge=0)


class Slack(Section):
    """Where the briefing and notices are posted. Without a token the terminal and a log show them.

    Attributes:
        token: Bot token with ``chat:write`` and the channel's history scope.
        channel: Channel id, such as ``C0123456789``.
        api_url: Slack's own address; another only for tests.
        timeout_s: Longest wait for one answer.
        quiet_from: Local time, ``HH:MM``, from which only urgent notices are posted.
        quiet_until: Local time, ``HH:MM``, from which the others are again; before ``quiet_from`` it is the next day.
    """

    token: SecretStr | None = None
    channel: Annotated[str, AfterValidator(_channel)] | None = None
    api_url: HttpsUrl = "https://slack.com/api"
    timeout_s: float = Field(default=15.0, gt=0)
    quiet_from: Annotated[str, AfterValidator(_hour)] | None = None
    quiet_until: Annotated[str, AfterValidator(_hour)] | None = None

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet hours have two ends: set both slack.quiet_from and slack.quiet_until, or neither")
        if self.quiet_from is not None and self.quiet_from == self.quiet_until:
            raise ValueError("slack.quiet_from and slack.quiet_until are the same time: make one later")
        return self


class GitHub(Section):
    """Where pull requests are read. Without a token the digest is skipped.

    Attributes:
        token: Token that may read the repositories.
        repositories: ``owner/name`` of each repository to digest; empty takes the GitHub remotes of the watched ones.
        api_url: GitHub's own address, or a company's.
        timeout_s: Longest wait for one answer.
    """

    token: SecretStr | None = None
    repositories: tuple[Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")], ...] = ()
    api_url: HttpsUrl = "https://api.github.com"
    timeout_s: float = Field(default=15.0, gt=0)
