"""The guarded web pages: what another site's page or another name may not do, on Dagster's own application."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from forge_assets.webserver import Guard, listen, refusal
from forge_workers.errors import ConfigError
from tests.standins.forge import forge_in
from tests.test_ui import pages

PORT = 3000
HERE = f"http://127.0.0.1:{PORT}"
QUERY = {"query": "{ version }"}
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def dagsters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ASGIApp]:
    """Dagster's own application, without any guard."""
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), version=dg.__version__) as context,
    ):
        yield create_app_from_workspace_process_context(context)


def browser(app: ASGIApp, **headers: str) -> TestClient:
    """Return a client that sends these headers with every request."""
    return TestClient(app, base_url=HERE, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": HERE, "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Host": f"localhost:{PORT}", "Origin": f"http://localhost:{PORT}"}, 200),
        ({"Origin": EVIL}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 403),
        ({"Origin": f"https://127.0.0.1:{PORT}"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 400),
        ({"Host": f"evil.example:{PORT}"}, 400),
        ({"Host": "127.0.0.1"}, 400),
        ({"Host": f"127.0.0.1:{PORT}.evil.example"}, 400),
    ],
)
def test_graphql_is_for_this_machines_own_pages(dagsters: ASGIApp, headers: dict[str, str], status: int) -> None:
    """A foreign Host or Origin is refused with one plain line; unguarded, Dagster answers every one of them."""
    guarded = browser(Guard(dagsters, PORT), **headers).post("/graphql", json=QUERY)
    unguarded = browser(dagsters, **headers).post("/graphql", json=QUERY)

    assert guarded.status_code == status, guarded.text
    assert unguarded.status_code == 200, "the control: without the guard it is answered"
    if status != 200:
        assert guarded.headers["content-type"].startswith("text/plain")
        assert guarded.text.count("\n") == 1
        assert "evil" not in guarded.text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/server_info", {}, 200),
        ("/server_info", {"Host": "evil.example"}, 400),
        ("/server_info", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ("/server_info", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ("/graphql?query={version}", {}, 405),
        ("/graphql/?query={version}", {}, 405),
        ("/graphql", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 403),
    ],
)
def test_a_link_may_be_followed_and_an_image_starts_nothing(
    dagsters: ASGIApp, path: str, headers: dict[str, str], status: int
) -> None:
    """A link in Slack opens a page; GraphQL in an address, which Dagster would execute for an image, is refused."""
    answer = browser(Guard(dagsters, PORT), **headers).get(path, follow_redirects=False)

    assert answer.status_code == status
    assert status != 200 or answer.headers["x-frame-options"] == "DENY"


def test_unguarded_an_images_address_is_executed(dagsters: ASGIApp) -> None:
    """The control: this is why GraphQL by GET is refused."""
    answer = browser(dagsters, Sec_Fetch_Site="cross-site").get("/graphql?query={version}")

    assert answer.json()["data"]["version"] == dg.__version__


@pytest.mark.parametrize(("origin", "opens"), [(HERE, True), (EVIL, False), ("null", False)])
def test_a_websocket_opens_for_this_machines_own_pages(dagsters: ASGIApp, origin: str, opens: bool) -> None:
    """Browsers let any page open one anywhere: only its Origin tells whose it is. Unguarded, every one opens."""
    for app, expected in ((Guard(dagsters, PORT), opens), (dagsters, True)):
        try:
            with browser(app, Origin=origin).websocket_connect(f"ws://127.0.0.1:{PORT}/graphql", ["graphql-ws"]):
                opened = True
        except WebSocketDisconnect:
            opened = False
        assert opened is expected


def test_a_request_without_or_with_two_hosts_is_refused() -> None:
    """HTTP/1.1 allows neither, and what follows must not depend on which one is read."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
    two = [(b"host", b"127.0.0.1:3000"), (b"host", b"evil.example")]

    assert (refusal(scope, PORT) or (0, ""))[0] == 400
    assert (refusal({**scope, "headers": two}, PORT) or (0, ""))[0] == 400
    assert refusal({**scope, "headers": two[:1]}, PORT) is None


def test_a_port_that_another_has_is_one_line() -> None:
    """Also one that is bound with an option that lets two programs share it."""
    with listen(_free()) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} cannot be used \(Address already in use\): set dagster"):
            listen(port)


def _free() -> int:
    with listen(0) as found:
        return int(found.getsockname()[1])


@pytest.mark.slow
def test_the_running_pages_refuse_as_well(tmp_path: Path) -> None:
    """As ``forge ui`` serves them, over a real connection; a second ``forge ui`` only says where they are."""
    with forge_in(tmp_path) as forge, pages(forge) as (port, _):
        own = f"http://127.0.0.1:{port}"
        assert asked(port, "POST", Origin=own) == 200
        assert asked(port, "POST") == 200
        assert asked(port, "POST", Origin=EVIL) == 403
        assert asked(port, "POST", Host="evil.example") == 400
        assert asked(port, "GET", Host=f"evil.example:{port}") == 400
        assert websocket(port, own) == 101
        assert websocket(port, EVIL) == 403
        second = forge.run("ui", "--port", str(port))
        assert (second.returncode, second.stderr) == (0, f"The pages are up already: {own}/asset-groups\n")


def asked(port: int, method: str, **headers: str) -> int:
    """Return the status that GraphQL, or by GET a page, answers."""
    body = json.dumps(QUERY).encode() if method == "POST" else None
    headers["Content-Type"] = "application/json"
    path = "graphql" if body else "server_info"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310  the address is written above
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def websocket(port: int, origin: str) -> int:
    """Return the status with which a WebSocket's opening is answered."""
    words = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Origin: {origin}"]
    words += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: graphql-ws"]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        lines = ["GET /graphql HTTP/1.1", f"Host: 127.0.0.1:{port}", *words, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.recv(4_096).split()[1])
