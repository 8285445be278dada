"""The settings of one Forge, read once, validated and frozen.

They come from ``$FORGE_HOME/forge.toml`` and from ``FORGE_*`` variables; a variable wins over the file. A secret
may also be given as a file, ``FORGE_SLACK_TOKEN_FILE=/run/secrets/slack``. Nothing else in Forge reads the
environment. Belongs here: what a user may choose. Does not belong here: facts about a desk or a worker.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import tzlocal
from pydantic import AfterValidator, Field, SecretStr, ValidationError

from forge_workers.address import SETTINGS_FILE, home_of
from forge_workers.errors import ConfigError
from forge_workers.settings_sections import Dagster, GitHub, Models, NightHours, Section, Slack
from forge_workers.settings_sources import as_tuples, from_environ, from_file, leaves, meant, put


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Paris")
    return name


def _redis(url: str) -> str:
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("write redis://host:port/0, rediss://... or unix:///path/to/socket")
    return url


class Settings(Section):
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
        dagster: What schedules, keeps and shows the nights.
    """

    home: Path
    repositories: tuple[Annotated[str, Field(min_length=1)], ...]
    timezone: Annotated[str, AfterValidator(_zone)]
    redis_url: Annotated[SecretStr, AfterValidator(lambda s: SecretStr(_redis(s.get_secret_value())))] | None = None
    night: NightHours = NightHours()
    models: Models = Models()
    slack: Slack = Slack()
    github: GitHub = GitHub()
    dagster: Dagster = Dagster()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.timezone)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value of these settings, for the redactor; never log or store it."""
        held = (self.redis_url, self.dagster.postgres_url, self.slack.token, self.slack.app_token, self.github.token)
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
