"""The ledger and the record: what is remembered, for how long, and what a disk that refuses means."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.socket_mode.request import SocketModeRequest

from forge_workers.briefing.buttons import Verb, action_id
from forge_workers.errors import Transient
from forge_workers.feedback import Feedback
from forge_workers.slack_gateway.envelope import Ask, read
from forge_workers.slack_gateway.ledger import KEPT_S, Ledger
from forge_workers.slack_gateway.record import Record
from tests.slack_gateway.scenes import ALICE, NOON, POSTED, SHELL, Desk, carried, wait_for
from tests.standins.slack import Fault
from tests.standins.slack_socket import pressed


def ask(key: str = "k", at: float = NOON, **more: Any) -> Ask:
    """Return a press."""
    facts = {"kind": "button", "by": ALICE, "team": "T", "app": "A", "name": "forge.up", **more}
    return Ask(key=key, at=at, **facts)


def test_a_key_is_taken_once_by_whatever_process(tmp_path: Path) -> None:
    """A restart remembers it."""
    assert Ledger(tmp_path).take(ask())
    assert not Ledger(tmp_path).take(ask(at=NOON + 9))
    assert Ledger(tmp_path).take(ask("other"))


def test_of_eight_threads_that_take_one_key_one_has_it(tmp_path: Path) -> None:
    """Taking is one step in the file."""
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(Ledger(tmp_path).take(ask()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got.count(True) == 1


def test_what_is_done_and_told_is_forgotten_but_for_its_key(tmp_path: Path) -> None:
    """Reasons and addresses for answers do not stay on disk; after two weeks not even the key does."""
    ledger = Ledger(tmp_path)
    ledger.take(ask(reason="a private reason", response_url="https://hooks.slack.com/secret"))
    ledger.done(ask(), "Done.")
    assert [left.said for left in ledger.unfinished()] == ["Done."]
    ledger.told(ask())

    assert ledger.unfinished() == ()
    rows = sqlite3.connect(tmp_path / "spool" / "slack_gateway.sqlite").execute("SELECT * FROM asks").fetchall()
    assert "private" not in repr(rows)
    assert "hooks" not in repr(rows)
    ledger.take(ask("later", at=NOON + KEPT_S + 1))
    assert ledger.take(ask())


def test_a_claim_goes_to_one_ask_until_it_is_released_or_old(tmp_path: Path) -> None:
    """The second hears who was first; an ask may claim again what it has."""
    ledger = Ledger(tmp_path)
    for key in ("a", "b"):
        ledger.take(ask(key))

    assert ledger.claim(ask("a"), "night", NOON - 600) is None
    assert ledger.claim(ask("a"), "night", NOON - 600) is None
    assert ledger.claim(ask("b"), "night", NOON - 600) == (ALICE, NOON)
    assert ledger.claim(ask("b"), "other", NOON - 600) is None
    ledger.release(ask("a"))
    assert ledger.claim(ask("b"), "night", NOON - 600) is None
    assert ledger.claim(ask("a"), "night", NOON + 1) is None


def test_an_ask_that_another_version_wrote_is_passed_over(tmp_path: Path) -> None:
    """It cannot be done, and stops nothing."""
    ledger = Ledger(tmp_path)
    ledger.take(ask())
    with sqlite3.connect(tmp_path / "spool" / "slack_gateway.sqlite") as asks:
        asks.execute("UPDATE asks SET ask = '{}'")

    assert ledger.unfinished() == ()


def test_a_damaged_ledger_refuses_and_says_which_file(at_desk: Desk) -> None:
    """Nothing is done without it: a press might be done twice. The press is acknowledged and answered all the same."""
    path = at_desk.home / "spool" / "slack_gateway.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no database " * 1_000)

    with pytest.raises(Transient, match=r"slack_gateway\.sqlite cannot be used"):
        Ledger(at_desk.home).take(ask())
    assert at_desk.press(Verb.UP)["came"] == "failed"
    assert "slack_gateway.sqlite cannot be used" in at_desk.said()
    assert len(at_desk.ear.acks) == 1
    assert Feedback(at_desk.home).views().opinions == ()


def test_an_answer_that_slack_did_not_take_is_given_at_the_next_start(at_desk: Desk) -> None:
    """The act is not repeated."""
    at_desk.web.faults.append(Fault("500", "*", times=2))
    at_desk.press(Verb.UP)
    assert at_desk.web.whispers == []

    assert at_desk.gateway.resume() == 1
    at_desk.idle()

    assert SHELL in at_desk.said()
    assert len(Feedback(at_desk.home).views().opinions) == 1
    assert at_desk.gateway.resume() == 0


def test_a_form_that_a_kill_kept_from_opening_is_said(at_desk: Desk) -> None:
    """Its three seconds are over at the next start; the person is asked to press again."""
    payload = {**pressed(action_id(Verb.DISMISS), carried(Verb.DISMISS), ts=POSTED), "response_url": at_desk.web.hook}
    left = read("interactive", payload, NOON)
    assert left is not None
    Ledger(at_desk.home).take(left)
    at_desk.web.faults.append(Fault("expired_trigger_id", "views.open"))

    at_desk.gateway.resume()
    wait_for(lambda: at_desk.web.whispers)

    assert "press the button again" in at_desk.said()


def test_what_was_asked_long_ago_is_not_done_any_more(at_desk: Desk) -> None:
    """A gateway that was stopped for more than a day tells the person to ask again, once."""
    left = read("interactive", pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED), NOON)
    assert left is not None
    Ledger(at_desk.home).take(left)
    at_desk.now[0] = NOON + 86_401

    assert at_desk.gateway.resume() == 1
    at_desk.idle()

    assert "ask again" in at_desk.said()
    assert Feedback(at_desk.home).views().opinions == ()
    assert at_desk.gateway.resume() == 0


def test_the_record_is_bounded(tmp_path: Path) -> None:
    """A full file makes room, and two are kept."""
    record = Record(tmp_path, most_bytes=1_000)
    for number in range(100):
        record.write(at=float(number), by=ALICE, what="up", target=SHELL, came="done")

    kept = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert kept == ["slack_actions.1.jsonl", "slack_actions.jsonl"]
    assert all(path.stat().st_size <= 1_000 for path in (tmp_path / "logs").iterdir())
    assert json.loads(record.path.read_text().splitlines()[-1])["at"] == 99.0


def test_a_record_on_a_disk_that_refuses_stops_nothing(at_desk: Desk) -> None:
    """The press is done, and the service's own log says what is missing."""
    (at_desk.home / "logs").write_text("a file where the folder should be")
    payload = pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED)
    at_desk.gateway.hear(at_desk.ear, SocketModeRequest("interactive", "e", payload))
    wait_for(lambda: at_desk.web.whispers)

    assert len(Feedback(at_desk.home).views().opinions) == 1


@pytest.mark.parametrize("text", ["a\nb", "\u202e", '"},{"', "x" * 9_999])
def test_a_line_of_the_record_is_one_line(tmp_path: Path, text: str) -> None:
    """Nothing that is recorded can make a second one, or an endless one."""
    record = Record(tmp_path)
    record.write(at=1.0, by=text, what=text, target=text, came="refused", why=text)

    (line,) = record.path.read_text().splitlines()
    assert len(line) < 1_500
    assert json.loads(line)["came"] == "refused"
