"""A small client for Redis: a socket, and hiredis to write and read what goes over it.

Every daemon waits on one for days. redis-py costs each process 19 MB of its own memory and 140 ms to import, two
thirds of an idle worker, for commands that no worker uses; hiredis, by the same people, writes and reads the protocol
in 1 MB (measured in ``tests/benchmarks``). What redis-py adds and a queue must not have is repeating a command by
itself: here a command is sent once, and a missing reply is said.

Belongs here: connections, replies, scripts. Does not belong here: what is asked, or starting a server
(``redis_server.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from forge_workers.errors import ConfigError, Transient

#: Longest wait for one answer, seconds, beyond what a blocking command asks the server to wait.
TIMEOUT_S = 5.0
_CHUNK = 65_536
#: First words of a server's refusal that no repeat can cure.
_LOGIN = ("NOAUTH", "WRONGPASS", "NOPERM")

Word = Any  # str, bytes, int or float


class Unanswered(Transient):
    """Redis gave no answer: it is away, or the command may or may not have been carried out."""


class Refused(Transient):
    """Redis answered with an error; ``code`` is its first word, such as ``OOM``, ``READONLY`` or ``NOSCRIPT``."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Redis says {message[:200]}")
        self.code = message.split(" ", 1)[0]


class Script:
    """A Lua script, sent whole only when the server does not know it.

    Attributes:
        text: The source.
        digest: The name under which the server keeps it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Wire:
    """The way to one Redis; may be used by several threads, each call on a connection of its own.

    Replies are ``bytes``, ``int``, ``None`` or lists of them; nothing is decoded.

    Args:
        url: ``unix:///path``, ``redis://user:password@host:port/db`` or ``rediss://...``; nothing is connected yet.
        timeout_s: Longest wait in seconds for an answer.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._address = _Address(url)
        self.timeout_s = timeout_s
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def call(self, *words: Word, wait_s: float = 0.0) -> Any:
        """Send one command and return its reply.

        Args:
            words: The command and its arguments.
            wait_s: Seconds that the command itself may block on the server.

        Raises:
            Unanswered: No reply came; the command may have been carried out.
            Refused: The server answered with an error.
            ConfigError: The server refuses this user or password.
        """
        connection = self._taken()
        try:
            connection.send(_packed(words))
            reply = connection.reply(self.timeout_s + wait_s)
        except BaseException:  # a reply may still be under way: nobody may read it as the answer to another command
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return _checked(reply)

    def run(self, script: Script, keys: Sequence[Word], *args: Word) -> Any:
        """Run ``script`` in one trip, in two when the server has forgotten it; raises as :meth:`call` does."""
        try:
            return self.call("EVALSHA", script.digest, len(keys), *keys, *args)
        except Refused as refused:
            if refused.code != "NOSCRIPT":
                raise
            return self.call("EVAL", script.text, len(keys), *keys, *args)

    def close(self) -> None:
        """Let idle connections go; the next call opens one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _taken(self) -> _Connection:
        """Return a connection that nobody else uses: an idle one whose server is still there, or a new one."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None and connection.stale():  # the server has gone since: nothing was sent yet
            connection.close()
            connection = None
        return connection or self._address.connect(self.timeout_s)


class _Connection:
    def __init__(self, sock: socket.socket, name: str, *, own_time_out: bool) -> None:
        self._own_time_out = own_time_out  # TLS reads on when the kernel ends a wait
        self._socket = sock
        self._name = name
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)
        self._timeout_s = 0.0
        self._wait_at_most(sock.gettimeout() or TIMEOUT_S)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Unanswered(f"Redis at {self._name} is gone: {error.strerror or error}") from None

    def reply(self, timeout_s: float) -> Any:
        try:
            self._wait_at_most(timeout_s)
            while (found := self._reader.gets()) is Ellipsis:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise Unanswered(f"Redis at {self._name} closed the connection")
                self._reader.feed(data)
        except (BlockingIOError, TimeoutError):
            raise Unanswered(f"Redis at {self._name} gave no answer within {timeout_s:g} s") from None
        except OSError as error:
            raise Unanswered(f"Redis at {self._name} is gone: {error.strerror or error}") from None
        except hiredis.ProtocolError:
            raise Unanswered(f"what answers at {self._name} is no Redis") from None
        return found

    def _wait_at_most(self, timeout_s: float) -> None:
        """Let the kernel end a wait: a time-out of Python's costs a further system call each time.

        Source: socket(7), SO_RCVTIMEO and SO_SNDTIMEO; the layout of ``struct timeval`` on Linux and macOS, 64 bits.
        """
        if self._own_time_out:
            self._socket.settimeout(timeout_s)
        elif timeout_s != self._timeout_s:
            limit = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._timeout_s = timeout_s

    def stale(self) -> bool:
        """Whether the server has closed it, or sent what nobody asked for."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class _Address:
    """A URL taken apart; its password is never shown."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            query = parse_qs(parts.query)
            self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 6379
            self._db = int((query.get("db") or [parts.path.strip("/") if parts.scheme != "unix" else ""])[0] or 0)
        except ValueError:
            raise ConfigError("redis_url cannot be used: write redis://host:port/0 or unix:///path") from None
        self._path = unquote(parts.path) if parts.scheme == "unix" else None
        self._tls = parts.scheme == "rediss"
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self.name = self._path or f"{self._host}:{self._port}"

    def connect(self, timeout_s: float) -> _Connection:
        """Open a connection and log in.

        Raises:
            Unanswered: Nothing listens there.
            ConfigError: The server refuses this user or password.
        """
        try:
            sock = self._open(timeout_s)
        except OSError as error:
            raise Unanswered(f"no Redis answers at {self.name}: {error.strerror or error}") from None
        try:
            connection = _Connection(sock, self.name, own_time_out=self._tls)
        except OSError as error:
            sock.close()
            raise Unanswered(f"Redis at {self.name} is gone: {error.strerror or error}") from None
        try:
            if self._password:
                login = (self._user, self._password) if self._user else (self._password,)
                self._greet(connection, timeout_s, "AUTH", *login)
            if self._db:
                self._greet(connection, timeout_s, "SELECT", self._db)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self, timeout_s: float) -> socket.socket:
        if self._path is not None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout_s)
            try:
                sock.connect(self._path)
            except BaseException:
                sock.close()
                raise
            return sock
        sock = socket.create_connection((self._host, self._port), timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls:
            import ssl  # noqa: PLC0415  3 MB that a socket on this machine does not need

            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self._host)
        return sock

    def _greet(self, connection: _Connection, timeout_s: float, *words: Word) -> None:
        connection.send(_packed(words))
        try:
            _checked(connection.reply(timeout_s))
        except Refused as refused:
            raise ConfigError(f"Redis at {self.name} refuses {words[0]!s}: correct FORGE_REDIS_URL") from refused


def _packed(words: tuple[Word, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(words)
    return packed


def _checked(reply: Any) -> Any:
    if isinstance(reply, hiredis.ReplyError):
        if str(reply).startswith(_LOGIN):
            raise ConfigError(f"Redis refuses this user or password ({str(reply)[:80]}): correct FORGE_REDIS_URL")
        raise Refused(str(reply))
    return reply
