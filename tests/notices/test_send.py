"""Notices reach Slack once each and in order, whatever goes wrong on the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from pydantic import SecretStr
from slack_sdk import WebClient

from forge_workers.briefing.channel import PAUSES_S
from forge_workers.notices.outbox import Outbox
from forge_workers.notices.rules import COLLAPSE_S, MOST_POSTS, WINDOW_S
from forge_workers.notices.send import EVENT, Flushed, flush
from tests.notices.broken import flush_blindly, post_plainly
from tests.notices.scenes import NOON, Clock, chosen, held, kinds, notice, once_in_order, put, total
from tests.standins.slack import BOT, CHANNEL, TOKEN, Fault, SlackServer

#: Dozens of deliveries over real sockets: together more than a few seconds.
pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> Clock:
    """A clock at noon."""
    return Clock()


def send(server: SlackServer, home: Path, clock: Clock, **more: Any) -> Flushed:
    """Flush to the stand-in."""
    return flush(chosen(home, server.url, **more), now=clock.now, sleep=clock.sleep)


def three(home: Path) -> tuple[tuple[str, int], ...]:
    """Put three different notices into the outbox and return how they should stand in Slack."""
    put(home, notice("a"), notice("b"), notice("c"))
    return ("a", 1), ("b", 1), ("c", 1)


def test_notices_are_posted_in_order_and_read_back(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """Three wait: three messages a second apart, each verified, and nothing waits any more."""
    expected = three(tmp_path)
    done = send(server, tmp_path, clock)

    assert once_in_order(server, *expected)
    assert (done.notices, done.messages, done.waiting, done.reasons) == (3, 3, 0, ())
    assert [effect.verified for effect in done.effects] == [True] * 3
    assert clock.waits == [1.0, 1.0]


def test_nothing_unfurls_and_nothing_is_parsed(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """Every post turns previews off and asks Slack to find no links or names in the text."""
    put(tmp_path, notice("a", title="<!channel> see https://evil.example/?x"))
    send(server, tmp_path, clock)
    sent = next(sent for method, sent in server.requests if method == "chat.postMessage")

    assert sent["unfurl_links"] is sent["unfurl_media"] is sent["link_names"] is sent["mrkdwn"] is False
    assert sent["parse"] == "none"
    assert "<!channel>" not in str(sent)
    assert sent["metadata"]["event_type"] == EVENT


def test_a_repeat_updates_the_message_with_its_count(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """Fourteen of a kind within the hour are one message; after the hour there is a second."""
    for n in range(14):
        put(tmp_path, notice(f"n{n}", "same", at=clock.at))
        done = send(server, tmp_path, clock)
        assert [effect.verified for effect in done.effects] == [True]
        clock.at += 60

    assert once_in_order(server, ("n0", 14))
    assert "×14" in server.messages[0]["text"]
    assert kinds(server) == {"chat.postMessage": 1, "chat.update": 13}
    clock.at = NOON + COLLAPSE_S
    put(tmp_path, notice("late", "same", at=clock.at))
    send(server, tmp_path, clock)
    assert once_in_order(server, ("n0", 14), ("late", 1))


def test_a_sender_that_does_not_collapse_is_caught(server: SlackServer, tmp_path: Path) -> None:
    """The control: one post for each notice, and the same check sees fourteen."""
    post_plainly(tmp_path, server.url, [notice(f"n{n}", "same") for n in range(14)])

    assert not once_in_order(server, ("n0", 14))


@pytest.mark.parametrize("kind", ["lost", "kept_500", "hang", "no_ts", "500", "garbage", "hang_before"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_lost_reply_does_not_post_twice(
    server: SlackServer, tmp_path: Path, clock: Clock, kind: str, after: int
) -> None:
    """Whether Slack kept the message or not, after a reply that did not come it stands there once."""
    expected = three(tmp_path)
    server.faults.append(Fault(kind, after=after))
    done = send(server, tmp_path, clock)

    assert once_in_order(server, *expected)
    assert (done.notices, done.waiting, done.reasons) == (3, 0, ())
    assert all(effect.verified for effect in done.effects)
    assert PAUSES_S[0] in clock.waits


def test_a_sender_that_does_not_look_is_caught(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """The control: sending again without looking posts twice, and the same check sees it."""
    expected = three(tmp_path)
    server.faults.append(Fault("lost"))
    flush_blindly(tmp_path, server.url, clock)

    assert not once_in_order(server, *expected)


@pytest.mark.parametrize("kind", ["lost", "500", "hang"])
def test_a_lost_update_counts_once(server: SlackServer, tmp_path: Path, clock: Clock, kind: str) -> None:
    """An update whose reply was lost is sent again and says the same."""
    put(tmp_path, notice("a"))
    send(server, tmp_path, clock)
    put(tmp_path, notice("b", "a"), notice("c", "a"))
    server.faults.append(Fault(kind, "chat.update"))
    send(server, tmp_path, clock)

    assert once_in_order(server, ("a", 3))


@pytest.mark.parametrize("method", ["chat.postMessage", "conversations.history", "auth.test"])
@pytest.mark.parametrize("kind", ["500", "garbage", "internal_error", "hang_before"])
def test_while_slack_is_away_notices_wait_and_go_out_once_in_order(
    server: SlackServer, tmp_path: Path, clock: Clock, method: str, kind: str
) -> None:
    """However long Slack is broken, nothing is lost, the reason is one line, and a later flush sends each once."""
    expected = three(tmp_path)
    server.faults.append(Fault(kind, method, times=1_000))
    for _ in range(3):
        done = send(server, tmp_path, clock, timeout_s=0.05)
        clock.at += 30
    assert len(done.reasons) <= 1
    assert all("\n" not in reason for reason in done.reasons)
    put(tmp_path, notice("d"))

    server.faults.clear()
    send(server, tmp_path, clock)

    assert once_in_order(server, *expected, ("d", 1))
    assert Outbox(tmp_path).waiting() == 0


def test_retry_after_is_obeyed(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """A short wait that Slack asks for is waited, and then the message goes out."""
    expected = three(tmp_path)
    server.faults.append(Fault("429", retry_after="7"))
    send(server, tmp_path, clock)

    assert once_in_order(server, *expected)
    assert clock.waits[0] == 7.0


def test_a_long_wait_is_obeyed_over_flushes(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """Asked to wait for five minutes, no flush asks again before; then all go out."""
    expected = three(tmp_path)
    server.faults.append(Fault("429", retry_after="300"))
    done = send(server, tmp_path, clock)
    asked = len(server.requests)
    assert done.until == NOON + 300
    assert "asks to wait" in done.reasons[0]
    for _ in range(9):
        clock.at += 30
        assert send(server, tmp_path, clock).waiting == 3
    assert len(server.requests) == asked
    clock.at += 31
    send(server, tmp_path, clock)

    assert once_in_order(server, *expected)


def test_refused_blocks_go_out_as_plain_text(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """When Slack refuses the layout, the words still arrive, once."""
    expected = three(tmp_path)
    server.faults.append(Fault("invalid_blocks"))
    done = send(server, tmp_path, clock)

    assert once_in_order(server, *expected)
    assert "blocks" not in server.messages[0]
    assert "job a failed" in server.messages[0]["text"]
    assert done.reasons == ()


@pytest.mark.parametrize(("code", "times"), [("invalid_blocks", 2), ("msg_too_long", 1), ("some_new_word", 1)])
def test_a_refused_notice_is_put_aside_with_its_reason_and_the_rest_goes_on(
    server: SlackServer, tmp_path: Path, clock: Clock, code: str, times: int
) -> None:
    """One notice that Slack does not take holds no other back, and nobody has to guess why."""
    three(tmp_path)
    server.faults.append(Fault(code, after=1, times=times))
    done = send(server, tmp_path, clock)

    assert once_in_order(server, ("a", 1), ("c", 1))
    assert (done.aside, done.waiting) == (1, 0)
    assert code in done.reasons[0]
    (aside,) = (tmp_path / "spool" / "notices" / "aside").iterdir()
    assert code in aside.read_text()
    assert "job b failed" in aside.read_text()
    assert send(server, tmp_path, clock) == Flushed()


@pytest.mark.parametrize(
    ("code", "advice"),
    [("token_revoked", "slack.token"), ("channel_not_found", "slack.channel"), ("missing_scope", "permission")],
)
def test_a_refusal_of_everything_keeps_everything(
    server: SlackServer, tmp_path: Path, clock: Clock, code: str, advice: str
) -> None:
    """A revoked token puts nothing aside: the reason names the setting, and all goes out once it is mended."""
    expected = three(tmp_path)
    server.faults.append(Fault(code, "*", times=1_000))
    for _ in range(2):
        done = send(server, tmp_path, clock)
    assert len(done.reasons) == 1
    assert advice in done.reasons[0]
    assert TOKEN not in done.reasons[0]
    assert (done.aside, done.waiting) == (0, 3)
    assert kinds(server)["chat.postMessage"] == 2
    server.faults.clear()
    send(server, tmp_path, clock)

    assert once_in_order(server, *expected)


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "cant_update_message"])
def test_a_repeat_of_a_message_that_takes_no_more_is_posted(
    server: SlackServer, tmp_path: Path, clock: Clock, code: str
) -> None:
    """Where the message was deleted or closed, the repeats get one of their own and are not lost."""
    put(tmp_path, notice("a"))
    send(server, tmp_path, clock)
    put(tmp_path, notice("b", "a"), notice("c", "a"))
    server.faults.append(Fault(code, "chat.update"))
    done = send(server, tmp_path, clock)

    assert once_in_order(server, ("a", 1), ("b", 2))
    assert done.reasons == ()


def test_a_burst_posts_no_more_than_the_rate_and_loses_nothing(
    server: SlackServer, tmp_path: Path, clock: Clock
) -> None:
    """Two hundred different notices at once: at most the allowed posts in ten minutes, and the counts add up."""
    put(tmp_path, *(notice(f"n{n}") for n in range(200)))
    while clock.at < NOON + WINDOW_S:
        send(server, tmp_path, clock)
        clock.at += 30

    assert kinds(server)["chat.postMessage"] <= MOST_POSTS
    assert total(server) == 200
    assert "notices in one message" in server.messages[-1]["text"]


def test_quiet_hours_let_only_urgent_ones_out_and_the_rest_follows(server: SlackServer, tmp_path: Path) -> None:
    """At night the urgent one goes; in the morning the others, in order."""
    clock = Clock(NOON + 11 * 3600)
    quiet = {"quiet_from": "22:30", "quiet_until": "07:00"}
    put(tmp_path, notice("a"), notice("b"), notice("fire", urgent=True), notice("c", "a"))
    done = send(server, tmp_path, clock, **quiet)
    assert once_in_order(server, ("fire", 1))
    assert done.until == NOON + 19 * 3600
    assert done.waiting == 3
    clock.at = NOON + 19 * 3600
    send(server, tmp_path, clock, **quiet)

    assert once_in_order(server, ("fire", 1), ("a", 2), ("b", 1))


def test_an_urgent_one_that_slack_did_not_take_does_not_rest_till_the_quiet_ends(
    server: SlackServer, tmp_path: Path, clock: Clock
) -> None:
    """The rest that ordinary notices have earned is over as soon as something more is to be sent."""
    quiet = {"quiet_from": "11:30", "quiet_until": "13:30"}
    put(tmp_path, notice("a"))
    send(server, tmp_path, clock, **quiet)
    assert Outbox(tmp_path).state().rests_until > clock.at
    put(tmp_path, notice("fire", urgent=True))
    server.faults.append(Fault("500", "*", times=1_000))
    send(server, tmp_path, clock, **quiet)

    assert Outbox(tmp_path).state().rests_until <= clock.at


def test_what_was_under_way_when_the_quiet_began_waits_for_its_end(server: SlackServer, tmp_path: Path) -> None:
    """A message that Slack never got is decided anew, by the rules of that hour."""
    quiet = {"quiet_from": "12:30", "quiet_until": "13:30"}
    clock = Clock()
    put(tmp_path, notice("a"))
    server.faults.append(Fault("500", "*", times=1_000))
    send(server, tmp_path, clock, **quiet)
    server.faults.clear()
    clock.at = NOON + 3600
    send(server, tmp_path, clock, **quiet)
    assert held(server) == []
    clock.at = NOON + 5400
    send(server, tmp_path, clock, **quiet)

    assert once_in_order(server, ("a", 1))


def test_an_own_secret_is_never_sent(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """A text that became a secret after it was accepted stays here, and only the fact is kept."""
    put(tmp_path, notice("a", title="the password is correct-horse-battery"), notice("b"))
    redis = SecretStr("redis://:correct-horse-battery@127.0.0.1:6379/0")
    settings = chosen(tmp_path, server.url).model_copy(update={"redis_url": redis})
    done = flush(settings, now=clock.now, sleep=clock.sleep)

    assert once_in_order(server, ("b", 1))
    assert "own secrets" in done.reasons[0]
    assert all("horse" not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "horse" not in str(server.requests)


def test_messages_of_others_are_left_alone(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """Another machine's notice of the same id is neither taken for ours nor changed."""
    put(tmp_path / "theirs", notice("a"))
    send(server, tmp_path / "theirs", clock)
    client = WebClient(token=TOKEN, base_url=f"{server.url}/", retry_handlers=[])
    client.chat_postMessage(channel=CHANNEL, text="hm")
    server.messages[-1]["user"] = f"{BOT}2"
    put(tmp_path / "ours", notice("a"))
    server.faults.append(Fault("500"))
    send(server, tmp_path / "ours", clock)

    assert once_in_order(server, ("a", 1), ("a", 1))


def test_two_flushes_at_once_post_once(server: SlackServer, tmp_path: Path) -> None:
    """Processes that flush at the same time wait for each other."""
    expected = three(tmp_path)
    threads = [threading.Thread(target=send, args=(server, tmp_path, Clock())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert once_in_order(server, *expected)


def test_while_the_briefing_is_being_sent_notices_wait(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """One process at a time speaks to Slack; the others come back later and lose nothing."""
    expected = three(tmp_path)
    with FileLock(tmp_path / "spool" / "slack.lock"):
        done = send(server, tmp_path, clock)
    assert (done.waiting, server.requests) == (3, [])
    assert "another process is sending" in done.reasons[0]
    send(server, tmp_path, clock)

    assert once_in_order(server, *expected)


def test_what_cannot_be_read_back_is_not_called_verified(server: SlackServer, tmp_path: Path, clock: Clock) -> None:
    """A message that was posted and cannot be seen counts as posted, and the doubt is said."""
    put(tmp_path, notice("a"))
    server.faults.append(Fault("500", "conversations.history", times=1_000))
    done = send(server, tmp_path, clock)

    assert [effect.verified for effect in done.effects] == [False]
    assert "could not be read back" in done.reasons[0]
    assert once_in_order(server, ("a", 1))
