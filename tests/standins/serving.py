"""The HTTP server under every stand-in.

A client may leave between the moment its connection is seen and the moment it is let in. A blocking ``accept`` then
waits for the next client, for ever, and with it whoever shuts the server down.
"""

from __future__ import annotations

from http.server import ThreadingHTTPServer

#: Longest wait for a client that has left already, in seconds.
_LEFT_S = 0.2


class StandInServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own, and can always be shut down."""

    daemon_threads = True

    def server_activate(self) -> None:
        """Listen, and never wait long for one client."""
        super().server_activate()
        self.socket.settimeout(_LEFT_S)
