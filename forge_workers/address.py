"""Where this Forge lives, where its Redis listens and which model it uses, found without loading the settings.

Reading and checking every setting costs a daemon 8 MB and a tenth of a second before it has done anything, and it needs
three of them. Belongs here: those three. Does not belong here: any other setting (``settings.py``), or starting a Redis
(``redis_server.py``).
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from forge_workers.errors import ConfigError

#: The settings' file in the home.
SETTINGS_FILE = "forge.toml"
#: The model that is asked when none is chosen.
DEFAULT_MODEL = "qwen3:8b"
#: Name of the socket that Forge's own Redis listens on.
SOCKET = "forge.sock"
#: Longest socket path in bytes: macOS keeps 104 with the closing zero, Linux 108. Source: sys/un.h.
_SOCKET_BYTES = 103


def home_of(environ: Mapping[str, str]) -> Path:
    """Return ``FORGE_HOME``, by default ``~/.forge``.

    Raises:
        ConfigError: It is no absolute path, or there is no home directory to put it in.
    """
    named = environ.get("FORGE_HOME")
    if named:
        home = Path(named).expanduser()
        if not home.is_absolute():
            raise ConfigError(f"FORGE_HOME must be an absolute path, not {named!r:.80}: it is the same from everywhere")
        return home
    try:
        return Path(environ.get("HOME") or Path.home()).absolute() / ".forge"
    except RuntimeError:
        raise ConfigError("FORGE_HOME is not set and there is no home directory: set FORGE_HOME") from None


def short_socket(folder: Path, name: str) -> Path:
    """Return a path for a Unix socket that belongs into ``folder``, at most 103 bytes long.

    A longer one is replaced by one in a private directory in ``/tmp`` named by user and folder. ``/tmp`` and not
    TMPDIR, which differs between a terminal and a service of the same user.
    """
    socket = folder / name
    if len(os.fsencode(socket)) <= _SOCKET_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(folder.parent)).hexdigest()[:16]
    return Path(f"/tmp/forge-{os.getuid()}-{digest}") / name  # noqa: S108  # whoever makes it checks whose it is


def socket_path(home: Path) -> Path:
    """Return where this home's own Redis listens."""
    return short_socket(home / "redis", SOCKET)


def own_url(home: Path) -> str:
    """Return the URL of this home's own Redis; a path may hold what means something in a URL."""
    return f"unix://{quote(str(socket_path(home)))}"


def redis_url_of(environ: Mapping[str, str], home: Path) -> str:
    """Return the URL of the Redis to use: the one set by variable, file or ``forge.toml``, or else Forge's own.

    Raises:
        ConfigError: The URL or the file it stands in cannot be used.
    """
    from_file = _from_file(environ.get("FORGE_REDIS_URL_FILE"))
    url = environ.get("FORGE_REDIS_URL") or from_file or _text(_chosen(home).get("redis_url"))
    if url is None:
        return own_url(home)
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise ConfigError("redis_url: write redis://host:port/0, rediss://... or unix:///path/to/socket")
    return url


def model_of(environ: Mapping[str, str], home: Path) -> str:
    """Return the name of the model that is asked, for those who stand in line for the GPU.

    Raises:
        ConfigError: ``forge.toml`` cannot be read.
    """
    models = _chosen(home).get("models")
    named = _text(models.get("generate")) if isinstance(models, dict) else None
    return environ.get("FORGE_MODELS_GENERATE") or named or DEFAULT_MODEL


def _from_file(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"FORGE_REDIS_URL_FILE: cannot read {path}: {error}") from None


def _chosen(home: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((home / SETTINGS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{home / SETTINGS_FILE} cannot be read: {error}") from None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
