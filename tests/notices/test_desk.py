"""The worker ``slack_notifier``: a notice is kept before anything else, and what Slack does is no fault of the job."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forge_workers.errors import BadArgs, Transient
from forge_workers.notices.desk import NotifyResult, flush_only, notify, report_of, slack_notifier
from forge_workers.notices.outbox import Outbox
from forge_workers.notices.watch import waiting
from forge_workers.report import Outcome
from forge_workers.settings import Settings
from tests.notices.scenes import NOON, Clock, chosen, notice, once_in_order, put
from tests.standins.slack import TOKEN, Fault, SlackServer
from tests.standins.tools import tools_of

pytestmark = pytest.mark.slow

GOOD: dict[str, Any] = {"kind": "done", "worker": "pr_digest", "title": "the digest is done"}


@dataclass(frozen=True)
class Asked:
    """What a job asks."""

    args: dict[str, Any] = field(default_factory=dict)
    job_id: str = "job-1"
    queued_at: float = NOON
    night: str = "2026-11-25"


def tell(settings: Settings, job_id: str = "job-1", **changed: Any) -> NotifyResult:
    """Do a job that brings a notice."""
    clock = Clock()
    return notify(GOOD | changed, job_id, settings, at=NOON, now=clock.now, sleep=clock.sleep)


def log(home: Path) -> list[str]:
    """Return the lines of the notices' log."""
    path = home / "logs" / "notices.log"
    return path.read_text().splitlines() if path.exists() else []


def test_a_job_with_a_notice_posts_it(server: SlackServer, tmp_path: Path) -> None:
    """Accepted, posted, verified; the same job again is nothing new."""
    first, again = (tell(chosen(tmp_path, server.url)) for _ in range(2))

    assert once_in_order(server, ("job-1", 1))
    assert (first.accepted, first.flushed.notices) == (True, 1)
    assert (again.accepted, again.flushed.notices) == (False, 0)


def test_a_job_whose_notice_cannot_be_sent_is_done_all_the_same(server: SlackServer, tmp_path: Path) -> None:
    """The notice waits on disk, the report says why, and a job without a notice sends it later."""
    settings = chosen(tmp_path, server.url)
    server.faults.append(Fault("token_revoked", "*", times=1_000))
    done = tell(settings)
    report = report_of(done.flushed, "2026-11-25")
    assert done.accepted
    assert report.outcome is Outcome.DEGRADED
    assert "slack.token" in report.reasons[0]
    assert report.headline == "0 notices delivered, 1 notice waiting."
    server.faults.clear()
    flush_only(settings, now=Clock().now, sleep=Clock().sleep)

    assert once_in_order(server, ("job-1", 1))


def test_the_worker_does_jobs_with_a_notice_and_jobs_without(server: SlackServer, tmp_path: Path) -> None:
    """One function for both: what the catalogue's row names."""
    settings = chosen(tmp_path, server.url)
    report = slack_notifier(Asked(args=GOOD), tools_of(settings, NOON))
    empty = slack_notifier(Asked(), tools_of(settings, NOON))

    assert once_in_order(server, ("job-1", 1))
    assert (report.outcome, report.headline) == (Outcome.RAN, "1 notice delivered.")
    assert report.effects[0].verified
    assert (empty.numbers["messages"], empty.effects) == (0, ())
    assert server.calls()["chat.postMessage"] == 1


def test_bad_arguments_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    """A job that is no notice is told what is wrong with it."""
    with pytest.raises(BadArgs, match="kind of a notice"):
        tell(chosen(tmp_path, "http://127.0.0.1:9"), kind="gossip")

    assert list(tmp_path.iterdir()) == []


def test_a_notice_that_cannot_be_kept_comes_again(tmp_path: Path) -> None:
    """A disk that refuses is a passing fault: the job is not acknowledged."""
    (tmp_path / "spool").write_text("in the way")

    with pytest.raises(Transient, match="could not be kept"):
        tell(chosen(tmp_path, "http://127.0.0.1:9"))


@pytest.mark.parametrize("where", ["title", "detail", "worker", "reason"])
@pytest.mark.parametrize("form", [TOKEN, TOKEN[::-1], TOKEN.encode().hex()])
def test_own_secrets_are_neither_sent_nor_kept(server: SlackServer, tmp_path: Path, where: str, form: str) -> None:
    """Whatever holds Forge's own token is told as withheld, and its text is nowhere."""
    tell(chosen(tmp_path, server.url), **{where: f"see {form} there"})

    assert once_in_order(server, ("job-1", 1))
    assert "withheld" in server.messages[0]["text"]
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert form not in kept + json.dumps([sent for _, sent in server.requests])


@pytest.mark.parametrize("texts", [(f"see {TOKEN[:12]}", TOKEN[12:]), ("\u200b".join(TOKEN), "")])
def test_a_secret_in_pieces_is_withheld(server: SlackServer, tmp_path: Path, texts: tuple[str, str]) -> None:
    """Title and detail stand next to each other in Slack, and what cannot be seen is gone there."""
    tell(chosen(tmp_path, server.url), title=texts[0], detail=texts[1])

    assert "withheld" in server.messages[0]["text"]


def test_secrets_of_others_are_hidden(server: SlackServer, tmp_path: Path) -> None:
    """A token in somebody's error message does not reach the channel."""
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    tell(chosen(tmp_path, server.url), title=f"push failed with {token}", detail=f"again: {token}")

    assert token not in json.dumps(server.messages)
    assert "redacted" in server.messages[0]["text"]


def test_without_a_token_a_notice_is_one_line_in_a_log(tmp_path: Path) -> None:
    """No Slack is no fault: who, what and when in one plain line, once, and nothing waits."""
    settings = chosen(tmp_path, "http://127.0.0.1:9", token=None)
    tell(settings, title="a\nb\x1b[31m", detail="more", urgent=True)
    done = tell(settings, job_id="job-2")
    tell(settings, job_id="job-2")

    assert log(tmp_path) == [
        "Wed 25 Nov 12:00 urgent done pr_digest: a b[31m: more [job-1]",
        "Wed 25 Nov 12:00 done pr_digest: the digest is done [job-2]",
    ]
    assert (done.flushed.notices, done.flushed.waiting, done.flushed.reasons) == (1, 0, ())
    assert (tmp_path / "logs" / "notices.log").stat().st_mode & 0o077 == 0


def test_a_line_that_was_written_before_a_kill_is_not_written_again(tmp_path: Path) -> None:
    """A process killed between the line and the note of it leaves one line, and a torn one is ended."""
    settings = chosen(tmp_path, "http://127.0.0.1:9", token=None)
    tell(settings)
    torn = (tmp_path / "logs" / "notices.log").read_text() + "Wed 25 No"
    (tmp_path / "logs" / "notices.log").write_text(torn)
    (tmp_path / "spool" / "notices" / "state.json").unlink()
    put(tmp_path, notice("job-1"), notice("job-2"))
    flush_only(settings)

    assert [line[-7:] for line in log(tmp_path)] == ["[job-1]", "d 25 No"[-7:], "[job-2]"]


def test_the_log_is_bounded(tmp_path: Path) -> None:
    """A log past its size is begun anew, and the one before it is kept."""
    settings = chosen(tmp_path, "http://127.0.0.1:9", token=None)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "notices.log").write_text("x" * 1_000_001 + "\n")
    tell(settings)

    assert len(log(tmp_path)) == 1
    assert (tmp_path / "logs" / "notices.log.1").stat().st_size > 1_000_000


def test_a_token_without_a_channel_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """The reason names the setting."""
    done = tell(chosen(tmp_path, "http://127.0.0.1:9", channel=None))

    assert "slack.channel" in done.flushed.reasons[0]
    assert Outbox(tmp_path).waiting() == 1


def test_the_watch_asks_for_a_job_only_when_something_can_go_out(tmp_path: Path) -> None:
    """An empty outbox and one that rests need no process; a rest too long to be true is not believed."""
    assert list(waiting(tmp_path)) == []
    put(tmp_path, notice("a"))
    assert list(waiting(tmp_path)) == [{}]
    Outbox(tmp_path).rest(until=time.time() + 300)
    assert list(waiting(tmp_path)) == []
    Outbox(tmp_path).rest(until=time.time() + 86_400)
    assert list(waiting(tmp_path)) == [{}]
    (tmp_path / "spool" / "notices" / "state.json").write_text("{half")
    assert list(waiting(tmp_path)) == [{}]


def test_the_watch_is_light() -> None:
    """An idle daemon asks without loading what sends."""
    code = "import sys, forge_workers.notices.watch; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"pydantic", "slack_sdk", "filelock", "redis"} & set(loaded) == set()
