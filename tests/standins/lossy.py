"""A relay in front of a Redis socket that delays or loses replies, as a bad moment of a network would."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class LossyRelay:
    """Passes bytes to and from a server.

    Attributes:
        path: The socket that clients connect to.
        delay_s: Seconds by which each reply comes late.
        lose: How many of the next replies to ``watch`` are lost, connection and all, after the server did the work.
        watch: A request is counted when it holds these bytes.
    """

    def __init__(self, path: Path, server: Path) -> None:
        self.path = path
        self.delay_s = 0.0
        self.lose = 0
        self.watch = b"EVALSHA"
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()
        self.path.unlink()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(str(self._server))
            while request := client.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if not reply:  # the server is gone, and so must the connection be
                    return
                if self.lose > 0 and self.watch in request:
                    self.lose -= 1
                    return
                time.sleep(self.delay_s)
                client.sendall(reply)


@contextlib.contextmanager
def lossy_relay(path: Path, server: Path) -> Iterator[LossyRelay]:
    """Run a relay at ``path`` in front of ``server``."""
    relay = LossyRelay(path, server)
    try:
        yield relay
    finally:
        relay.close()
