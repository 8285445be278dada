"""Dagster's web pages on loopback, for this machine's browser alone.

A page of any other site may send requests to 127.0.0.1, and a name it owns may come to mean 127.0.0.1 after it was
loaded. Dagster's own server takes such a request and launches runs for it. This one refuses what names another host,
what another site's page sends, and GraphQL by GET, which an image's address could carry. Another user of this machine
is not kept out: loopback is open to all of them. Belongs here: that guard, and serving Dagster's application behind it.
Does not belong here: what the pages show.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forge_workers.errors import ConfigError

#: Names of this machine's loopback, as a browser sends them.
_NAMES = ("127.0.0.1", "localhost")
#: Code with which a WebSocket is closed for what its opener may not do. Source: RFC 6455, 7.4.1.
_POLICY = 1_008
#: As dagster-webserver sets them for a database that others use too: milliseconds, seconds, connections.
_STATEMENT_MS, _RECYCLE_S, _OVERFLOW = 15_000, 3_600, 20
#: Longest wait in seconds for pages that stay open when the server is told to stop.
_CLOSE_S = 3


def refusal(scope: Scope, port: int) -> tuple[int, str] | None:
    """Decide whether a request is refused; return a status and one plain line, or None to let it pass. Pure.

    1. It names another host than this machine's loopback at this port: 400.
    2. A page of another site sent it, as its Origin says: 403.
    3. The same, as Sec-Fetch-Site says, unless it only follows a link to a page: 403.
    4. It carries GraphQL in its address: 405.

    Args:
        scope: The request as ASGI gives it.
        port: Where this server listens.
    """
    headers = Headers(scope=scope)
    hosts = {f"{name}:{port}" for name in _NAMES} | (set(_NAMES) if port == 80 else set())  # noqa: PLR2004  HTTP's own
    if len(headers.getlist("host")) != 1 or headers["host"].lower() not in hosts:
        return 400, f"Forge's pages are at http://127.0.0.1:{port} and answer to no other name."  # 1
    origins = {f"http://{host}" for host in hosts}
    if any(origin.lower() not in origins for origin in headers.getlist("origin")):
        return 403, "This request comes from another site's page."  # 2
    path, method = scope["path"], scope.get("method", "GET")
    is_page = scope["type"] == "http" and method in {"GET", "HEAD"} and path.rstrip("/") != "/graphql"
    follows_link = is_page and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not follows_link:
        return 403, "This request comes from another site's page."  # 3
    if scope["type"] == "http" and method != "POST" and "query" in QueryParams(scope.get("query_string", b"")):
        by_graphql = path.rstrip("/") == "/graphql"
        return (405, "Send GraphQL by POST.") if by_graphql else None  # 4
    return None


class Guard:
    """ASGI middleware that lets through only what :func:`refusal` does not refuse, and lets no other page frame this.

    Args:
        app: What is guarded.
        port: Where the server listens.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refused = refusal(scope, self._port)
        if refused is None:
            await self._app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY})
        else:
            status, why = refused
            await PlainTextResponse(why + "\n", status)(scope, receive, send)


def _unframed(send: Send) -> Send:
    """Add to each answer that no other page may frame it and have it clicked unseen."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"x-frame-options", b"DENY")]}
        await send(message)

    return sending


def listen(port: int) -> socket.socket:
    """Take ``port`` on loopback.

    Raises:
        ConfigError: It is taken or may not be used.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(128)  # two programs may bind a port, only one may listen
    except OSError as error:
        found.close()
        raise ConfigError(f"port {port} cannot be used ({error.strerror}): set dagster.port to another") from None
    return found


def serve(instance: dg.DagsterInstance, workspace: Path, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve Dagster's pages behind the guard until SIGINT or SIGTERM.

    Args:
        instance: What they show.
        workspace: The file that says where the code server is.
        listening: As :func:`listen` gives it.
        ready: Called when requests are answered.
    """
    instance.optimize_for_webserver(_STATEMENT_MS, _RECYCLE_S, _OVERFLOW)
    target = WorkspaceFileTarget([str(workspace)])
    with WorkspaceProcessContext(instance, target, version=__version__, read_only=False) as context:
        app = create_app_from_workspace_process_context(context, "", None)
        guarded = Guard(app, listening.getsockname()[1])
        config = uvicorn.Config(
            guarded,
            log_level="warning",
            proxy_headers=False,  # nobody stands between a browser and loopback
            server_header=False,
            timeout_graceful_shutdown=_CLOSE_S,
        )
        _Server(config, ready).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that tells when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets=sockets)
        self._ready()
