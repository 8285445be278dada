"""The rows by day, each in its own process as the daemon starts it: "review this commit now" does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forge_workers import redis_server as server
from forge_workers.code.refs import Refs, read_list
from forge_workers.jobs.queue import prefix_of
from forge_workers.jobs.results import Results
from forge_workers.report import Report
from forge_workers.wire import Wire
from tests.code.test_security import AWS, SHELL
from tests.jobs.keeping import JOB, ROOT, kept, order_of_row
from tests.standins.nights import answered
from tests.standins.ollama import OllamaStandIn
from tests.standins.redis import PrivateRedis
from tests.standins.repositories import HOUR, MONDAY, Repo

pytestmark = pytest.mark.slow


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one harmless commit."""
    made = Repo(tmp_path / "app")
    made.commit({"a.py": "x = 1\n"}, at=MONDAY)
    return made


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose Redis, which a health check starts, is gone afterwards."""
    made = tmp_path / "home"
    yield made
    with contextlib.suppress(OSError):
        server.stop(made)


def result(home: Path, worker: str) -> Report:
    """Return what the job left."""
    report = Results(home).load(worker, JOB)
    assert report is not None
    return report


def test_a_commit_with_a_secret_is_reviewed_now(home: Path, repo: Repo) -> None:
    """The summary counts it as new and urgent; the report has its place and never its value."""
    commit = repo.commit({"config.py": f'key = "{AWS}"\n'}, at=MONDAY + HOUR)
    order = order_of_row(home, "security_review", repository=str(repo.path), commit=commit)

    ended = kept(order, FORGE_REPOSITORIES=str(repo.path))

    assert ended.done["asset"] == "security_review"
    assert ended.done["night"] == "2026-03-02"
    assert ended.done["new"] == ended.done["findings"] >= 1
    assert ended.done["urgent"] >= 1
    report = result(home, "security_review")
    assert {(f.evidence[0].commit, f.evidence[0].path) for f in report.findings} == {(commit, "config.py")}
    assert AWS not in json.dumps(ended.lines) + report.model_dump_json()
    assert not (home / "nights").exists()


def test_a_commit_is_reviewed_by_the_model_under_the_keepers_lease(home: Path, repo: Repo) -> None:
    """The model is asked, progress keeps the lease alive, and the receipt has the lease's term."""
    commit = repo.commit({"a.py": SHELL}, at=MONDAY + HOUR)
    order = order_of_row(home, "code_review", repository=str(repo.path), commit=commit)

    with OllamaStandIn(answer=answered) as ollama:
        ended = kept(order, FORGE_REPOSITORIES=str(repo.path), FORGE_MODELS_OLLAMA_URL=ollama.url)

        assert len(ollama.asked) == 1
    assert ended.done["outcome"] == "ran"
    assert ended.done["numbers"]["reviewed_diffs"] == 1
    assert {"progress": "the model is at work"} in ended.lines
    receipt = result(home, "code_review").receipt
    assert receipt is not None
    assert (receipt.term, receipt.usage.calls) == (7, 1)


def test_a_review_under_an_older_lease_is_refused(home: Path, repo: Repo) -> None:
    """What a later lease wrote stays."""
    commit = repo.commit({"a.py": SHELL}, at=MONDAY + HOUR)
    order = order_of_row(home, "code_review", repository=str(repo.path), commit=commit)
    environ = {"FORGE_REPOSITORIES": str(repo.path), "FORGE_MODELS_ENGINE": "extractive"}
    kept({**order, "term": 8}, **environ)

    raised = kept({**order, "term": 7}, **environ).raised

    assert raised["kind"] == "lease_lost"


def test_an_unknown_commit_is_buried_with_one_line(home: Path, repo: Repo) -> None:
    """Another attempt would end the same way."""
    order = order_of_row(home, "security_review", commit="0123456789")

    raised = kept(order, FORGE_REPOSITORIES=str(repo.path)).raised

    assert raised["kind"] == "permanent"
    assert raised["message"] == "there is no commit 0123456789 in the watched repositories"


def test_amygdala_says_its_level(home: Path, repo: Repo) -> None:
    """The rules' level is in the summary, from a snapshot made on the way, and no model is asked."""
    with OllamaStandIn(answer=answered) as ollama:
        order = order_of_row(home, "amygdala")
        ended = kept(order, FORGE_REPOSITORIES=str(repo.path), FORGE_MODELS_OLLAMA_URL=ollama.url)

        assert ollama.asked == []
    assert ended.done["asset"] == "threat_assessment"
    assert ended.done["level"] in {"GREEN", "YELLOW", "RED"}
    assert "health_snapshot" in [line.get("progress") for line in ended.lines]


@pytest.mark.parametrize("worker", ["pr_digest", "evolution_monitor", "gpu_warmup", "health_check"])
def test_every_other_desk_of_the_night_answers_by_day(home: Path, repo: Repo, worker: str) -> None:
    """Each returns its report, whatever is missing on this machine."""
    ended = kept(
        order_of_row(home, worker),
        FORGE_REPOSITORIES=str(repo.path),
        FORGE_MODELS_OLLAMA_URL="http://127.0.0.1:9",
    )

    assert ended.done["outcome"] in {"ran", "degraded", "skipped"}
    assert result(home, worker).headline == ended.done["headline"]


def test_a_briefing_of_a_night_that_never_was_is_buried(home: Path, repo: Repo) -> None:
    """The row reaches the desk's day face."""
    order = order_of_row(home, "morning_briefing", night="2026-03-01")

    raised = kept(order, FORGE_REPOSITORIES=str(repo.path)).raised

    assert raised["kind"] == "permanent"
    assert raised["message"].startswith("nothing was done for the night 2026-03-01")


def test_a_new_commit_becomes_two_reviews_in_the_real_queue(redis_server: PrivateRedis, repo: Repo) -> None:
    """The cheap look asks, the process finds the commit, and both reviewers have it in line within seconds."""
    home, look, environ = redis_server.home, Refs(), {"FORGE_REPOSITORIES": str(repo.path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGE_REPOSITORIES", str(repo.path))
        assert look.moved(home) == [{}]
        first = kept(order_of_row(home, "repo_watch"), **environ)
        assert look.moved(home) == []
        commit = repo.commit({"a.py": SHELL}, at=MONDAY + HOUR)
        began = time.monotonic()
        asked = look.moved(home)
        second = kept(order_of_row(home, "repo_watch", **asked[0]), **environ)
        took_s = time.monotonic() - began

        assert look.moved(home) == []
    assert asked == [{"repository": str(repo.path)}]
    assert (first.done["numbers"]["jobs"], second.done["numbers"]["jobs"]) == (0.0, 2.0)
    assert took_s < 10
    wire = Wire(f"unix://{redis_server.socket}")
    for worker in ("security_review", "code_review"):
        (raw,) = wire.call("LRANGE", f"{prefix_of(worker)}:waiting", 0, -1)
        job = json.loads(raw)
        assert job["args"] == {"repository": str(repo.path), "commit": commit}
        assert (job["key"], job["by"]) == (f"{repo.path}@{commit}", "repo_watch")


@contextlib.contextmanager
def daemons(home: Path, repo: Repo, *workers: str) -> Iterator[None]:
    """Run one daemon of each worker, as a supervisor would, and stop them at the end."""
    environ = {
        "PATH": os.environ["PATH"],
        "FORGE_HOME": str(home),
        "FORGE_REPOSITORIES": str(repo.path),
        "FORGE_TIMEZONE": "UTC",
        "FORGE_MODELS_ENGINE": "extractive",
    }
    with (home / "daemons.log").open("ab") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "forge_workers.jobs.daemon", worker, "0"], env=environ, cwd=ROOT, stderr=log
            )
            for worker in workers
        ]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Wait until ``what`` holds."""
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.05)
    return what()


def test_a_commit_is_noticed_and_reviewed_by_the_fleet(redis_server: PrivateRedis, repo: Repo) -> None:
    """Two daemons, one commit with a secret, nobody asking: the review is there within seconds."""
    home, results = redis_server.home, Results(redis_server.home)
    with daemons(home, repo, "repo_watch", "security_review"):
        log = home / "daemons.log"
        assert within(60, lambda: read_list(home) is not None), log.read_text()
        commit = repo.commit({"config.py": f'key = "{AWS}"\n'}, at=MONDAY + HOUR)
        began = time.monotonic()

        assert within(60, lambda: bool(results.jobs("security_review"))), log.read_text()
        took_s = time.monotonic() - began

    report = results.load("security_review", results.jobs("security_review")[0])
    assert report is not None
    assert {finding.evidence[0].commit for finding in report.findings} == {commit}
    assert took_s < 30
    assert AWS not in log.read_text()
