"""What the doctor asks of Slack: whether the app-level token opens a connection.

Belongs here: that one look. Does not belong here: the bot token, which every briefing puts to the test.
"""

from __future__ import annotations

import re
from http.client import HTTPException

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from forge_workers.health.checks import Status
from forge_workers.health.probe import Reading, Scene

#: Longest wait for Slack, seconds.
ANSWER_S = 5


def slack_buttons(scene: Scene) -> Reading:
    """Ask Slack for the address of a connection, which opens none and changes nothing."""
    slack = scene.tools.settings.slack
    if slack.app_token is None:
        return Reading(None, "off: slack.app_token is not set, so briefings have no buttons", Status.OK)
    lacking = [name for name in ("token", "channel") if getattr(slack, name) is None]
    if lacking:
        return Reading(None, f"slack.app_token needs slack.{' and slack.'.join(lacking)} too", Status.WARN)
    web = WebClient(base_url=f"{slack.api_url}/", timeout=ANSWER_S)
    try:
        web.apps_connections_open(app_token=slack.app_token.get_secret_value())
    except SlackApiError as error:
        code = str(error.response.get("error"))
        if not re.fullmatch(r"[a-z0-9_]{1,60}", code):
            return Reading(None, "Slack gave no usable answer", Status.WARN)
        advice = "make one with connections:write and switch Socket Mode on"
        return Reading(None, f"Slack does not accept slack.app_token ({code}): {advice}", Status.FAIL)
    except (SlackClientError, OSError, HTTPException, ValueError) as error:
        return Reading(None, f"Slack gave no answer ({type(error).__name__})", Status.WARN)
    idle = [name for name in ("hide", "work") if not getattr(slack.may, name)]
    nobody = f"; nobody has slack.may.{' or slack.may.'.join(idle)} yet" if idle else ""
    return Reading(None, f"Slack accepts the app-level token{nobody}", Status.OK)
