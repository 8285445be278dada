"""A Redis of Forge's own: found or started, described, stopped.

With ``FORGE_REDIS_URL`` set, that one is used. Otherwise the bundled, pinned engine runs once per ``FORGE_HOME``, never
one found on PATH: an older engine cannot read a newer one's append-only file. It listens on a Unix socket that only its
owner may open, and outlives whoever started it.

One file decides who starts it: ``redis/server.lock``. The starter takes its kernel lock and the server inherits it, so
it is held exactly as long as a server runs on the data, even if the socket was deleted or the starter killed. Belongs
here: who starts it, and what is known about it. Does not belong here: the process (``redis_engine.py``), or what is
kept in it (``gpu/lease.lua``).
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from forge_workers import redis_warnings
from forge_workers.address import SOCKET, own_url, socket_path
from forge_workers.errors import ConfigError, Transient
from forge_workers.plain import plain
from forge_workers.private import locked, make_private
from forge_workers.redis_engine import DECLARED, LOOK_S, SOCKET_TIMEOUT_S, answers, client_of, lock_file, start
from forge_workers.report import Frozen
from forge_workers.settings import Settings

if TYPE_CHECKING:
    import redis

__all__ = ["ServerFacts", "connect", "ensure", "facts", "shown_url", "socket_path", "stop", "url_of"]

#: Longest wait in seconds for a server to start or stop.
_PATIENCE_S = 30.0


class ServerFacts(Frozen):
    """What ``forge doctor`` shows about the Redis in use.

    Attributes:
        server: ``valkey`` or ``redis``.
        version: Its own version, not the one it is compatible with.
        address: Socket path or URL, never with a password.
        appendonly: ``yes`` when changes are kept on disk; ``unknown`` when the server does not tell.
        appendfsync: How often they are flushed.
        maxmemory_policy: What happens when memory is full.
        port: TCP port, 0 for none.
        warnings: What a person should know, one sentence each.
    """

    server: str
    version: str
    address: str
    appendonly: str
    appendfsync: str
    maxmemory_policy: str
    port: int
    warnings: tuple[str, ...] = ()


def connect(settings: Settings) -> redis.Redis:
    """Return a client of the configured Redis, or of Forge's own, which is started when needed.

    Raises:
        ConfigError: The URL cannot be used, or the server refuses its user or password.
        Transient: The server does not answer.
        Damaged: Forge's own data cannot be loaded.
    """
    if settings.redis_url is None:
        return client_of(ensure(settings.home))
    import redis  # noqa: PLC0415  0.2 s that most commands do not need
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    url = settings.redis_url.get_secret_value()
    shown = _without_password(url)
    try:
        client = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=SOCKET_TIMEOUT_S, retry=Retry(NoBackoff(), 1)
        )
        client.ping()
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        raise ConfigError(f"redis_url: {shown} refuses this user or password: correct FORGE_REDIS_URL") from None
    except (ValueError, TypeError):
        raise ConfigError("redis_url cannot be used: write redis://host:port/0 or unix:///path/to/socket") from None
    except redis.RedisError as error:
        why = plain(str(error)).replace(urlsplit(url).password or "\0", "…")
        raise Transient(f"redis_url: no Redis answers at {shown}: start it or unset FORGE_REDIS_URL ({why})") from None
    return client


def url_of(settings: Settings) -> str:
    """Return where the Redis of ``settings`` listens, for ``wire.Wire``. It may hold a password: never show it."""
    return own_url(settings.home) if settings.redis_url is None else settings.redis_url.get_secret_value()


def shown_url(settings: Settings) -> str:
    """Return where the Redis of ``settings`` listens, for a person: nothing that opens it.

    Raises:
        ConfigError: A password in the URL ends the address early, so that its rest would be shown as a path.
    """
    if settings.redis_url is None:
        return str(socket_path(settings.home))
    return _without_password(settings.redis_url.get_secret_value())


def ensure(home: Path, patience_s: float = _PATIENCE_S) -> Path:
    """Return the socket of this home's server, starting it if none answers; any number of processes may ask at once.

    Args:
        home: FORGE_HOME.
        patience_s: Longest wait in seconds for a server that starts or does not answer.

    Raises:
        Damaged: Its append-only file is damaged before the end; nothing was changed or repaired.
        ConfigError: There is no engine for this machine, or a directory is not safe to use.
        Transient: It did not answer in time.
    """
    socket = socket_path(home)
    if answers(socket):
        return socket
    (home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(home / "redis")
    make_private(socket.parent)
    deadline = time.monotonic() + patience_s
    while not answers(socket):
        with lock_file(home).open("a+") as lock:
            if locked(lock):
                if not answers(socket):  # another may have started it since we last asked
                    start(home, socket, lock, deadline)
                return socket
            _wait_or_name(lock, deadline, f"does not answer at {socket}")
    return socket


def stop(home: Path) -> bool:
    """Stop this home's server, wait until it is gone, and say whether one ran.

    Raises:
        Transient: It is still there after 30 seconds.
    """
    socket = socket_path(home)
    ran = answers(socket)
    if ran:
        with client_of(socket, retries=0) as client:
            client.shutdown()
    deadline = time.monotonic() + _PATIENCE_S
    while lock_file(home).exists():
        with lock_file(home).open("a+") as lock:
            if locked(lock):
                break
            _wait_or_name(lock, deadline, "does not stop")
    if socket.parent != home / "redis":
        with contextlib.suppress(OSError):
            socket.parent.rmdir()
    return ran


def facts(client: redis.Redis) -> ServerFacts:
    """Describe the server behind ``client`` and compare it with what Forge asks for.

    Raises:
        Transient: It does not answer.
    """
    import redis  # noqa: PLC0415  loaded by whoever made the client

    used = client.connection_pool.connection_kwargs
    try:
        info = client.info("server")
        live = _live(client)
    except redis.RedisError as error:
        raise Transient(f"Redis does not answer: {plain(str(error))}") from None
    server = "valkey" if "valkey_version" in info else "redis"
    version = plain(str(info.get("valkey_version") or info.get("redis_version", "unknown")), 40)
    port = int(live.get("port", info.get("tcp_port", 0)))
    host, path = str(used.get("host", "localhost")), used.get("path")
    encrypted = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
    is_own = path is not None and Path(path).name == SOCKET
    asked = DECLARED if is_own else {name: DECLARED[name] for name in ("appendonly", "maxmemory-policy")}
    return ServerFacts(
        server=server,
        version=version,
        address=str(
            path or f"{'rediss' if encrypted else 'redis'}://{host}:{used.get('port', 6379)}/{used.get('db') or 0}"
        ),
        appendonly=live.get("appendonly", "unknown"),
        appendfsync=live.get("appendfsync", "unknown"),
        maxmemory_policy=live.get("maxmemory-policy", "unknown"),
        port=port,
        warnings=(
            *redis_warnings.about_version(server, version),
            *redis_warnings.about_settings(asked, live),
            *redis_warnings.about_network(port, host, password=bool(used.get("password")), encrypted=encrypted),
        ),
    )


def _live(client: redis.Redis) -> dict[str, str]:
    """Return the settings the server works with, empty when it does not tell."""
    import redis  # noqa: PLC0415  loaded by whoever made the client

    try:
        return {str(name): str(value) for name, value in client.config_get(*DECLARED).items()}
    except redis.ResponseError:
        return {}


def _wait_or_name(lock: IO[str], deadline: float, what: str) -> None:
    """Wait a moment for the server that holds ``lock``; past ``deadline`` name its process to the reader."""
    if time.monotonic() > deadline:
        lock.seek(0)
        pid = plain(lock.read(20))
        raise Transient(f"Forge's Redis (process {pid}) {what}: run kill {pid} and try again")
    time.sleep(LOOK_S)


def _without_password(url: str) -> str:
    """Return what may be shown of ``url``: where it leads, nothing that opens it.

    Raises:
        ConfigError: A password in it ends the address early, so that its rest would be shown as a path.
    """
    parts = urlsplit(url)
    if parts.scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
        raise ConfigError("redis_url cannot be used: write / ? # in its password as %2F %3F %23")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
