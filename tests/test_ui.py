"""Dagster's own web server and daemon on Forge's nights, as ``forge ui`` starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from forge_workers.catalog import SERVICES, WORKERS
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights.week import WEEKLY
from tests.standins.dagster import answers, asked, free_port, wait_until
from tests.standins.forge import ROOT, Forge, forge_in
from tests.standins.nights import SUNDAY, git_log_count
from tests.standins.repositories import HOUR, MONDAY, synthetic

pytestmark = pytest.mark.slow

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
ASSETS = "{ assetNodes { assetKey { path } groupName description owners { __typename } kinds } }"


@contextmanager
def pages(forge: Forge) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start ``forge ui`` and give its port when it answers; end it with Ctrl-C."""
    port = free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", "forge_workers", "ui", "--port", str(port)],
        env=forge.environ,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(port), 120, look_s=0.25)
        yield port, started
    finally:
        family = psutil.Process(started.pid).children(recursive=True)
        os.killpg(started.pid, signal.SIGINT)
        started.wait(timeout=90)
        assert not [p for p in psutil.wait_procs(family, timeout=30)[1] if p.is_running()], "something was left running"


def listening(process: int) -> set[str]:
    """Return the addresses at which ``process`` and its children listen."""
    family = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    sockets = (c for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN)
    return {c.laddr.ip for c in sockets}


def test_a_night_launched_from_the_pages_is_briefed_by_the_daemon(tmp_path: Path) -> None:
    """The assets are shown, the run goes through queue and daemon, and the sensor makes the briefing after it."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with forge_in(tmp_path, repo.path) as forge:
        with pages(forge) as (port, started):
            nodes = asked(port, ASSETS)["assetNodes"]
            selector = {"repositoryName": "__repository__", "repositoryLocationName": "forge_assets.definitions"}
            tags = [{"key": "dagster/partition", "value": SUNDAY}]
            params = {"selector": {**selector, "jobName": "night"}, "executionMetadata": {"tags": tags}}
            launched = asked(port, LAUNCH, params=params)["launchPipelineExecution"]
            wait_until((forge.home / "briefings" / f"{SUNDAY}.html").is_file, 120, look_s=0.25)
            where = listening(started.pid)
        counted = forge.report("commit_log", SUNDAY).numbers["commits"]

    assert sorted(node["assetKey"]["path"] for node in nodes) == sorted(
        [
            *([asset] for asset in (*STEPS, BRIEFING, WEEKLY)),
            *(["workers", name] for name in WORKERS),
            *(["services", name] for name in SERVICES),
        ]
    )
    assert all(node["groupName"] and node["description"] and node["owners"] and node["kinds"] for node in nodes)
    assert launched["__typename"] == "LaunchRunSuccess"
    assert where <= {"127.0.0.1", "::1"}
    assert counted == git_log_count(repo.path, SUNDAY)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """Another program on the port is named as the reason, with what to type instead."""
    with socket.socket() as taken, forge_in(tmp_path) as forge:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = forge.run("ui", "--port", str(port))

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"forge: port {port} cannot be used (Address already in use): try ")
