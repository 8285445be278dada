"""The briefing reaches Slack once per night, whatever goes wrong on the way."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from slack_sdk import WebClient

from forge_workers.briefing import slack
from forge_workers.briefing.channel import LONGEST_WAIT_S, PAUSES_S
from forge_workers.briefing.deliver import Delivery, deliver
from forge_workers.briefing.slack import Message
from forge_workers.settings import Settings
from forge_workers.settings_sections import Slack as SlackSettings
from tests.briefing.examples import busy, calm
from tests.briefing.parts import NIGHT, briefing
from tests.standins.slack import BOT, CHANNEL, TOKEN, Fault, SlackServer, slack_server

#: Dozens of deliveries over real sockets: together more than a few seconds.
pytestmark = pytest.mark.slow

BUSY = slack.render(briefing(busy()))
LATER = slack.render(briefing(busy(), now=briefing(busy()).made_at + 3600))
CALM = slack.render(briefing(calm()))


class Clock:
    """Records waits instead of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note a wait."""
        self.waits.append(seconds)


@pytest.fixture
def server() -> Iterator[SlackServer]:
    """A stand-in for Slack."""
    with slack_server() as running:
        yield running


def chosen(home: Path, url: str, **more: Any) -> Settings:
    """Return settings that deliver to the stand-in."""
    facts = {"token": SecretStr(TOKEN), "channel": CHANNEL, "api_url": url, "timeout_s": 0.4, **more}
    return Settings(home=home, repositories=("/src/orchard",), timezone="Europe/Paris", slack=SlackSettings(**facts))


def send(server: SlackServer, home: Path, messages: tuple[Message, ...] = BUSY, night: str = NIGHT) -> Delivery:
    """Deliver to the stand-in without waiting."""
    return deliver(messages, night, chosen(home, server.url), sleep=Clock().sleep)


def posted_once(server: SlackServer, parts: int = len(BUSY), night: str = NIGHT) -> bool:
    """The check of these tests: each part of a night's briefing stands in Slack exactly once."""
    return server.parts(night) == dict.fromkeys(range(parts), 1)


def spooled(home: Path) -> list[str]:
    """Return the nights that wait to be delivered."""
    return sorted(path.stem for path in (home / "spool" / "slack").glob("*.json"))


def test_a_briefing_is_posted_with_its_thread_and_read_back(server: SlackServer, tmp_path: Path) -> None:
    """The first message goes to the channel, the others into its thread, and all are verified."""
    done = send(server, tmp_path)

    assert posted_once(server)
    assert [effect.verified for effect in done.effects] == [True]
    assert done.reasons == ()
    assert spooled(tmp_path) == []
    first, *replies = server.messages
    assert len(replies) == len(BUSY) - 1 > 0
    assert {reply["thread_ts"] for reply in replies} == {first["ts"]}


def test_a_repeat_updates_what_stands_there(server: SlackServer, tmp_path: Path) -> None:
    """A second delivery of a night posts nothing and changes the text."""
    send(server, tmp_path)
    before = [message["ts"] for message in server.messages]
    done = send(server, tmp_path, LATER)

    assert posted_once(server)
    assert [message["ts"] for message in server.messages] == before
    assert server.messages[0]["text"] == LATER[0].text
    assert "updated" in done.effects[0].detail
    assert done.effects[0].verified


@pytest.mark.parametrize("kind", ["lost", "kept_500", "hang"])
@pytest.mark.parametrize("part", [0, 1])
def test_a_lost_reply_does_not_post_twice(server: SlackServer, tmp_path: Path, kind: str, part: int) -> None:
    """Slack kept the message and its answer got lost: the message is found, not posted again."""
    server.faults.append(Fault(kind, after=part))
    done = send(server, tmp_path)

    assert posted_once(server)
    assert done.effects[0].verified
    assert done.reasons == ()


def naive(server: SlackServer, messages: tuple[Message, ...]) -> None:
    """Post as one would without marks and without looking: three tries each."""
    client = WebClient(token=TOKEN, base_url=f"{server.url}/", timeout=1, retry_handlers=[])
    for part, message in enumerate(messages):
        marks = {"event_type": "forge_briefing", "event_payload": {"night": NIGHT, "part": part}}
        for _ in range(3):
            try:
                client.chat_postMessage(channel=CHANNEL, text=message.text, blocks=message.blocks, metadata=marks)
            except OSError:
                continue
            break


def test_a_sender_without_marks_is_caught(server: SlackServer) -> None:
    """The control: a sender that just tries again posts twice after a lost reply, and the same check sees it."""
    server.faults.append(Fault("lost"))
    naive(server, BUSY)

    assert not posted_once(server)


class Died(BaseException):
    """Stands for the end of the process: nothing catches it."""


def die(_: float) -> None:
    """Die instead of waiting."""
    raise Died


@pytest.mark.parametrize("after", range(2 + len(BUSY)))
@pytest.mark.parametrize("kind", ["lost", "500"])
def test_a_delivery_that_dies_anywhere_is_finished_by_the_next(
    server: SlackServer, tmp_path: Path, kind: str, after: int
) -> None:
    """Cut off at any request, whether Slack did it or not, a repeat leaves each part once."""
    server.faults.append(Fault(kind, "*", after=after))
    with contextlib.suppress(Died):
        deliver(BUSY, NIGHT, chosen(tmp_path, server.url), sleep=die)
    assert server.faults[0].times == 0
    send(server, tmp_path)

    assert posted_once(server)
    assert spooled(tmp_path) == []


def test_a_server_error_is_tried_again_a_few_times(server: SlackServer, tmp_path: Path) -> None:
    """Two errors of Slack's own are waited out."""
    clock = Clock()
    server.faults.append(Fault("500", times=2))
    done = deliver(BUSY, NIGHT, chosen(tmp_path, server.url), sleep=clock.sleep)

    assert posted_once(server)
    assert done.reasons == ()
    assert clock.waits == list(PAUSES_S)


@pytest.mark.parametrize("method", ["chat.postMessage", "conversations.history", "conversations.replies", "auth.test"])
@pytest.mark.parametrize("kind", ["500", "garbage", "internal_error", "hang_before"])
def test_what_slack_never_answers_is_spooled_and_sent_once_later(
    server: SlackServer, tmp_path: Path, method: str, kind: str
) -> None:
    """However long Slack is broken, the reason is one line and the next delivery sends the briefing once."""
    send(server, tmp_path, CALM, "2026-11-21")
    server.faults.append(Fault(kind, method, times=1_000))
    broken = deliver(BUSY, NIGHT, chosen(tmp_path, server.url, timeout_s=0.05), sleep=Clock().sleep)
    assert len(broken.reasons) == 1
    assert "\n" not in broken.reasons[0]
    assert "spooled" in broken.reasons[0]
    assert spooled(tmp_path) == [NIGHT]

    server.faults.clear()
    done = send(server, tmp_path, CALM, "2026-11-24")

    assert posted_once(server)
    assert posted_once(server, len(CALM), "2026-11-24")
    assert len(done.effects) == 2
    assert spooled(tmp_path) == []
    send(server, tmp_path, CALM, "2026-11-25")
    assert posted_once(server)


def test_retry_after_is_obeyed(server: SlackServer, tmp_path: Path) -> None:
    """A wait that Slack asks for is waited, and then the message goes out."""
    clock = Clock()
    server.faults.append(Fault("429", retry_after="7"))
    deliver(BUSY, NIGHT, chosen(tmp_path, server.url), sleep=clock.sleep)

    assert posted_once(server)
    assert clock.waits == [7.0]


@pytest.mark.parametrize("retry_after", [None, "soon", "-3"])
def test_a_wait_of_no_length_is_short(server: SlackServer, tmp_path: Path, retry_after: str | None) -> None:
    """A 429 without a usable ``Retry-After`` is waited for a second."""
    clock = Clock()
    server.faults.append(Fault("429", retry_after=retry_after))
    deliver(BUSY, NIGHT, chosen(tmp_path, server.url), sleep=clock.sleep)

    assert posted_once(server)
    assert clock.waits == [1.0]


@pytest.mark.parametrize("retry_after", [str(int(LONGEST_WAIT_S) + 1), "7"])
def test_waits_are_bounded(server: SlackServer, tmp_path: Path, retry_after: str) -> None:
    """A wait of an hour, or one asked for again and again, ends in the spool."""
    clock = Clock()
    server.faults.append(Fault("429", times=1_000, retry_after=retry_after))
    done = deliver(BUSY, NIGHT, chosen(tmp_path, server.url), sleep=clock.sleep)

    assert sum(clock.waits) <= 3 * LONGEST_WAIT_S
    assert spooled(tmp_path) == [NIGHT]
    assert "asks to wait" in done.reasons[0]


def test_refused_blocks_go_out_as_plain_text(server: SlackServer, tmp_path: Path) -> None:
    """When Slack refuses the layout, the words still arrive, once, and the effect says how."""
    server.faults.append(Fault("invalid_blocks"))
    done = send(server, tmp_path)

    assert posted_once(server)
    assert "blocks" not in server.messages[0]
    assert "AWS access key" in server.messages[0]["text"]
    assert "plain text" in done.effects[0].detail
    assert done.effects[0].verified


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("invalid_auth", "slack.token"),
        ("channel_not_found", "slack.channel"),
        ("not_in_channel", "invite"),
        ("missing_scope", "permission"),
        ("restricted_action", "restricted_action"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    server: SlackServer, tmp_path: Path, code: str, advice: str
) -> None:
    """A wrong token or channel does not fail the morning; it names what to set, and the briefing waits."""
    server.faults.append(Fault(code))
    done = send(server, tmp_path)

    assert len(done.reasons) == 1
    assert advice in done.reasons[0]
    assert TOKEN not in done.reasons[0]
    assert spooled(tmp_path) == [NIGHT]
    assert server.calls()["chat.postMessage"] == 1


def test_a_briefing_that_slack_refuses_for_ever_holds_back_no_other(server: SlackServer, tmp_path: Path) -> None:
    """Of two that were left over, the older is refused again; the younger goes out, and both facts are told."""
    server.faults.append(Fault("500", times=1_000))
    for night in ("2026-11-20", "2026-11-21"):
        send(server, tmp_path, CALM, night)
    server.faults.clear()
    server.faults.append(Fault("restricted_action"))
    done = send(server, tmp_path)

    assert posted_once(server)
    assert posted_once(server, len(CALM), "2026-11-21")
    assert spooled(tmp_path) == ["2026-11-20"]
    assert [reason.partition(":")[0] for reason in done.reasons] == ["the briefing of 2026-11-20"]


def test_a_refusal_of_everything_is_told_once_and_not_tried_on_every_night(server: SlackServer, tmp_path: Path) -> None:
    """A wrong token would otherwise be refused once for each briefing of a month."""
    server.faults.append(Fault("invalid_auth", times=1_000))
    for night in ("2026-11-19", "2026-11-20", "2026-11-21", NIGHT):
        done = send(server, tmp_path, CALM, night)

    assert len(done.reasons) == 1
    assert server.calls()["chat.postMessage"] <= 2 * 4


def test_a_reply_without_a_timestamp_is_no_usable_answer(server: SlackServer, tmp_path: Path) -> None:
    """What answers ok and names no message is looked up like a lost reply; nothing crashes."""
    server.faults.append(Fault("no_ts"))
    done = send(server, tmp_path)

    assert posted_once(server)
    assert done.reasons == ()


def test_a_wrong_token_never_shows(server: SlackServer, tmp_path: Path) -> None:
    """The token stands in no reason and in no file."""
    settings = chosen(tmp_path, server.url, token=SecretStr("xoxb-wrong-wrong-wrong"))
    done = deliver(BUSY, NIGHT, settings, sleep=Clock().sleep)

    assert "does not accept the token" in done.reasons[0]
    assert all("xoxb-" not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_without_a_token_nothing_is_sent_and_nothing_is_wrong(tmp_path: Path) -> None:
    """The terminal shows the briefing; that is no fault."""
    done = deliver(BUSY, NIGHT, chosen(tmp_path, "http://127.0.0.1:9", token=None), sleep=Clock().sleep)

    assert done.reasons == ()
    assert [effect.target for effect in done.effects] == ["terminal"]
    assert list(tmp_path.iterdir()) == []


def test_a_token_without_a_channel_is_one_line(tmp_path: Path) -> None:
    """The reason names the setting."""
    done = deliver(BUSY, NIGHT, chosen(tmp_path, "http://127.0.0.1:9", channel=None), sleep=Clock().sleep)

    assert len(done.reasons) == 1
    assert "slack.channel" in done.reasons[0]


@pytest.mark.parametrize("split", [False, True])
def test_a_briefing_with_an_own_secret_is_not_sent(server: SlackServer, tmp_path: Path, split: bool) -> None:
    """One of Forge's own secrets, whole or over two elements, stops the sending and the spooling."""
    halves = [TOKEN[:14], TOKEN[14:]] if split else [TOKEN]
    texts = [{"type": "text", "text": half} for half in halves]
    block: dict[str, Any] = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": texts}]}
    done = send(server, tmp_path, (*BUSY, Message(text="words", blocks=(block,))))

    assert server.requests == []
    assert "secret" in done.reasons[0]
    assert spooled(tmp_path) == []


@pytest.mark.parametrize("damage", ["lost", "damaged", "stale"])
def test_a_marker_that_tells_nothing_is_made_up_for(server: SlackServer, tmp_path: Path, damage: str) -> None:
    """Without the marker the channel is searched, so a repeat still updates."""
    send(server, tmp_path)
    marker = tmp_path / "briefings" / f"{NIGHT}.slack.json"
    if damage == "lost":
        marker.unlink()
    elif damage == "damaged":
        marker.write_text("{half")
    else:
        marker.write_text(f'{{"channel": "{CHANNEL}", "ts": "1.000000"}}')
    send(server, tmp_path, LATER)

    assert posted_once(server)


def test_a_lost_message_is_found_behind_many_others(server: SlackServer, tmp_path: Path) -> None:
    """The search goes through the pages of a lively channel."""
    send(server, tmp_path)
    (tmp_path / "briefings" / f"{NIGHT}.slack.json").unlink()
    chat = ({"type": "message", "user": "U1", "ts": f"{1_797_000_000 + n}.000000", "text": "hm"} for n in range(450))
    server.messages += chat
    send(server, tmp_path, LATER)

    assert posted_once(server)


def test_parts_are_found_behind_a_long_talk_in_the_thread(server: SlackServer, tmp_path: Path) -> None:
    """A later edition with more parts, sent twice into a thread of several pages, has each part once."""
    send(server, tmp_path, CALM)
    first = server.messages[0]["ts"]
    talk = (
        {"type": "message", "user": "U1", "ts": f"{1_797_000_000 + n}.000000", "thread_ts": first} for n in range(450)
    )
    server.messages += talk
    for messages in (BUSY, LATER):
        done = send(server, tmp_path, messages)

    assert posted_once(server)
    assert done.effects[0].verified


def test_messages_of_others_are_left_alone(server: SlackServer, tmp_path: Path) -> None:
    """Somebody else's message with our marks, or another machine's briefing, is neither taken for ours nor changed."""
    send(server, tmp_path / "other machine")
    server.messages[0]["user"] = "U0SOMEBODY"
    copies = [message["text"] for message in server.messages]
    server.messages.append({**server.messages[1], "user": BOT})
    send(server, tmp_path / "ours", LATER)

    assert [message["text"] for message in server.messages[: len(copies)]] == copies
    assert server.parts(NIGHT)[0] == 2


def test_a_deleted_message_is_posted_again(server: SlackServer, tmp_path: Path) -> None:
    """What a person deleted and then asked for again is there again, once."""
    send(server, tmp_path)
    server.messages.clear()
    send(server, tmp_path, LATER)

    assert posted_once(server)


def test_what_slack_lets_nobody_edit_stands_as_it_is(server: SlackServer, tmp_path: Path) -> None:
    """Where edits are closed, the first version stands and nothing is posted twice."""
    send(server, tmp_path)
    server.faults.append(Fault("edit_window_closed", "chat.update", times=100))
    done = send(server, tmp_path, LATER)

    assert posted_once(server)
    assert "first version stands" in done.effects[0].detail
    assert spooled(tmp_path) == []


def test_a_shorter_briefing_empties_the_parts_it_no_longer_has(server: SlackServer, tmp_path: Path) -> None:
    """After a repair the thread holds nothing that is no longer true."""
    send(server, tmp_path)
    send(server, tmp_path, CALM)

    assert "Nothing changed" in server.messages[0]["text"]
    assert all("no longer" in message["text"] for message in server.messages[1:])


@pytest.mark.parametrize("code", ["edit_window_closed", "message_not_found"])
def test_a_part_that_cannot_be_emptied_any_more_is_no_reason_to_try_for_ever(
    server: SlackServer, tmp_path: Path, code: str
) -> None:
    """What nobody may edit, or has deleted, leaves nothing in the spool."""
    send(server, tmp_path)
    server.faults.append(Fault(code, "chat.update", after=len(CALM), times=100))
    done = send(server, tmp_path, CALM)

    assert done.reasons == ()
    assert spooled(tmp_path) == []


def test_two_deliveries_at_once_post_once(server: SlackServer, tmp_path: Path) -> None:
    """Two processes that deliver the same night wait for each other."""
    threads = [threading.Thread(target=send, args=(server, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert posted_once(server)


def test_nothing_unfurls_and_nothing_is_parsed(server: SlackServer, tmp_path: Path) -> None:
    """Every post turns previews off and asks Slack to find no links or names in the text."""
    send(server, tmp_path)
    posts = [sent for method, sent in server.requests if method == "chat.postMessage"]

    assert posts
    for sent in posts:
        assert sent["unfurl_links"] is sent["unfurl_media"] is sent["link_names"] is False
        assert sent["parse"] == "none"


def test_a_damaged_spool_file_is_put_aside(server: SlackServer, tmp_path: Path) -> None:
    """What cannot be read does not keep tonight's briefing from going out."""
    spool = tmp_path / "spool" / "slack"
    spool.mkdir(parents=True)
    (spool / "2026-11-01.json").write_text("{half")
    done = send(server, tmp_path)

    assert posted_once(server)
    assert done.reasons == ()
    assert (spool / "2026-11-01.damaged").is_file()


_PROGRAM = """
import sys
from pathlib import Path
from forge_workers.briefing.deliver import deliver
from tests.briefing.test_deliver import BUSY, chosen
deliver(BUSY, sys.argv[3], chosen(Path(sys.argv[1]), sys.argv[2], timeout_s=60.0))
"""


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1])
def test_a_process_killed_while_slack_answers_has_posted_once(server: SlackServer, tmp_path: Path, part: int) -> None:
    """SIGKILL between Slack's keeping a message and our hearing of it: the next delivery posts nothing twice."""
    server.faults.append(Fault("hang", after=part))
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(tmp_path), server.url, NIGHT])
    assert server.hanging.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert len(server.messages) == part + 1
    send(server, tmp_path)

    assert posted_once(server)
    assert spooled(tmp_path) == []
