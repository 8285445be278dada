"""Editions go out once and in order: nights oldest first, and of one night the latest only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

from forge_workers.briefing import slack
from forge_workers.briefing.deliver import Delivery, deliver
from forge_workers.briefing.slack import Message
from tests.briefing.examples import busy
from tests.briefing.parts import NIGHT, briefing
from tests.briefing.test_deliver import CALM, Clock, chosen, posted_once, spooled
from tests.standins.slack import CHANNEL, TOKEN, Fault, SlackServer, slack_server

#: Deliveries over real sockets: together more than a second.
pytestmark = pytest.mark.slow

TOLD = briefing(busy())
FIRST = slack.render(TOLD.model_copy(update={"at_work": ("code_review",)}))
SECOND = slack.render(TOLD.model_copy(update={"edition": 2, "made_at": TOLD.made_at + 1_800}))
#: When the two editions were composed.
AT_SEVEN, AT_HALF_PAST = TOLD.made_at, TOLD.made_at + 1_800


@pytest.fixture
def server() -> Iterator[SlackServer]:
    """A stand-in for Slack."""
    with slack_server() as running:
        yield running


def send(server: SlackServer, home: Path, messages: tuple[Message, ...], at: float, night: str = NIGHT) -> Delivery:
    """Deliver an edition composed at ``at``."""
    return deliver(messages, night, chosen(home, server.url), made_at=at, sleep=Clock().sleep)


def posted(server: SlackServer) -> list[str]:
    """Return the nights in the order in which their first messages came."""
    marks = [m["metadata"]["event_payload"] for m in server.messages if "thread_ts" not in m]
    return [mark["night"] for mark in marks]


def second_stands(server: SlackServer) -> bool:
    """The check of these tests: the night's first message tells the second edition."""
    return str(server.messages[0]["text"]).startswith("Second edition, ")


def test_a_second_edition_takes_the_place_of_the_first(server: SlackServer, tmp_path: Path) -> None:
    """The same messages tell more; nothing is posted twice, and the mark stands at the top."""
    send(server, tmp_path, FIRST, AT_SEVEN)
    send(server, tmp_path, SECOND, AT_HALF_PAST)

    assert posted_once(server, max(len(FIRST), len(SECOND)))
    assert second_stands(server)


def test_an_edition_that_waits_is_superseded_by_the_next(server: SlackServer, tmp_path: Path) -> None:
    """Slack was away for the first: only the second is ever sent."""
    server.faults.append(Fault("500", times=1_000))
    send(server, tmp_path, FIRST, AT_SEVEN)
    server.faults.clear()
    send(server, tmp_path, SECOND, AT_HALF_PAST)

    assert posted_once(server, len(SECOND))
    posts = [sent["text"] for method, sent in server.requests if method.startswith("chat.")][-len(SECOND) :]
    assert posts[0].startswith("Second edition, ")


@pytest.mark.parametrize("away", [True, False])
def test_an_edition_composed_earlier_never_replaces_a_later_one(
    server: SlackServer, tmp_path: Path, away: bool
) -> None:
    """A process that was slow with the first finds the second waiting, or delivered, and leaves it."""
    if away:
        server.faults.append(Fault("500", times=1_000))
    send(server, tmp_path, SECOND, AT_HALF_PAST)
    server.faults.clear()
    done = send(server, tmp_path, FIRST, AT_SEVEN)

    assert done.reasons == ()
    assert posted_once(server, len(SECOND))
    assert second_stands(server)
    assert spooled(tmp_path) == []


def test_older_nights_go_out_first(server: SlackServer, tmp_path: Path) -> None:
    """After two days without Slack the channel reads in the order of the nights."""
    server.faults.append(Fault("500", times=1_000))
    send(server, tmp_path, CALM, 2.0, "2026-11-22")
    send(server, tmp_path, CALM, 1.0, "2026-11-21")
    server.faults.clear()
    send(server, tmp_path, FIRST, AT_SEVEN)

    assert posted(server) == ["2026-11-21", "2026-11-22", NIGHT]


def naive(server: SlackServer, *arrived: tuple[str, Message]) -> None:
    """Send first messages as they come: a night that stands there is updated, another is posted."""
    client = WebClient(token=TOKEN, base_url=f"{server.url}/", retry_handlers=[])
    stands: dict[str, str] = {}
    for night, message in arrived:
        marks = {"event_type": "forge_briefing", "event_payload": {"night": night, "part": 0}}
        said: dict[str, Any] = {
            "channel": CHANNEL,
            "text": message.text,
            "blocks": list(message.blocks),
            "metadata": marks,
        }
        if night in stands:
            client.chat_update(ts=stands[night], **said)
        else:
            stands[night] = str(client.chat_postMessage(**said)["ts"])


def test_a_sender_that_takes_what_comes_last_is_caught(server: SlackServer) -> None:
    """The control: without the time of composing, a slow first edition takes the second's place; the check sees it."""
    naive(server, (NIGHT, SECOND[0]), (NIGHT, FIRST[0]))

    assert not second_stands(server)


def test_a_sender_that_keeps_the_order_of_arrival_is_caught(server: SlackServer) -> None:
    """The control: nights that came out of order are posted out of order, and the same look sees it."""
    naive(server, ("2026-11-22", CALM[0]), ("2026-11-21", CALM[0]))

    assert posted(server) != sorted(posted(server))


def test_what_waits_behind_an_older_night_says_so(server: SlackServer, tmp_path: Path) -> None:
    """Tonight's briefing is not sent before one that Slack leaves unanswered, and the one reason names both."""
    server.faults.append(Fault("500", times=1_000))
    send(server, tmp_path, CALM, 1.0, "2026-11-21")
    done = send(server, tmp_path, FIRST, AT_SEVEN)

    assert len(done.reasons) == 1
    assert f"the briefing of {NIGHT} waits behind it" in done.reasons[0]
    assert spooled(tmp_path) == ["2026-11-21", NIGHT]


def test_a_night_that_is_never_answered_does_not_hold_back_the_others_for_ever(
    server: SlackServer, tmp_path: Path
) -> None:
    """After three deliveries that ended at it, it goes last: the others arrive, and it is still told of."""
    server.faults.append(Fault("500", times=1_000))
    for night in ("2026-11-01", "2026-11-02", "2026-11-03"):
        send(server, tmp_path, CALM, 1.0, night)
    server.faults.clear()
    server.faults.append(Fault("500", after=2 * len(CALM) + len(FIRST), times=1_000))
    done = send(server, tmp_path, FIRST, AT_SEVEN)

    assert posted(server) == ["2026-11-02", "2026-11-03", NIGHT]
    assert spooled(tmp_path) == ["2026-11-01"]
    assert done.reasons[0].startswith("the briefing of 2026-11-01: ")


def test_nights_that_slack_refuses_for_what_they_hold_hold_back_no_other(server: SlackServer, tmp_path: Path) -> None:
    """Two are refused with one word: tonight's goes out now, and one line tells of both."""
    bad = ["2026-11-01", "2026-11-02"]
    server.faults.append(Fault("500", times=1_000))
    for night in bad:
        send(server, tmp_path, CALM, 1.0, night)
    server.faults.clear()
    server.faults.append(Fault("msg_too_long", times=len(bad)))
    done = send(server, tmp_path, FIRST, AT_SEVEN)

    assert posted(server) == [NIGHT]
    assert spooled(tmp_path) == bad
    assert len(done.reasons) == 1


def test_a_wrong_token_ends_a_delivery_at_once(server: SlackServer, tmp_path: Path) -> None:
    """Whatever else waits would be refused alike, and the line names tonight's."""
    server.faults.append(Fault("invalid_auth", times=1_000))
    send(server, tmp_path, CALM, 1.0, "2026-11-21")
    before = server.calls()["chat.postMessage"]
    done = send(server, tmp_path, FIRST, AT_SEVEN)

    assert server.calls()["chat.postMessage"] == before + 1
    assert len(done.reasons) == 1
    assert f"the briefing of {NIGHT} waits behind it" in done.reasons[0]


def test_what_people_answered_in_a_message_is_left_when_it_is_sent_again(server: SlackServer, tmp_path: Path) -> None:
    """A repeat of the same edition edits no message, so what was written into it on a press stays."""
    send(server, tmp_path, FIRST, AT_SEVEN)
    server.messages[0]["text"] = "dismissed by Mara"
    send(server, tmp_path, FIRST, AT_SEVEN)

    assert server.messages[0]["text"] == "dismissed by Mara"
    assert "chat.update" not in server.calls()
