"""The service over a real WebSocket, with slack_sdk's own clients: in time, once, whatever Slack does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_workers.briefing.buttons import Verb, action_id
from forge_workers.dismissals import Dismissals
from forge_workers.feedback import Feedback
from forge_workers.slack_gateway.gateway import Gateway
from tests.slack_gateway.scenes import ALICE, MAY, NIGHT, SHELL, Live, carried, furnish, live, record_of, wait_for
from tests.standins.slack import CHANNEL, TOKEN, Fault, slack_server
from tests.standins.slack_socket import APP_TOKEN, PATIENCE_S, pressed, slack_socket, submitted, typed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Live]:
    """The service, connected."""
    with live(tmp_path) as service:
        yield service


def press(running: Live, verb: Verb = Verb.UP, **more: Any) -> dict[str, Any]:
    """Return the payload of a press a minute after the briefing was posted."""
    payload = pressed(action_id(verb), carried(verb), ts=f"{time.time() - 60:.6f}", **more)
    return {**payload, "response_url": running.web.hook}


def once(running: Live, number: int = 1) -> bool:
    """The check of these tests: the presses were done, each once, and each was answered once."""
    return len(Feedback(running.home).views().opinions) == number == len(running.web.whispers)


def test_a_press_a_form_and_a_command_over_the_wire(running: Live) -> None:
    """Each is acknowledged, done and answered."""
    running.socket.push("interactive", press(running, Verb.DISMISS)).wait()
    wait_for(lambda: running.web.views)
    running.socket.push("interactive", submitted(running.web.views[0], "Fine")).wait()
    wait_for(lambda: SHELL in Dismissals(running.home).all())
    running.socket.push("slash_commands", {**typed("nights"), "response_url": running.web.hook}).wait()
    wait_for(lambda: any(NIGHT in one["text"] for one in running.web.whispers))

    assert [line["came"] for line in record_of(running.home)] == ["done"] * 3


def test_an_envelope_delivered_twice_acts_once(running: Live) -> None:
    """Both deliveries are acknowledged."""
    running.socket.push("interactive", press(running), twice=True).wait()
    wait_for(lambda: len(record_of(running.home)) == 2)

    wait_for(lambda: once(running))


def test_a_connection_cut_in_the_middle_of_a_press_costs_nothing(running: Live) -> None:
    """The press is delivered, the connection ends without a word, Slack delivers again over the next: it acts once."""
    running.socket.hang_up_on = 1
    sent = running.socket.push("interactive", press(running))

    sent.wait(20)
    wait_for(lambda: once(running))
    assert sent.deliveries == 2
    assert running.socket.opened == 2


def test_a_lost_acknowledgement_costs_nothing(running: Live) -> None:
    """It was done already when Slack delivers again."""
    running.socket.lose_acks = 1
    sent = running.socket.push("interactive", press(running))

    sent.wait(20)
    wait_for(lambda: once(running))
    assert sent.deliveries >= 2


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_slack_refreshing_the_connection_is_followed(running: Live, reason: str) -> None:
    """Another connection is opened, and presses go on over it."""
    running.socket.disconnect(reason)
    wait_for(lambda: running.socket.opened >= 2, 15)

    running.socket.push("interactive", press(running)).wait(20)
    wait_for(lambda: once(running))


def test_socket_mode_switched_off_and_on_again(running: Live) -> None:
    """While it is off the service keeps asking; when it is back, it takes what waits."""
    running.socket.disconnect("link_disabled")
    wait_for(lambda: running.web.calls()["apps.connections.open"] >= 3, 15)
    sent = running.socket.push("interactive", press(running))
    assert not sent.done.is_set()

    running.web.link_disabled = False
    sent.wait(20)
    wait_for(lambda: once(running))


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "[]", "null", '"x"', "{}", '{"type":"interactive"}', '{"type":7,"envelope_id":[],"payload":{}}',
     '{"type":"interactive","envelope_id":"x","payload":[1]}', '{"a":' * 5_000, "\x00\ufffd" * 100],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)  # fmt: skip
def test_garbage_on_the_wire_stops_nothing(running: Live, garbage: str) -> None:
    """What is no envelope is passed over, and the next press is answered."""
    running.socket.raw(garbage)

    running.socket.push("interactive", press(running)).wait()
    wait_for(lambda: once(running))


def test_a_hundred_presses_at_once_are_acknowledged_in_time(running: Live) -> None:
    """Each within three seconds, though each is written to disk first."""
    sent = [
        running.socket.push("interactive", press(running, user={"id": f"U{n:03}", "team_id": "T1"})) for n in range(100)
    ]
    for one in sent:
        one.wait()

    slowest = max(one.acked_after or 0.0 for one in sent)
    assert slowest < PATIENCE_S, slowest
    assert all(one.deliveries == 1 for one in sent)
    wait_for(lambda: once(running, 100), 30)


class _ActsFirst(Gateway):
    """The control: it acknowledges when the act is done."""

    def _take(self, client: Any, request: Any, ask: Any) -> None:
        if self._ledger.take(ask):
            self._work(ask)
        self._acknowledge(client, request)


def test_the_control_that_acknowledges_last_is_too_late(tmp_path: Path) -> None:
    """With a Slack that answers after four seconds it is delivered again; the gateway itself is not."""
    for make, deliveries in ((Gateway, 1), (_ActsFirst, 2)):
        with live(tmp_path / make.__name__, make=make) as running:
            running.web.faults.append(Fault("slow", "response_url"))
            sent = running.socket.push("interactive", press(running))
            wait_for(lambda: running.web.whispers, 20)
            sent.wait(20)
            assert sent.deliveries == deliveries


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with settings but no token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FORGE_")}
    home = tmp_path / "forge"
    furnish(home)
    return {**kept, "FORGE_HOME": str(home), "FORGE_TIMEZONE": "Europe/Paris"}


COMMAND = [sys.executable, "-m", "forge_workers.slack_gateway"]


def test_without_tokens_it_says_so_and_ends_well(environment: dict[str, str]) -> None:
    """One line names what is not set; the exit code is 0."""
    done = subprocess.run(COMMAND, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "slack.token and slack.app_token and slack.channel not set" in done.stderr


def test_sigterm_ends_the_process_within_seconds_and_a_second_one_is_refused(environment: dict[str, str]) -> None:
    """Also while Slack is asked for a connection; no token is in its log."""
    with slack_server() as web, slack_socket(web) as socket:
        chosen = {"TOKEN": TOKEN, "APP_TOKEN": APP_TOKEN, "CHANNEL": CHANNEL, "API_URL": web.url}
        env = {**environment, **{f"FORGE_SLACK_{name}": value for name, value in chosen.items()}}
        with subprocess.Popen(COMMAND, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert socket.connected.wait(30)
                second = subprocess.run(COMMAND, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                log = process.communicate(timeout=15)[1]
                took = time.monotonic() - began
            finally:
                process.kill()

        assert (process.returncode, second.returncode) == (0, 2)
        assert took < 8
        assert "another slack_gateway runs" in second.stderr
        assert not any(token in log + second.stderr for token in (TOKEN, APP_TOKEN, "ticket"))


def test_it_waits_for_a_slack_that_is_away_at_the_start(tmp_path: Path) -> None:
    """It asks again until Slack answers, and then connects."""
    home = tmp_path / "forge"
    with live(tmp_path, faults=(Fault("500", "auth.test", times=2), Fault("500", "apps.connections.open"))) as running:
        running.socket.push("interactive", press(running)).wait()
        wait_for(lambda: once(running))

    assert running.home == home
    assert running.web.calls()["auth.test"] == 3
    assert MAY.work == (ALICE,)
