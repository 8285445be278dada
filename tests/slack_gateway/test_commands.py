"""The slash command: what is typed is data."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.socket_mode.request import SocketModeRequest

from forge_workers.catalog import WORKERS
from forge_workers.report import Report
from forge_workers.settings_sections import SlackMay
from forge_workers.slack_gateway.answers import blocks_of
from forge_workers.slack_gateway.commands import SUBCOMMANDS
from forge_workers.slack_gateway.envelope import MOST_COMMAND
from forge_workers.store import NightStore
from tests.briefing import examples, parts
from tests.slack_gateway.scenes import ALICE, BOB, NIGHT, Desk, desk
from tests.standins.slack import broken_limit
from tests.standins.slack_socket import typed


def test_every_worker_that_takes_arguments_has_a_subcommand() -> None:
    """A later row of the catalogue appears by itself; only the one that posts what it is given does not."""
    assert {name for name, row in WORKERS.items() if row.args} - {*SUBCOMMANDS} == {"slack_notifier"}
    assert {"status", "briefing", "nights", "jobs", "review", "help"} <= {*SUBCOMMANDS}


@pytest.mark.parametrize("text", ["", "help", "HELP", "  help  "])
def test_help_lists_what_this_person_may(at_desk: Desk, text: str) -> None:
    """Who may do everything sees everything; others see what is theirs, and that there is more."""
    at_desk.sent(typed(text, by=ALICE), "slash_commands")
    assert all(f"/forge {name}" in at_desk.said() for name in SUBCOMMANDS)

    at_desk.sent(typed(text, by=BOB), "slash_commands")
    assert "/forge status" in at_desk.said()
    assert "/forge review" not in at_desk.said()
    assert "slack.may" in at_desk.said()


def test_nights_tell_what_became_of_them(at_desk: Desk) -> None:
    """Newest first, how many steps are in which state."""
    at_desk.sent(typed("nights"), "slash_commands")

    assert at_desk.said().splitlines()[0] == f"{NIGHT} · 2 done, 7 missing"


def test_a_briefing_is_told_in_short(at_desk: Desk) -> None:
    """Verdict, what needs a person, and how many findings."""
    example = parts.briefing(examples.busy())
    data = example.model_dump(mode="json")
    NightStore(at_desk.home / "nights").save(Report(asset="morning_briefing", night=NIGHT, headline="RED", data=data))

    at_desk.sent(typed(f"briefing {NIGHT}"), "slash_commands")

    first, *rest = html.unescape(at_desk.said()).splitlines()
    assert first == f"{NIGHT} · {example.verdict.level} · {example.verdict.sentence}"
    assert example.needs_you[0].text in rest[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("briefing 2026-11-20", "there is no briefing of 2026-11-20"),
        ("briefing ../../etc/passwd", "is not a day"),
        ("briefing 2026-11-23 now", "2 words are too many"),
        ("explode", "there is no /forge explode"),
        ("<script>alert(1)</script>", "there is no /forge &lt;script&gt;alert(1)&lt;/script&gt;"),
        ("'open", "a quotation mark is open"),
        ("; rm -rf / &", "there is no /forge ;"),
        ("$(reboot) `reboot`", "there is no /forge $(reboot)"),
        ("status " * 30, "words follow /forge"),
        ("review", "say which: /forge review REPOSITORY"),
        ("\u202estatus", "there is no /forge status"),
    ],
)
def test_what_is_no_command_is_refused_in_one_line(at_desk: Desk, text: str, why: str) -> None:
    """The line says what to write, and quotes nothing that is markup."""
    line = at_desk.sent(typed(text), "slash_commands")

    assert line["came"] == "refused"
    assert why in at_desk.said()
    assert "\n" not in at_desk.said()


def test_a_secret_that_was_typed_is_not_recorded(at_desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal quotes what it does not know; what looks like a secret leaves neither in the record nor in the log."""
    caplog.set_level("INFO")

    for key in ("AKIA" + "IOSFODNN7EXAMPLF", "xoxb-" + "2222-3333-" + "aB3dE6gH9" * 6):
        assert at_desk.sent(typed(key), "slash_commands")["came"] == "refused"
        assert key[:30].lower() not in f"{at_desk.record()} {at_desk.said()} {caplog.text}".lower()


@pytest.mark.parametrize("char", ["*", "<", "&", "<!channel>", "😀", "`", "\n"])
def test_a_command_of_3000_characters_of_markup_gets_one_clear_line(at_desk: Desk, char: str) -> None:
    """It is refused in the acknowledgement itself, with both numbers; nothing of it is kept or shown."""
    text = (char * 3_000)[:3_000]

    ack = at_desk.send("slash_commands", typed(text))

    said = ack["payload"]["text"]
    assert "characters, at most 500 are taken" in said
    assert said.count("\n") == 0
    assert len(said) < 200
    assert char * 50 not in json.dumps(at_desk.record())
    assert MOST_COMMAND == 500


@pytest.mark.parametrize("quotes", ["\u201c\u201d", "\u201e\u201c", "\u2018\u2019", '""', "''"])
def test_quotation_marks_of_any_keyboard_hold_words_together(at_desk: Desk, quotes: str) -> None:
    """Slack's clients make curly ones of straight ones."""
    at_desk.sent(typed(f"briefing {quotes[0]}2026-11-20{quotes[1]}"), "slash_commands")

    assert at_desk.said() == "there is no briefing of 2026-11-20"


def test_a_command_delivered_twice_is_answered_once(at_desk: Desk) -> None:
    """It carries a name of its own, as a press does."""
    payload = typed("nights")

    at_desk.sent(payload, "slash_commands")
    assert at_desk.sent(payload, "slash_commands")["came"] == "repeated"
    assert len(at_desk.web.whispers) == 1


@pytest.mark.parametrize(
    "changed", [{"channel_id": "C0OTHER"}, {"team_id": "T0OTHER"}, {"api_app_id": "A0OTHER"}, {"command": "/other"}]
)
def test_a_command_from_elsewhere_is_refused(at_desk: Desk, changed: dict[str, str]) -> None:
    """Forge answers in the channel of its briefing only, and to its own command."""
    assert at_desk.sent(typed("nights", **changed), "slash_commands")["came"] == "refused"
    assert NIGHT not in at_desk.said()


def test_a_long_answer_keeps_slacks_limits(tmp_path: Path) -> None:
    """However many lines and however much escaping, blocks stay within bounds and the rest is counted."""
    text = "\n".join("&<>" * 130 for _ in range(200))
    blocks = [block.to_dict() for block in blocks_of(text)]

    assert broken_limit({"text": "x", "blocks": blocks}) is None
    assert "more lines" in blocks[-1]["text"]["text"]


@pytest.mark.parametrize("kind", ["interactive", "slash_commands", "events_api", "whatever"])
@pytest.mark.parametrize(
    "payload",
    [
        {}, {"type": "block_actions"}, {"type": "block_actions", "actions": "x"}, {"type": "view_submission"},
        {"type": "view_submission", "view": []}, {"type": "shortcut"}, {"text": 7, "command": None},
        {"type": "block_actions", "actions": [{}, {}], "user": 5}, {"user_id": "U1", "trigger_id": "x" * 9_000},
    ],
)  # fmt: skip
def test_what_slack_never_sends_is_acknowledged_and_does_nothing(
    at_desk: Desk, kind: str, payload: dict[str, Any]
) -> None:
    """Whatever comes, there is an acknowledgement, no answer is posted, and the gateway goes on."""
    at_desk.gateway.hear(at_desk.ear, SocketModeRequest(kind, "e-1", payload))
    at_desk.idle()

    assert [ack["envelope_id"] for ack in at_desk.ear.acks] == ["e-1"]
    assert at_desk.web.whispers == []
    assert {line["came"] for line in at_desk.record()} <= {"refused"}


def test_everyone_may_read_only_as_far_as_the_settings_say(tmp_path: Path) -> None:
    """The right to read can be taken back too."""
    with desk(tmp_path, may=SlackMay(read=(ALICE,))) as running:
        assert running.sent(typed("nights", by=BOB), "slash_commands")["came"] == "refused"
        assert running.sent(typed("nights", by=ALICE), "slash_commands")["came"] == "done"
