"""The connection to Slack over Socket Mode: it is opened from here, so no public address is needed.

slack_sdk's own client keeps it: pings, and a new connection when Slack closes or refreshes one. Belongs here: who this
app is, opening the connection and ending it. Does not belong here: what comes over it (``gateway.py``).
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from forge_workers.errors import BadArgs, ConfigError, Transient
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.private import locked
from forge_workers.redis_server import url_of
from forge_workers.settings import Settings
from forge_workers.slack_gateway.client import Client
from forge_workers.slack_gateway.gateway import Gateway
from forge_workers.slack_gateway.people import Here
from forge_workers.wire import Wire

_LOG = logging.getLogger(__name__)
#: Seconds between two attempts to reach Slack at the start: doubled each time, up to the second number.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
#: Seconds between two pings, and until a connection that ended is opened again: slack_sdk looks that often. After four
#: pings without an answer it takes a connection for dead.
_PING_S = 2.0
#: Longest waits at the end, seconds: for acts at work, and for the client's threads.
_ACTS_S, _CLIENT_S = 4.0, 2.0


class Stop:
    """A wish to end, which a signal handler may utter: unlike ``threading.Event`` it takes no lock."""

    def __init__(self) -> None:
        self._heard, self._said = os.pipe()

    def set(self) -> None:
        """Wish it."""
        os.write(self._said, b".")

    def wait(self, longest_s: float | None = None) -> bool:
        """Wait for the wish, at most so many seconds, and say whether it was uttered."""
        return bool(select.select([self._heard], [], [], longest_s)[0])

    def is_set(self) -> bool:
        """Whether it was uttered."""
        return self.wait(0.0)


def lacking(settings: Settings) -> str:
    """Say which setting is missing for the gateway to run, "" for none."""
    slack = settings.slack
    needed = {"slack.token": slack.token, "slack.app_token": slack.app_token, "slack.channel": slack.channel}
    return " and ".join(name for name, value in needed.items() if value is None)


def serve(settings: Settings, stop: Stop, make: Callable[[Settings, Here, Wire], Gateway] = Gateway) -> None:
    """Hear and act until ``stop`` is set.

    Args:
        settings: The user's settings, with tokens and channel set.
        stop: Ends it within seconds.
        make: Makes what hears and acts.

    Raises:
        BadArgs: Another gateway runs for this home.
        ConfigError: The URL of Redis cannot be used.
    """
    with _lock_file(settings.home) as lock:
        if not locked(lock):
            raise BadArgs(f"another slack_gateway runs for {settings.home}: stop it first")
        web = _web(settings)
        here = _here(settings, web, stop)
        if here is None:
            return
        wire = Wire(url_of(settings))
        gateway = make(settings, here, wire)
        _resume(gateway)
        client = _client(settings, web)
        client.socket_mode_request_listeners.append(gateway.hear)
        # A thread, because slack_sdk sleeps as long as Slack asks it to, and a stop shall not wait for that.
        threading.Thread(target=_connect, args=(client, stop), daemon=True).start()
        stop.wait()
        _end(client, gateway)
        wire.close()


def _resume(gateway: Gateway) -> None:
    """Take up what a kill left behind; with a ledger that cannot be read, each press is answered with that."""
    try:
        event(_LOG, "slack.resumed", asks=gateway.resume())
    except Transient as error:
        event(_LOG, "slack.not_resumed", logging.ERROR, why=error)


def _lock_file(home: Path) -> IO[str]:
    path = home / "spool" / "slack_gateway.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.open("a", encoding="utf-8")


def _web(settings: Settings) -> WebClient:
    token = settings.slack.token.get_secret_value() if settings.slack.token else None
    return WebClient(token=token, base_url=f"{settings.slack.api_url}/", timeout=int(max(1, settings.slack.timeout_s)))


def _client(settings: Settings, web: WebClient) -> Client:
    token = settings.slack.app_token
    if token is None:
        raise ConfigError("slack.app_token is not set")
    return Client(app_token=token.get_secret_value(), web_client=web, ping_interval=_PING_S)


def app_of(app_token: str) -> str:
    """Return the id of the app that an app-level token is for: ``xapp-1-A0123456789-...``."""
    return app_token.split("-")[2]


def _here(settings: Settings, web: WebClient, stop: Stop) -> Here | None:
    """Ask Slack who the bot is until it answers; None when told to stop first."""
    slack, pause_s = settings.slack, _PAUSE_S
    while not stop.is_set():
        try:
            me = web.auth_test()
            token = slack.app_token.get_secret_value() if slack.app_token else ""
            return Here(app_of(token), str(me["team_id"]), str(me["user_id"]), slack.channel or "")
        except (SlackClientError, OSError, HTTPException, ValueError, KeyError) as error:
            event(_LOG, "slack.away", logging.WARNING, why=_why(error), pause_s=pause_s)
        stop.wait(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    return None


def _connect(client: Client, stop: Stop) -> None:
    """Open the first connection; later ones are the client's own business."""
    pause_s = _PAUSE_S
    while not stop.is_set():
        try:
            client.connect()
        except (SlackClientError, OSError, HTTPException, ValueError, KeyError) as error:
            event(_LOG, "slack.away", logging.WARNING, why=_why(error), pause_s=pause_s)
        else:
            event(_LOG, "slack.connected")
            return
        stop.wait(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _why(error: Exception) -> str:
    code = error.response.get("error") if isinstance(error, SlackApiError) else ""
    return plain(f"{type(error).__name__} {code or ''}".strip(), 100)


def _end(client: Client, gateway: Gateway) -> None:
    """Take nothing more, let acts at work end, and leave the client's threads behind where they do not."""
    client.logger.setLevel(logging.CRITICAL)  # what two of its threads say of one closed socket
    client.auto_reconnect_enabled = client.default_auto_reconnect_enabled = False
    closing = threading.Thread(target=client.close, daemon=True)
    closing.start()
    gateway.stop(_ACTS_S)
    closing.join(_CLIENT_S)
    event(_LOG, "slack.stopped")
