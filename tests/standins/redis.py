"""A private, real Redis: the bundled engine, started in a folder of the test's own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from forge_workers import redis_server
from forge_workers.redis_engine import client_of


class PrivateRedis:
    """One server. ``home`` is what a test gives as FORGE_HOME to meet it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = redis_server.ensure(home)

    def client(self) -> redis.Redis:
        """Return a new client, configured as Forge configures its own."""
        return client_of(self.socket)

    @property
    def pid(self) -> int:
        """The server's process number."""
        return int((self.home / "redis" / "server.lock").read_text(encoding="utf-8"))

    def kill(self) -> None:
        """Kill the server as a crash would, and return when it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        while _answers_or_hangs(self.socket):
            time.sleep(0.005)

    def restart(self) -> None:
        """Start the server again on what it kept."""
        redis_server.ensure(self.home)


def _answers_or_hangs(socket: Path) -> bool:
    try:
        return bool(client_of(socket, retries=0).ping())
    except redis.ConnectionError:
        return False


@contextmanager
def start_redis(folder: Path) -> Iterator[PrivateRedis]:
    """Run a private server in ``folder`` and stop it at the end."""
    server = PrivateRedis(folder)
    try:
        yield server
    finally:
        redis_server.stop(folder)
