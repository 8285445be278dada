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


#: What a desk does about a night that was missed: all of it, nothing, or only the newest of several.
MissedPolicy = Literal["run", "skip", "coalesce"]


class Missed(Section):
    """What each desk does about nights that were missed: the machine slept or was off until a later night was due.

    Attributes:
        window_days: How many days back a missed night is still looked at; older ones are left out, and told.
        readiness: A look at the machine of now says nothing of that day, so it is skipped.
        code: The day's commits are still there.
        ecosystem: The newest night tells what has moved since.
    """

    window_days: int = Field(default=7, ge=1, le=60)
    readiness: MissedPolicy = "skip"
    code: MissedPolicy = "run"
    ecosystem: MissedPolicy = "coalesce"


class NightHours(Section):
    """When the night works. Times are local, ``HH:MM``.

    Attributes:
        starts_at: When the schedule begins the night for the day that just ended.
        briefing_by: When the briefing is due.
        missed: What is done about nights that were missed.
    """

    starts_at: Annotated[str, AfterValidator(_hour)] = "01:00"
    briefing_by: Annotated[str, AfterValidator(_hour)] = "07:00"
    missed: Missed = Missed()


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


def _app_token(secret: SecretStr) -> SecretStr:
    """Accept a token for Socket Mode, which names its app; never quote it."""
    if not re.fullmatch(r"xapp-\d-[A-Z0-9]{2,}-\d+-\w+", secret.get_secret_value()):
        raise ValueError("this is no app-level token: it begins with xapp- and is made under Basic Information")
    return secret


def _person(text: str) -> str:
    if text != EVERYONE and not re.fullmatch(r"[UW][A-Z0-9]{2,}", text):
        raise ValueError(f'{text!r:.80} is no member id such as U0123456789, and not "{EVERYONE}"')
    return text


#: Stands for whoever is in the channel.
EVERYONE = "everyone"
People = tuple[Annotated[str, AfterValidator(_person)], ...]


class SlackMay(Section):
    """Who may do what from Slack: member ids, or ``everyone`` for whoever is in the channel.

    By default everyone may look and say what they think of a finding, which at most changes an order, and nobody may
    leave anything out or give work.

    Attributes:
        read: Ask for the status, the nights, jobs and briefings.
        rate: Press thumbs up and thumbs down.
        hide: Dismiss findings and snooze them.
        work: Run a night again, have a repository reviewed, give workers jobs.
    """

    read: People = (EVERYONE,)
    rate: People = (EVERYONE,)
    hide: People = ()
    work: People = ()


class Slack(Section):
    """Where the briefing and notices are posted. Without a token the terminal and a log show them.

    Attributes:
        token: Bot token with ``chat:write``, the channel's history scope, and ``files:write`` for charts.
        app_token: App-level token with ``connections:write``; with it Slack's buttons and ``/forge`` are answered.
        channel: Channel id, such as ``C0123456789``.
        api_url: Slack's own address; another only for tests.
        timeout_s: Longest wait for one answer.
        quiet_from: Local time, ``HH:MM``, from which only urgent notices are posted.
        quiet_until: Local time, ``HH:MM``, from which the others are again; before ``quiet_from`` it is the next day.
        may: Who may do what from Slack.
    """

    token: SecretStr | None = None
    app_token: Annotated[SecretStr, AfterValidator(_app_token)] | None = None
    channel: Annotated[str, AfterValidator(_channel)] | None = None
    api_url: HttpsUrl = "https://slack.com/api"
    timeout_s: float = Field(default=15.0, gt=0)
    quiet_from: Annotated[str, AfterValidator(_hour)] | None = None
    quiet_until: Annotated[str, AfterValidator(_hour)] | None = None
    may: SlackMay = SlackMay()

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise ValueError("quiet hours have two ends: set both slack.quiet_from and slack.quiet_until, or neither")
        if self.quiet_from is not None and self.quiet_from == self.quiet_until:
            raise ValueError("slack.quiet_from and slack.quiet_until are the same time: make one later")
        return self


def _postgres(secret: SecretStr) -> SecretStr:
    """Accept an address of a PostgreSQL as people write it; never quote it, since it may hold a password."""
    scheme, slashes, rest = secret.get_secret_value().partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+psycopg2"} or not slashes:
        raise ValueError(_POSTGRES)
    try:
        parts = urlsplit(f"postgresql://{rest}")
        named = bool(parts.path.strip("/")) and parts.port != 0
    except ValueError:  # a password with / or [ in it
        named = False
    if not named:
        raise ValueError(f"{_POSTGRES}, with %2F for a / in the password")
    return SecretStr(f"postgresql+psycopg2://{rest}")  # SQLAlchemy takes the bare name for a driver that is not there


_POSTGRES = "write postgresql://user:password@host:5432/database"


class Dagster(Section):
    """What schedules, keeps and shows the nights.

    Attributes:
        services: Whether ``forge up`` runs Dagster's daemon, code server and web pages beside the workers.
        port: Port of the web pages, on loopback.
        postgres_url: A PostgreSQL to keep runs and events in, instead of SQLite files in the home.
        keep_days: How many days runs, their events and their console output are kept; reports are kept for ever.
    """

    services: bool = True
    port: int = Field(default=3000, ge=1, le=65_535)
    postgres_url: Annotated[SecretStr, AfterValidator(_postgres)] | None = None
    keep_days: int = Field(default=60, ge=1, le=36_500)


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
