"""Dagster's own processes, started for one test and always ended: a code server, the daemon, the web server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.standins.forge import ROOT


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true_at_last: Callable[[], object], seconds: float = 60.0, *, look_s: float = 0.02) -> None:
    """Wait for something that other processes do."""
    until = time.monotonic() + seconds
    while not true_at_last():
        assert time.monotonic() < until, "it never happened"
        time.sleep(look_s)


@contextmanager
def code_server(folder: Path, environ: Mapping[str, str], module: str = "forge_assets.definitions") -> Iterator[Path]:
    """Serve a code location, as `dagster code-server` does; return the workspace that names it."""
    port = free_port()
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", module, "-p", str(port), "-h", "127.0.0.1"]
    workspace = folder / "workspace.yaml"
    workspace.write_text(f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {port}, location_name: forge}}}}]\n")
    with started(command, folder / "code.log", environ) as server:

        def serves() -> bool:
            assert server.poll() is None, (folder / "code.log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(serves)
        yield workspace


@contextmanager
def daemon(folder: Path, environ: Mapping[str, str], workspace: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Dagster's daemon: schedules, sensors, the queue, backfills, run monitoring."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]
    with started(command, folder / "daemon.log", environ) as process:
        yield process


@contextmanager
def web_server(folder: Path, environ: Mapping[str, str], workspace: Path) -> Iterator[int]:
    """Run Dagster's web server and give its port when it answers."""
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    with started(command, folder / "web.log", environ):
        wait_until(lambda: answers(port), look_s=0.25)
        yield port


@contextmanager
def started(command: list[str], log: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` and end it and everything it started, whatever happens."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(environ), stdout=out, stderr=out)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, then make sure of it and of its children."""
    family: list[psutil.Process] = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=30)
    for one in psutil.wait_procs(family, timeout=5)[1]:
        one.kill()


def answers(port: int) -> bool:
    """Whether the web server answers on loopback."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def asked(port: int, query: str, **variables: Any) -> dict[str, Any]:
    """Ask Dagster's GraphQL."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310  the address is written above
        found: dict[str, Any] = json.load(reply)["data"]
    return found
