"""Charts reach the thread of a briefing once each, and what does not work is said and waits."""

from __future__ import annotations

import base64
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

from forge_workers.briefing.deliver import Delivery, deliver
from forge_workers.briefing.uploads import MOST_BYTES, MOST_CHARTS, pictures
from forge_workers.report import Image
from tests.briefing.parts import NIGHT
from tests.briefing.test_deliver import BUSY, CALM, Clock, Died, chosen, die, posted_once, spooled
from tests.standins.slack import CHANNEL, TOKEN, Fault, SlackServer, slack_server

#: Dozens of deliveries over real sockets: together more than a few seconds.
pytestmark = pytest.mark.slow


def chart(name: str, content: bytes = b"\x89PNG one", alt: str = "Commits: 9 on Monday.") -> Image:
    """Return a picture that has a file."""
    png = base64.b64encode(content).decode()
    return Image(name=name, alt=alt, light_svg="<svg/>", dark_svg="<svg/>", png=png)


CHARTS = (chart("timeline", alt="The night's steps: <!channel> ran."), chart("commits", b"\x89PNG two"))


@pytest.fixture
def server() -> Iterator[SlackServer]:
    """A stand-in for Slack."""
    with slack_server() as running:
        yield running


def send(server: SlackServer, home: Path, images: tuple[Image, ...] = CHARTS, night: str = NIGHT) -> Delivery:
    """Deliver to the stand-in without waiting."""
    return deliver(BUSY, night, chosen(home, server.url), images=images, sleep=Clock().sleep)


def shown(server: SlackServer) -> Counter[str]:
    """Return how often each chart stands in a thread."""
    files = (file for message in server.messages for file in message.get("files", []))
    return Counter(file["name"] for file in files if file["mode"] != "tombstone")


def once(server: SlackServer, images: tuple[Image, ...] = CHARTS) -> bool:
    """The check of these tests: the threads show each of these charts exactly once, and nothing else."""
    return shown(server) == {picture.name: 1 for picture in pictures(images, NIGHT)}


def test_charts_stand_in_the_thread_with_words_for_those_who_cannot_see_them(
    server: SlackServer, tmp_path: Path
) -> None:
    """Each is a file in the thread of the first message, with its bytes, a description and no token."""
    done = send(server, tmp_path)

    assert once(server)
    assert done.reasons == ()
    assert [effect.verified for effect in done.effects] == [True, True]
    assert spooled(tmp_path) == []
    files = [message for message in server.messages if message.get("files")]
    assert {message["thread_ts"] for message in files} == {server.messages[0]["ts"]}
    assert [server.shelf.content[m["files"][0]["id"]] for m in files] == [b"\x89PNG one", b"\x89PNG two"]
    assert files[0]["files"][0]["alt_txt"] == "The night's steps: (!channel) ran."
    assert files[0]["files"][0]["title"] == "The night's steps"
    assert "&lt;!channel&gt;" in str(files[0]["blocks"]) or "(!channel)" in str(files[0]["blocks"])


def test_a_second_delivery_uploads_nothing(server: SlackServer, tmp_path: Path) -> None:
    """The thread itself says which charts it holds."""
    send(server, tmp_path)
    (tmp_path / "briefings" / f"{NIGHT}.slack.json").unlink()
    send(server, tmp_path)

    assert once(server)
    assert len(server.shelf.shared) == 2


def test_a_chart_that_changed_takes_the_place_of_the_one_before(server: SlackServer, tmp_path: Path) -> None:
    """A later edition's thread shows nothing that is no longer true."""
    send(server, tmp_path)
    later = (chart("timeline", b"\x89PNG later"), CHARTS[1])
    send(server, tmp_path, later)

    assert once(server, later)
    assert len(server.shelf.shared) == 3


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
@pytest.mark.parametrize("kind", ["lost", "500", "kept_500", "hang"])
def test_a_lost_reply_does_not_show_a_chart_twice(server: SlackServer, tmp_path: Path, method: str, kind: str) -> None:
    """Whichever of the three calls loses its reply, each chart stands there once, now or after the next delivery."""
    server.faults.append(Fault(kind, method))
    send(server, tmp_path)
    send(server, tmp_path)

    assert once(server)
    assert spooled(tmp_path) == []


@pytest.mark.parametrize("after", range(12))
def test_a_delivery_that_dies_anywhere_shows_no_chart_twice(server: SlackServer, tmp_path: Path, after: int) -> None:
    """Cut off at any request after the messages stand there, a repeat leaves each chart once."""
    deliver(BUSY, NIGHT, chosen(tmp_path, server.url), sleep=Clock().sleep)
    server.faults.append(Fault("lost", "*", after=after))
    with contextlib.suppress(Died):
        deliver(BUSY, NIGHT, chosen(tmp_path, server.url), images=CHARTS, sleep=die)
    server.faults.clear()
    send(server, tmp_path)

    assert once(server)


def test_a_chart_that_shows_late_is_waited_for(server: SlackServer, tmp_path: Path) -> None:
    """Slack answers before it shows a file; two more looks see it, and it is not uploaded again."""
    server.shelf.delay = 2
    send(server, tmp_path)

    assert once(server)
    assert len(server.shelf.shared) == 2


def test_a_chart_that_shows_after_we_gave_up_is_not_shown_twice(server: SlackServer, tmp_path: Path) -> None:
    """What Slack took and did not show in time is deleted before it is uploaded again."""
    server.shelf.delay = 9
    send(server, tmp_path)
    server.shelf.delay = 0
    for _ in range(3):
        send(server, tmp_path)

    assert once(server)


def test_a_chart_of_an_earlier_edition_that_shows_late_does_not_stay(server: SlackServer, tmp_path: Path) -> None:
    """What Slack took and the later edition no longer has is deleted before it can show."""
    server.shelf.delay = 60
    send(server, tmp_path, CHARTS[:1])
    server.shelf.delay = 0
    later = (chart("timeline", b"\x89PNG later"),)
    send(server, tmp_path, later)
    client = WebClient(token=TOKEN, base_url=f"{server.url}/", retry_handlers=[])
    for _ in range(60):
        client.conversations_replies(channel=CHANNEL, ts=server.messages[0]["ts"])

    assert once(server, later)


def test_charts_that_slack_never_shows_are_given_up(server: SlackServer, tmp_path: Path) -> None:
    """The briefing leaves the spool after a bounded number of deliveries, and the last one says so."""
    server.faults.append(Fault("500", "files.completeUploadExternal", times=1_000))
    send(server, tmp_path, CHARTS[:1])
    for day in range(1, 10):
        done = deliver(CALM, f"2026-12-{day:02d}", chosen(tmp_path, server.url), sleep=Clock().sleep)
        if spooled(tmp_path) == []:
            break

    assert spooled(tmp_path) == []
    assert "given up" in done.reasons[0]
    assert posted_once(server)


def naive(server: SlackServer, thread_ts: str) -> None:
    """Upload as one would: what does not show is uploaded again."""
    client = WebClient(token=TOKEN, base_url=f"{server.url}/", timeout=1, retry_handlers=[])
    for _ in range(2):
        client.files_upload_v2(
            filename=pictures(CHARTS[:1], NIGHT)[0].name, file=b"\x89PNG one", channel=CHANNEL, thread_ts=thread_ts
        )
    for _ in range(5):
        client.conversations_replies(channel=CHANNEL, ts=thread_ts)


def test_an_uploader_that_does_not_delete_is_caught(server: SlackServer, tmp_path: Path) -> None:
    """The control: uploading again what shows late leaves it there twice, and the same check sees it."""
    send(server, tmp_path, ())
    server.shelf.delay = 2
    naive(server, server.messages[0]["ts"])

    assert not once(server, CHARTS[:1])


def test_a_description_that_keeps_slack_from_showing_a_chart_is_left_out(server: SlackServer, tmp_path: Path) -> None:
    """Slack is known to drop files that carry one: the second try has none, and the words stand beside the chart."""
    server.shelf.drops_described = True
    done = send(server, tmp_path)

    assert once(server)
    assert done.reasons == ()
    assert {file["alt_txt"] for file in server.shelf.files.values()} == {""}


def test_a_missing_permission_leaves_the_briefing_and_says_what_to_give(server: SlackServer, tmp_path: Path) -> None:
    """The messages stand there, the thread says why no chart does, and nothing is tried again for ever."""
    server.shelf.allowed = False
    done = send(server, tmp_path)

    assert all("files:write" in reason for reason in done.reasons)
    assert len(done.reasons) == 1
    assert done.effects[0].verified
    assert posted_once(server, len(BUSY) + 1)
    assert "files:write" in server.messages[-1]["text"]
    assert spooled(tmp_path) == []
    send(server, tmp_path)
    assert posted_once(server, len(BUSY) + 1)


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
@pytest.mark.parametrize("kind", ["429", "500", "ratelimited"])
def test_charts_that_wait_keep_the_parcel_and_nothing_else(
    server: SlackServer, tmp_path: Path, method: str, kind: str
) -> None:
    """The briefing is delivered, one line says what waits, and the next delivery shows each chart once."""
    server.faults.append(Fault(kind, method, times=1_000, retry_after="100"))
    done = send(server, tmp_path)
    assert posted_once(server)
    assert done.effects[0].verified
    assert len(done.reasons) == 1
    assert "spooled" in done.reasons[0]
    assert spooled(tmp_path) == [NIGHT]

    server.faults.clear()
    deliver(CALM, "2026-11-24", chosen(tmp_path, server.url), sleep=Clock().sleep)

    assert once(server)
    assert posted_once(server)
    assert spooled(tmp_path) == []


def test_what_is_no_chart_of_ours_is_left_alone(server: SlackServer, tmp_path: Path) -> None:
    """A file that a person put into the thread stays, whatever its name."""
    send(server, tmp_path)
    theirs: dict[str, Any] = {
        "id": "F9",
        "name": f"{NIGHT}-timeline-000000000000.png",
        "mode": "hosted",
    }
    reply = {"user": "U0SOMEBODY", "ts": "1799999999.000000", "thread_ts": server.messages[0]["ts"], "files": [theirs]}
    server.messages.append({"type": "message", "text": "look", **reply})
    send(server, tmp_path)

    assert server.messages[-1]["files"] == [theirs]
    assert "files.delete" not in server.calls()


def test_charts_are_bounded_and_named_by_what_they_hold() -> None:
    """Too large, empty or damaged ones are left out, a night has few, and a name holds nothing of anybody else's."""
    bad = (chart("huge", b"x" * (MOST_BYTES + 1)), chart("none", b""), CHARTS[0].model_copy(update={"png": "§"}))
    assert pictures(bad, NIGHT) == ()
    many = tuple(chart(f"../../x {n} <!channel>", str(n).encode()) for n in range(20))
    found = pictures(many, NIGHT)
    assert len(found) == MOST_CHARTS
    assert all(set(picture.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.") for picture in found)
    assert all(".." not in picture.name for picture in found)


def test_an_address_elsewhere_gets_no_chart(server: SlackServer, tmp_path: Path) -> None:
    """What Slack names as the place to send a chart to is https, or the stand-in itself; never a file or another."""
    url, server.url = server.url, "file:///etc/api"
    done = deliver(BUSY, NIGHT, chosen(tmp_path, url), images=CHARTS, sleep=Clock().sleep)

    assert "no address" in done.reasons[0]
    assert "upload" not in server.calls()
