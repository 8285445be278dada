"""What the doctor says of Slack's buttons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from forge_workers.health.checks import Status
from forge_workers.health.probe import Reading, Scene
from forge_workers.health.slack_facts import slack_buttons
from forge_workers.settings_sections import Slack, SlackMay
from tests.health.scenes import NIGHT, tools
from tests.standins.slack import CHANNEL, TOKEN, Fault, SlackServer, slack_server
from tests.standins.slack_socket import APP_TOKEN, slack_socket


@pytest.fixture
def server() -> Iterator[SlackServer]:
    """A stand-in with Socket Mode switched on."""
    with slack_server() as web, slack_socket(web):
        yield web


def looked(home: Path, **slack: Any) -> Reading:
    """Look with these settings of Slack."""
    return slack_buttons(Scene(tools=tools(home, slack=Slack(**slack)), night=NIGHT, now=0.0))


def whole(server: SlackServer, **more: Any) -> dict[str, Any]:
    """Return settings with everything set."""
    tokens = {"token": SecretStr(TOKEN), "app_token": SecretStr(APP_TOKEN)}
    return {**tokens, "channel": CHANNEL, "api_url": server.url, **more}


def test_a_token_that_opens_a_connection_is_fine(server: SlackServer, tmp_path: Path) -> None:
    """It is also said that nobody may give work yet."""
    found = looked(tmp_path, **whole(server, may=SlackMay(hide=("U0ALICE",))))

    assert found.status is Status.OK
    assert found.detail == "Slack accepts the app-level token; nobody has slack.may.work yet"


def test_a_token_that_slack_refuses_fails(server: SlackServer, tmp_path: Path) -> None:
    """The line says what to do, and holds no token."""
    wrong = SecretStr(APP_TOKEN + "x")

    found = looked(tmp_path, **whole(server, app_token=wrong))

    assert found.status is Status.FAIL
    assert "connections:write" in found.detail
    assert wrong.get_secret_value() not in found.detail


def test_a_slack_that_is_away_is_a_warning(server: SlackServer, tmp_path: Path) -> None:
    """Nobody knows then."""
    server.faults.append(Fault("500", "*", times=9))

    assert looked(tmp_path, **whole(server)).status is Status.WARN


def test_half_set_settings_are_named(tmp_path: Path) -> None:
    """Without a token buttons are off, which is fine; with only that one, something is missing."""
    assert looked(tmp_path).status is Status.OK
    assert looked(tmp_path, app_token=SecretStr(APP_TOKEN)).detail == (
        "slack.app_token needs slack.token and slack.channel too"
    )
