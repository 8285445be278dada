"""The settings of one Forge, read once, validated and frozen.

They come from ``$FORGE_HOME/forge.toml`` and from ``FORGE_*`` variables; a variable wins over the file. A secret
may also be given as a file, ``FORGE_SLACK_TOKEN_FILE=/run/secrets/slack``. Nothing else in Forge reads the
environment. Belongs here: what a user may choose. Does not belong here: facts about a desk or a worker.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import tzlocal
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from forge_workers.address import DEFAULT_MODEL, SETTINGS_FILE, home_of
from forge_workers.errors import ConfigError
from forge_workers.settings_sources import as_tuples, from_environ, from_file, leaves, meant, put


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Paris")
    return name


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


def _redis(url: str) -> str:
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("write redis://host:port/0, rediss://... or unix:///path/to/socket")
    return url


HttpUrl = Annotated[str, AfterValidator(_http)]
HttpsUrl = Annotated[str, AfterValidator(_https)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NightHours(_Section):
    """When the night works. Times are local, ``HH:MM``.

    Attributes:
        starts_at: When the schedule begins the night for the day that just ended.
        briefing_by: When the briefing is due.
    """

    starts_at: Annotated[str, AfterValidator(_hour)] = "01:00"
    briefing_by: Annotated[str, AfterValidator(_hour)] = "07:00"


class Models(_Section):
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


class Slack(_Section):
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


class GitHub(_Section):
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


class Settings(_Section):
    """Everything a user may choose.

    Attributes:
        home: Where Forge keeps its state; a directory only its owner may enter.
        repositories: Paths or globs of the Git repositories to watch.
        timezone: Time zone that decides where one night ends and the next begins.
        redis_url: A Redis to use instead of the bundled one.
        night: When the night works.
        models: The language model.
        slack: Where the briefing goes.
        github: Where pull requests come from.
    """

    home: Path
    repositories: tuple[Annotated[str, Field(min_length=1)], ...]
    timezone: Annotated[str, AfterValidator(_zone)]
    redis_url: Annotated[SecretStr, AfterValidator(lambda s: SecretStr(_redis(s.get_secret_value())))] | None = None
    night: NightHours = NightHours()
    models: Models = Models()
    slack: Slack = Slack()
    github: GitHub = GitHub()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.timezone)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value of these settings, for the redactor; never log or store it."""
        held = (self.redis_url, self.slack.token, self.github.token)
        return tuple(s.get_secret_value() for s in held if s is not None)


def load(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Settings:
    """Read, validate and freeze the settings.

    Args:
        environ: The environment; the process's own when None.
        cwd: Where to look for a repository when none is named; the process's own when None.

    Raises:
        ConfigError: A key is unknown, of a wrong type, or names a missing path. The message is one line that names
            the key and where it was set.
    """
    environ = os.environ if environ is None else environ
    home = home_of(environ)
    chosen = from_file(home / SETTINGS_FILE)
    if "home" in chosen:
        raise ConfigError(f"home cannot be set in {home / SETTINGS_FILE}: set the variable FORGE_HOME")
    sources = {key: str(home / SETTINGS_FILE) for key in leaves(chosen)}
    for key, (variable, value) in from_environ(environ, Settings).items():
        put(chosen, key, value)
        sources[key] = variable
    here = cwd or Path.cwd()
    if sources.get("repositories") == str(home / SETTINGS_FILE):
        _only_absolute(chosen["repositories"], home / SETTINGS_FILE)
    chosen["repositories"] = _from_here(chosen.get("repositories", [str(_top(here))]), here)
    chosen.setdefault("timezone", _local_zone())
    chosen["home"] = home
    try:
        return Settings.model_validate(as_tuples(chosen))
    except ValidationError as error:
        raise ConfigError(_one_line(error, sources)) from None


def environment(**changed: str) -> dict[str, str]:
    """Return this process's environment with ``changed`` variables, for a child that loads the same settings."""
    return {**os.environ, **changed}


def _only_absolute(paths: Any, file: Path) -> None:
    """Refuse what would mean another repository in another directory."""
    for path in paths if isinstance(paths, list) else ():
        if isinstance(path, str) and path and path[0] not in "/~":
            raise ConfigError(f"repositories in {file}: {path!r:.80} must be an absolute path or begin with ~/")


def _from_here(paths: Any, here: Path) -> Any:
    """Make paths given in a variable absolute; what is no list of texts is left for the validation to name."""
    if not isinstance(paths, list):
        return paths
    return [str(here / path) if isinstance(path, str) and path and path[0] != "~" else path for path in paths]


def _top(directory: Path) -> Path:
    """Return the top of the Git work tree around ``directory``, or ``directory`` itself."""
    return next((d for d in (directory, *directory.parents) if (d / ".git").exists()), directory)


def _local_zone() -> str:
    name = tzlocal.get_localzone_name()
    return name if name in available_timezones() else "UTC"


def _one_line(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    names = [str(part) for part in first["loc"] if isinstance(part, str) and part.isidentifier()]
    key = ".".join(names)
    where = next((s for k, s in sources.items() if k == key or k.startswith(key + ".")), "forge.toml")
    if first["type"] == "extra_forbidden":
        return f"{key} is no setting of Forge (in {where}): {meant(key, Settings)}"
    if first["type"] == "tuple_type":
        return f'{key} in {where}: write a list, such as {key} = ["..."]'
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} in {where}: {message[:1].lower()}{message[1:]}"
