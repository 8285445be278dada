"""GitHub's REST API over a real socket: what the pull request digest asks, in the real wire format.

Source: docs.github.com/en/rest, versions of 2022-11-28: "Users", "Pulls", "Reviews", "Using pagination", "Rate limits".
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standins.serving import StandInServer

#: The token that the stand-in takes.
TOKEN = "ghp_standInStandInStandInStandInStandIn1"


@dataclass
class Answer:
    """One answer on the wire: status, headers and a body, sent as JSON unless it is bytes."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class GitHub:
    """One GitHub that a test fills.

    Attributes:
        url: Address for ``github.api_url``.
        reader: Login of the token's owner.
        pulls: Pull requests by ``owner/name``, made by :func:`pull`.
        reviews: Reviews by ``owner/name#number``: (login, state), oldest first.
        faults: Answers instead of the true ones, by path; each is asked anew.
        asked: Every request so far: path and query.
    """

    url: str = ""
    reader: str = "ada"
    pulls: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reviews: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    faults: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, target: str, authorization: str) -> Answer:
        """Answer one request."""
        self.asked.append(target)
        parts = urlsplit(target)
        if parts.path in self.faults:
            return self.faults[parts.path]()
        if authorization not in {f"token {TOKEN}", f"Bearer {TOKEN}"}:
            return Answer(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        if parts.path == "/user":
            return Answer(200, user(self.reader))
        match parts.path.strip("/").split("/"):
            case ["repos", owner, name, "pulls"] if f"{owner}/{name}" in self.pulls:
                return self._page(self._listed(f"{owner}/{name}", parts.query), parts.path, parts.query)
            case ["repos", owner, name, "pulls", number, "reviews"] if f"{owner}/{name}" in self.pulls:
                reviews = self.reviews.get(f"{owner}/{name}#{number}", [])
                rows = [
                    {"id": n, "user": user(who), "state": state, "body": ""} for n, (who, state) in enumerate(reviews)
                ]
                return self._page(rows, parts.path, parts.query)
        return Answer(
            404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}
        )

    def _listed(self, name: str, query: str) -> list[dict[str, Any]]:
        wanted = {key: values[0] for key, values in parse_qs(query).items()}
        here = f"{self.url}/repos/{name}/pulls"
        rows = [row | {"url": f"{here}/{row['number']}"} for row in self.pulls[name] if row["state"] == wanted["state"]]
        rows.sort(key=lambda row: row[f"{wanted['sort']}_at"], reverse=wanted["direction"] == "desc")
        return rows

    def _page(self, rows: list[dict[str, Any]], path: str, query: str) -> Answer:
        wanted = {key: values[0] for key, values in parse_qs(query).items()}
        size, page = int(wanted.get("per_page", 30)), int(wanted.get("page", 1))
        rest = "&".join(f"{key}={value}" for key, value in wanted.items() if key != "page")
        links = [f'<{self.url}{path}?{rest}&page={page + 1}>; rel="next"'] if len(rows) > page * size else []
        return Answer(200, rows[(page - 1) * size : page * size], {"Link": ", ".join(links)} if links else {})


def user(login: str) -> dict[str, Any]:
    """Return a user as GitHub writes one."""
    return {"login": login, "id": sum(login.encode()), "type": "User", "url": f"https://api.github.com/users/{login}"}


def pull(
    number: int,
    title: str,
    *,
    author: str = "grace",
    opened_at: float,
    touched_at: float | None = None,
    merged_at: float | None = None,
    state: str | None = None,
    draft: bool = False,
    reviewers: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return a pull request as GitHub lists one; it is closed when it was merged."""
    moment = touched_at or merged_at or opened_at
    return {
        "html_url": f"https://evil.example/{number}",
        "id": number,
        "number": number,
        "state": state or ("closed" if merged_at else "open"),
        "title": title,
        "user": user(author) if author else None,
        "draft": draft,
        "created_at": _written(opened_at),
        "updated_at": _written(moment),
        "closed_at": _written(merged_at),
        "merged_at": _written(merged_at),
        "requested_reviewers": [user(login) for login in reviewers],
        "requested_teams": [],
    }


def rate_limited() -> Answer:
    """Answer as GitHub does when the hour's requests are spent."""
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1772413200"}
    return Answer(403, {"message": "API rate limit exceeded for user ID 1."}, headers)


@contextlib.contextmanager
def github() -> Iterator[GitHub]:
    """Run a stand-in until the end of the block."""
    stand_in = GitHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = stand_in.answer(self.path, self.headers.get("Authorization", ""))
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            limits = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999"}
            head = {"Content-Type": "application/json; charset=utf-8", **limits, **answer.headers}
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(answer.status)
                for key, value in {**head, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = StandInServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _written(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
