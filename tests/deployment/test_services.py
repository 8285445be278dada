"""Dagster's services under the fleet: up with the workers, at work, mended, and down without cutting a night."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from forge_workers.catalog import SERVICES, WORKERS
from forge_workers.night import STEPS
from tests.deployment.runs import launch, port_of, services, status_of
from tests.fleet.processes import daemons, of_home, until
from tests.standins.forge import ROOT, Forge
from tests.standins.nights import SUNDAY, with_model
from tests.standins.ollama import Fault, OllamaStandIn
from tests.standins.repositories import HOUR, MONDAY, synthetic
from tests.test_ui import free_port

pytestmark = pytest.mark.slow
DAGSTERS = ("dagster_code_server", "dagster_daemon", "dagster_webserver")


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[tuple[Forge, OllamaStandIn]]:
    """A home with a repository and a model, whose fleet is down at the end, whatever happened."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    with with_model(tmp_path, repo, FORGE_DAGSTER_PORT=str(free_port())) as (forge, ollama):
        try:
            yield forge, ollama
        finally:
            for process in of_home(forge.home):  # a night that a failed test left would be waited for
                if "multiprocessing" in " ".join(process.cmdline()):
                    process.kill()
            if of_home(forge.home):
                forge.run("down")
            for process in of_home(forge.home):
                process.kill()


def test_the_services_come_up_work_mend_themselves_and_go_down(forge: tuple[Forge, OllamaStandIn]) -> None:
    """A night launched from the pages is run and briefed; each service killed comes back; none is left."""
    at, _ = forge
    first = at.run("up")
    assert first.returncode == 0, first.stdout + first.stderr
    before = services(at)
    assert {name: before[name]["state"] for name in DAGSTERS} == dict.fromkeys(DAGSTERS, "up")
    assert before["dagster_webserver"]["address"] == f"127.0.0.1:{port_of(at)}"
    assert before["slack_gateway"]["state"] == "off"
    assert f"http://127.0.0.1:{port_of(at)}" in first.stdout

    run = launch(at)
    until("the night is done", 150, lambda: status_of(at, run) == "SUCCESS")
    until("its briefing is there", 60, (at.home / "briefings" / f"{SUNDAY}.html").is_file)
    for name in DAGSTERS:
        os.kill(before[name]["pid"], signal.SIGKILL)
    until("all three are back", 90, lambda: {services(at)[name]["state"] for name in DAGSTERS} == {"up"})
    assert not {service["pid"] for service in services(at).values() if service["pid"]} & {
        service["pid"] for service in before.values()
    }
    assert at.run("up").stdout.startswith("The fleet is up already.\n")
    assert "Sensor" in at.run("logs", "dagster_daemon", "-n", "200").stdout
    assert at.run("ui").stderr.startswith(f"The pages are up already: http://127.0.0.1:{port_of(at)}/")

    down = at.run("down")
    assert (down.returncode, down.stdout) == (0, "The fleet is stopped.\nRedis is stopped.\n")
    assert of_home(at.home) == []


def test_a_stop_finishes_the_night_first(forge: tuple[Forge, OllamaStandIn]) -> None:
    """``down`` while a run is at work: every step of it is done, on workers and Redis that are still there."""
    at, ollama = forge
    ollama.fault, ollama.delay_s = Fault.SLOW, 1.0
    assert at.run("up").returncode == 0
    run = launch(at)
    until("a step asks the model", 60, lambda: len(ollama.asked) > 0)

    down = at.run("down")

    assert down.returncode == 0, down.stderr
    assert status_of(at, run) == "SUCCESS"
    assert all(at.report(asset, SUNDAY) for asset in STEPS)
    assert of_home(at.home) == []


def test_workers_are_up_where_dagster_cannot_start_and_nothing_outlives_a_killed_supervisor(
    forge: tuple[Forge, OllamaStandIn],
) -> None:
    """A taken port costs the pages alone and is one line; services whose supervisor was killed leave by themselves."""
    at, _ = forge
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port_of(at)))
        taken.listen()
        up = at.run("up")

        assert up.returncode == 1
        assert set(daemons(at.home)) == set(WORKERS)
        assert services(at)["dagster_daemon"]["state"] == "up"
        (line,) = up.stderr.splitlines()
        assert line.startswith(f"forge: dagster_webserver is failing: forge: port {port_of(at)} cannot be used")
        assert line.endswith("set dagster.port to another")
    supervisor = json.loads(at.run("status", "--json").stdout)["supervisor_pid"]
    orphans = [process for process in of_home(at.home) if "forge_assets.services" in process.cmdline()]
    os.kill(supervisor, signal.SIGKILL)
    gone, alive = psutil.wait_procs(orphans, timeout=30)

    assert (len(gone) >= 2, alive) == (True, [])
    assert at.run("up").returncode == 0
    assert [p.cmdline()[-1] for p in of_home(at.home) if "forge_assets.services" in p.cmdline()].count(
        "dagster_daemon"
    ) == 1


def test_a_service_started_where_ctrl_c_is_ignored_still_stops(tmp_path: Path) -> None:
    """A shell starts what it puts in the background with SIGINT ignored, and Dagster would take SIGTERM as that."""
    forge = Forge(tmp_path / "forge", FORGE_DAGSTER_PORT=str(free_port()))
    command = "trap '' INT; exec \"$0\" -m forge_assets.services dagster_daemon"
    process = subprocess.Popen(["sh", "-c", command, sys.executable], env=forge.environ, cwd=ROOT)
    try:
        until("it has made its home", 60, (forge.home / "dagster" / "workspace.yaml").is_file)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_every_service_has_a_module_and_a_place_in_the_order() -> None:
    """Redis first, the code server before those who ask it, the pages last of Dagster's."""
    assert list(SERVICES)[:4] == ["redis", *DAGSTERS]
    for row in SERVICES.values():
        file = ROOT / f"{row.module.replace('.', '/')}"
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), row.module
