"""A Redis of another version: speaks the real protocol, tells its version, and knows no other command.

Belongs here: that one answer. Does not belong here: keeping anything, which the real engine does in every other test.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_of_version(folder: Path, version: str) -> Iterator[str]:
    """Run one that says it is ``version``; give its URL."""
    path = folder / "old.sock"
    info = f"# Server\r\nredis_version:{version}\r\nrole:master\r\nused_memory:1\r\nmaxmemory:0\r\n".encode()
    reply = b"$%d\r\n%b\r\n" % (len(info), info)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=_serve, args=(listener, reply), daemon=True).start()
        yield f"unix://{path}"


def _serve(listener: socket.socket, reply: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer, args=(client, reply), daemon=True).start()


def _answer(client: socket.socket, reply: bytes) -> None:
    with client, contextlib.suppress(OSError):
        while asked := client.recv(65_536):
            client.sendall(reply if b"INFO" in asked else b"-ERR unknown command\r\n")
