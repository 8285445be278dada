"""The app's manifest: a new app made from it may do what the code does, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from forge_workers.slack_gateway.commands import COMMAND, SUBCOMMANDS

ROOT = Path(__file__).parents[2]
#: The bot scope that each of slack_sdk's methods takes. Source: docs.slack.dev, "Web API methods".
SCOPES = {
    "auth_test": None,
    "chat_postMessage": "chat:write",
    "chat_update": "chat:write",
    "chat_postEphemeral": "chat:write",
    "conversations_history": "channels:history",
    "conversations_replies": "channels:history",
    "files_getUploadURLExternal": "files:write",
    "files_completeUploadExternal": "files:write",
    "files_delete": "files:write",
    "views_open": None,
    "apps_connections_open": None,
}


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The manifest, read."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "slack-app-manifest.yaml").read_text())
    return found


def test_the_manifest_asks_for_what_the_code_uses_and_no_more(manifest: dict[str, Any]) -> None:
    """Every Web API method in the source is listed here with its scope; commands takes one of its own."""
    source = "\n".join(path.read_text() for path in (ROOT / "forge_workers").rglob("*.py"))
    used = set(re.findall(r"\.((?:auth|chat|conversations|files|views|users|reactions|apps)_[a-zA-Z_]+)\b", source))

    assert used == set(SCOPES)
    needed = {SCOPES[method] for method in used} - {None} | {"commands"}
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == needed


def test_the_manifest_switches_on_what_the_gateway_hears(manifest: dict[str, Any]) -> None:
    """Socket Mode, buttons and the one command."""
    assert manifest["settings"]["socket_mode_enabled"] is True
    assert manifest["settings"]["interactivity"]["is_enabled"] is True
    assert [command["command"] for command in manifest["features"]["slash_commands"]] == [COMMAND]


def test_the_hint_names_built_in_subcommands(manifest: dict[str, Any]) -> None:
    """What Slack suggests while somebody types exists."""
    hint = manifest["features"]["slash_commands"][0]["usage_hint"]

    assert {part.split()[0] for part in hint.split(" | ")} <= set(SUBCOMMANDS)
