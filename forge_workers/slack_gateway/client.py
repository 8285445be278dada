"""slack_sdk's client, told when a connection has ended.

slack_sdk 3.47 takes what a socket reads at its end, nothing, for "nothing yet": when Slack or a proxy ends a connection
without WebSocket's own good-bye it reads again at once, for four ping intervals on one whole core. Belongs here: that
one correction. Does not belong here: opening the connection (``service.py``).
"""

from __future__ import annotations

import errno
from typing import Any

from slack_sdk.socket_mode import SocketModeClient


class Client(SocketModeClient):
    """Raises at the end of a connection, on which slack_sdk opens another within one ping interval."""

    def connect(self) -> None:
        """Open a connection and watch for its end."""
        super().connect()
        session = self.current_session
        if session is not None and session.sock is not None and not isinstance(session.sock, _Ending):
            session.sock = _Ending(session.sock)  # type: ignore[assignment]  # it is read, written and closed, no more


class _Ending:
    """A socket whose end is an error."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def recv(self, size: int) -> bytes:
        """Read some bytes.

        Raises:
            ConnectionResetError: There will be none.
        """
        read: bytes = self._socket.recv(size)
        if not read:
            raise ConnectionResetError(errno.ECONNRESET, "Slack ended the connection without a word")
        return read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
