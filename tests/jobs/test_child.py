"""One job in its own process: exactly one outcome, whatever the handler does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forge_workers.jobs.outcome import MOST_TRACEBACK
from forge_workers.jobs.results import Results
from tests.jobs.keeping import JOB, ROOT, Kept, kept, order_for
from tests.standins.repositories import Repo

pytestmark = pytest.mark.slow

TOYS = "tests.jobs.toys"


def toy(home: Path, name: str, **args: object) -> dict[str, object]:
    """Return the order for one of the toys."""
    return order_for(home, f"{TOYS}:{name}", **args)


def alive(pid: int) -> bool:
    """Whether a process works, zombies left out."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    """Whether a process ends in time."""
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_a_job_is_done_and_its_report_kept(tmp_path: Path) -> None:
    """Progress comes first, then one outcome; the whole report is in the results with a receipt."""
    ended = kept(toy(tmp_path, "hello", n=3, queued_at=1_772_409_600.0))

    assert ended.code == 0
    assert [line["progress"] for line in ended.lines[:-1]] == ["reading the job", "toy", "keeping the report"]
    assert ended.done == {
        "asset": "hello",
        "night": "2026-03-02",
        "outcome": "ran",
        "headline": "Hello.",
        "reasons": [],
        "findings": 0,
        "new": 0,
        "urgent": 0,
        "numbers": {},
        "level": None,
    }
    report = Results(tmp_path).load("toy", JOB)
    assert report is not None
    assert report.data["args"] == {"n": 3}
    assert report.receipt is not None
    assert report.receipt.asset == "hello"


def test_without_the_lease_no_model_is_asked(tmp_path: Path) -> None:
    """A row that does not ask for the GPU gets a gateway that asks nobody, whatever the settings say."""
    environ = {"FORGE_MODELS_ENGINE": "ollama", "FORGE_MODELS_OLLAMA_URL": "http://127.0.0.1:9"}

    without = kept(toy(tmp_path, "hello"), **environ)
    under = kept(toy(tmp_path, "hello", gpu=True, term=1, device="local:0", job_id="f" * 32), **environ)

    assert without.code == under.code == 0
    reports = [Results(tmp_path).load("toy", job_id) for job_id in (JOB, "f" * 32)]
    said = [str(report.data["no_model"]) for report in reports if report is not None]
    assert said[0] == "toy works without the GPU lease, so it asks none"
    assert "127.0.0.1:9" in said[1]


@pytest.mark.parametrize(
    ("what", "kind", "delay_s", "message"),
    [
        ("snooze", "snooze", 7.5, "not now"),
        ("permanent", "permanent", None, "it never works"),
        ("transient", "transient", None, "it may work later"),
        ("lease_lost", "lease_lost", None, "The GPU lease is no longer held; stop using the device now."),
        ("exit", "other", None, "SystemExit: 3"),
        ("value", "other", None, "ValueError: no luck second line"),
        ("silent", "other", None, "Silent, which cannot say what is wrong"),
    ],
)
def test_what_a_handler_raises_is_told_by_kind(
    tmp_path: Path, what: str, kind: str, delay_s: float | None, message: str
) -> None:
    """Every error becomes one plain line and a kind that decides about another attempt."""
    raised = kept(toy(tmp_path, "raises", what=what)).raised

    assert (raised["kind"], raised["delay_s"], raised["message"]) == (kind, delay_s, message)
    assert what == "silent" or "toys.py" in raised["traceback"]


def test_an_endless_error_is_cut_at_its_beginning(tmp_path: Path) -> None:
    """The end of a traceback is kept, where the reason stands."""
    raised = kept(toy(tmp_path, "raises", what="deep")).raised

    assert len(raised["traceback"]) <= MOST_TRACEBACK
    assert len(raised["message"]) <= 300


def test_no_secret_leaves_in_an_error(tmp_path: Path) -> None:
    """Forge's own secrets are hidden in message and traceback."""
    ended = kept(toy(tmp_path, "raises", what="secret"), FORGE_SLACK_TOKEN="xoxb-17-planted-secret")

    assert "planted" not in json.dumps(ended.lines)
    assert "[redacted: " in ended.raised["message"]
    assert "[redacted: " in ended.raised["traceback"]


def test_numbers_that_json_cannot_hold_are_left_out(tmp_path: Path) -> None:
    """What is told can be read by every reader of JSON."""
    assert kept(toy(tmp_path, "numbers")).done["numbers"] == {"one": 1.0}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (f"{TOYS}:nonsense", f"{TOYS}:nonsense returned dict, not a Report"),
        (f"{TOYS}:not_there", rf"the row toy: {TOYS}:not_there cannot be loaded: .*not_there"),
        ("tests.jobs.no_such_module:x", r"the row toy: tests.jobs.no_such_module:x cannot be loaded: .*no_such_module"),
        (f"{TOYS}:NO_FUNCTION", f"the row toy: {TOYS}:NO_FUNCTION is no function"),
        ("", "the row toy names no function: write module:name"),
    ],
)
def test_a_row_without_a_function_is_named_in_one_line(tmp_path: Path, function: str, message: str) -> None:
    """A function that is missing, or returns what is no report, is buried with its row's name."""
    raised = kept(order_for(tmp_path, function)).raised

    assert raised["kind"] == "permanent"
    assert re.match(message, raised["message"])


def test_a_wrong_setting_is_said_as_it_is_to_a_person(tmp_path: Path) -> None:
    """The line that names the key reaches whoever reads the dead letter."""
    raised = kept(toy(tmp_path, "hello"), FORGE_MODELS_TIMEOUT_S="soon").raised

    assert raised["kind"] == "permanent"
    assert raised["message"] == "FORGE_MODELS_TIMEOUT_S must be a number, not 'soon'"


@pytest.mark.parametrize("order", [b"no json\n", b"[]\n", b'{"function": "x:y"}\n', b'{"job": 1}\n'])
def test_what_is_no_order_is_refused(order: bytes) -> None:
    """An order that cannot be read is an outcome too."""
    raised = kept(order).raised

    assert raised["kind"] == "permanent"
    assert raised["message"].startswith("the order cannot be read: ")


@pytest.mark.parametrize("name", ["close_files", "print_much", "fork", "stray", "read_input"])
def test_a_handler_that_misbehaves_still_has_its_outcome(tmp_path: Path, name: str) -> None:
    """Closed files, 50 MB of output, a fork that comes back, a thread that stays, a read of the input: one outcome."""
    began = time.monotonic()
    ended = kept(toy(tmp_path, name, path=str(tmp_path / "file")))

    assert ended.code == 0
    assert ended.done["outcome"] == "ran"
    assert time.monotonic() - began < 30
    assert name != "close_files" or (tmp_path / "file").read_bytes() == b""
    assert name != "print_much" or len(ended.output) >= 50_000_000


@pytest.mark.parametrize(("name", "code"), [("abort", -6), ("leave", 5)])
def test_a_process_that_dies_tells_nothing(tmp_path: Path, name: str, code: int) -> None:
    """No outcome is told of what nobody can know; the exit code is the process's own."""
    ended = kept(toy(tmp_path, name))

    assert [line for line in ended.lines if "progress" not in line] == []
    assert ended.code == code


def test_a_keeper_that_dies_takes_the_whole_group_with_it(tmp_path: Path) -> None:
    """When the life line closes, the handler and what it forked are gone at once."""
    mark = tmp_path / "child"
    with Kept(toy(tmp_path, "hang", path=str(mark))) as process:
        until = time.monotonic() + 30
        while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
            time.sleep(0.02)
        left = int(mark.read_text())
        assert alive(left)
        process.life_line.close()

        assert gone_within(process.process.pid, 2)
        assert gone_within(left, 2)


def test_a_keeper_that_dies_before_its_order_leaves_nobody(tmp_path: Path) -> None:
    """A process that was never told what to do ends."""
    with Kept(b'{"function": ') as process:
        process.life_line.close()

        assert gone_within(process.process.pid, 10)


def test_a_process_without_the_life_line_outlives_its_keeper(tmp_path: Path) -> None:
    """The control: the same handler, called without the frame, goes on when its input closes."""
    mark = tmp_path / "child"
    call = (
        f"from {TOYS} import hang; from types import SimpleNamespace as O; hang(O(args={{'path': {str(mark)!r}}}), 0)"
    )
    bare = subprocess.Popen(
        [sys.executable, "-c", call], stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True, env=dict(os.environ)
    )
    try:
        until = time.monotonic() + 30
        while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
            time.sleep(0.02)
        assert bare.stdin is not None
        bare.stdin.close()

        assert not gone_within(int(mark.read_text()), 1)
    finally:
        os.killpg(bare.pid, 9)
        bare.wait(10)


def test_the_same_job_done_twice_keeps_one_result(tmp_path: Path) -> None:
    """A second run of a job replaces what the first one kept."""
    order = toy(tmp_path, "hello", n=1)

    kept(order)
    kept(order)

    assert Results(tmp_path).jobs("toy") == (JOB,)


def test_upstream_reports_reach_the_function_by_their_assets_names(tmp_path: Path) -> None:
    """Each upstream function is called in order, and what it returned is handed on."""
    Repo(tmp_path / "src").commit({"a.py": "x = 1\n"})
    upstream = {"commit_log": "forge_workers.code.commits:commit_log", "hello": f"{TOYS}:hello"}

    ended = kept(toy(tmp_path, "hello", upstream=upstream), FORGE_REPOSITORIES=str(tmp_path / "src"))

    assert [line["progress"] for line in ended.lines[1:4]] == ["commit_log", "hello", "toy"]
    report = Results(tmp_path).load("toy", JOB)
    assert report is not None
    assert report.data["upstream"] == ["commit_log", "hello"]
