"""A process may be killed at any step of a flush, and each notice still reaches Slack exactly once, in order."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_workers.notices.outbox import Outbox
from forge_workers.notices.send import flush
from tests.notices.broken import flush_blindly
from tests.notices.conftest import Killer
from tests.notices.scenes import NOON, Clock, chosen, notice, once_in_order, put
from tests.standins.slack import Fault, SlackServer

#: Hundreds of processes.
pytestmark = pytest.mark.slow

#: More steps than a flush takes; a bound on the loops below.
_MOST_STEPS = 600
#: What stands in Slack in the end: two that told the same were merged, and one was added to what was there.
ENDS = (("x", 2), ("a", 2), ("b", 1))


def scene(server: SlackServer, home: Path) -> None:
    """Make a home in which one message is sent, a repeat of it waits, and so do two that tell the same and another."""
    clock = Clock()
    put(home, notice("x"))
    flush(chosen(home, server.url), now=clock.now, sleep=clock.sleep)
    put(home, notice("y", "x"), notice("a"), notice("b"), notice("c", "a"))


def later(server: SlackServer, home: Path) -> None:
    """Flush in this process, some time later."""
    clock = Clock(NOON + 200)
    flush(chosen(home, server.url), now=clock.now, sleep=clock.sleep)


def blindly(server: SlackServer, home: Path) -> None:
    """Flush without looking for what was left under way."""
    flush_blindly(home, server.url, Clock(NOON + 200))


def broken_at(
    server: SlackServer, killer: Killer, tmp_path: Path, then: Callable[[SlackServer, Path], None], stride: int = 1
) -> tuple[bool, int]:
    """Kill a flush at one step after the other; whether Slack then does not hold what it should, and at which step."""
    scene(server, tmp_path / "first")
    messages = copy.deepcopy(server.messages)
    for step in range(1, _MOST_STEPS, stride):
        home = tmp_path / "home"
        shutil.copytree(tmp_path / "first", home)
        server.messages[:] = copy.deepcopy(messages)
        killer.start("flush", home, server.url, step)
        killed = killer.ended()
        then(server, home)
        broken = not once_in_order(server, *ENDS) or Outbox(home).waiting() > 0
        if broken or not killed:
            return broken, step
        shutil.rmtree(home)
    raise AssertionError("the flush never came to its end")


def test_a_flush_killed_at_every_step_in_turn_tells_each_notice_once(
    server: SlackServer, killer: Killer, tmp_path: Path
) -> None:
    """Before every file written, renamed, removed or locked, every connection and every request."""
    broken, step = broken_at(server, killer, tmp_path, later)

    assert not broken, step
    assert step > 40


def test_a_flush_that_does_not_look_is_caught(server: SlackServer, killer: Killer, tmp_path: Path) -> None:
    """The control: without looking for what was under way, some step leaves a message twice."""
    broken, _ = broken_at(server, killer, tmp_path, blindly, stride=3)

    assert broken


@pytest.mark.parametrize("method", ["chat.update", "chat.postMessage"])
@pytest.mark.parametrize("kind", ["hang", "hang_before"])
def test_a_flush_killed_while_slack_answers_tells_each_notice_once(
    server: SlackServer, killer: Killer, tmp_path: Path, kind: str, method: str
) -> None:
    """SIGKILL between Slack's keeping a message, or not, and our hearing of it."""
    scene(server, tmp_path)
    server.faults.append(Fault(kind, method))
    child = killer.start("flush", tmp_path, server.url, 0)
    assert server.hanging.wait(60)
    os.kill(child, signal.SIGKILL)
    assert killer.ended()
    later(server, tmp_path)

    assert once_in_order(server, *ENDS)


def test_a_job_killed_at_every_step_and_done_again_tells_its_notice_once(
    server: SlackServer, killer: Killer, tmp_path: Path
) -> None:
    """A job that comes a second time, wherever the first was killed, is one notice."""
    for step in range(1, _MOST_STEPS):
        home = tmp_path / str(step)
        server.messages.clear()
        killer.start("notify", home, server.url, step)
        killed = killer.ended()
        killer.start("notify", home, server.url, 0)
        assert not killer.ended()
        assert once_in_order(server, ("job", 1)), step
        shutil.rmtree(home)
        if not killed:
            break
    assert not killed
    assert step > 30


def test_notices_that_are_kept_nowhere_are_caught(server: SlackServer, killer: Killer, tmp_path: Path) -> None:
    """The control: a sender without an outbox that is killed loses what it had not sent, and the same check sees it."""
    server.faults.append(Fault("hang", after=1))
    child = killer.start("plain", tmp_path, server.url, 0)
    assert server.hanging.wait(60)
    os.kill(child, signal.SIGKILL)
    assert killer.ended()
    with contextlib.suppress(FileNotFoundError):
        later(server, tmp_path)

    assert not once_in_order(server, ("a", 1), ("b", 1), ("c", 1))
