"""What Dagster itself costs a night, and how close a night with a model comes to the shortest it could be.

Every figure is taken from a real code server and daemon, from the schedule's tick to the end of the last step; CPU and
memory are those of both and all they start. Belongs here: measuring. Does not belong here: the night that is measured
(``simulated_night.py``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import psutil
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG

from forge_assets.instance import prepare
from forge_workers import redis_server
from forge_workers.night import BRIEFING, STEPS
from forge_workers.settings import load
from tests.benchmarks.figures import reached, table
from tests.benchmarks.simulated_night import BODIES_S, ON_GPU, SHAPES
from tests.standins.forge import ROOT

_DEFAULT, _CHOSEN = "Dagster's default: a new process per step", "forked, everything preloaded (Forge's)"
_SERIAL = "in one process"
#: Ticks per shape of the empty night.
_TICKS = 2
_PATIENCE_S = 300.0


class Cost(NamedTuple):
    """One night.

    Attributes:
        tick_s: From the schedule's tick to the end of the last step, seconds.
        run_s: From the start of the run to the end of the last step, seconds.
        cpu_s: CPU of daemon, code server and all they started, seconds.
        peak_mib: Most memory all of them held at once, PSS in MiB.
    """

    tick_s: float
    run_s: float
    cpu_s: float
    peak_mib: float


def run() -> str:
    """Return both tables as Markdown."""
    return f"{_empty_nights()}\n{_makespan()}"


def _empty_nights() -> str:
    costs = {shape: _middle(_nights(shape, "empty", _TICKS)) for shape in SHAPES}
    default, chosen = costs[_DEFAULT], costs[_CHOSEN]
    rows = [
        (
            shape,
            f"{cost.tick_s:.1f}",
            f"{cost.run_s:.1f}",
            f"{cost.cpu_s:.1f}",
            f"{cost.cpu_s / default.cpu_s:.0%}",
            f"{cost.peak_mib:.0f}",
        )
        for shape, cost in costs.items()
    ]
    return "\n".join(
        (
            f"## Dagster's own cost: the night's {len(BODIES_S)} assets with empty bodies",
            "",
            f"From the schedule's tick through daemon, queue and worker to the last step; medians of {_TICKS} nights.",
            "",
            *table(("executor", "tick to last step s", "run s", "CPU s", "of the default", "peak PSS MiB"), rows),
            "",
            reached("CPU of Forge's shape / Dagster's default", chosen.cpu_s / default.cpu_s, most=0.4, unit=" x"),
            reached("run of Forge's shape / Dagster's default", chosen.run_s / default.run_s, most=0.4, unit=" x"),
            "",
        )
    )


def _makespan() -> str:
    forge = _nights(_CHOSEN, "timed", 1)[0]
    serial = _nights(_SERIAL, "timed", 1)[0]
    gpu_s, path_s = sum(BODIES_S[step] for step in ON_GPU), critical_path_s()
    bound_s = max(gpu_s, path_s)
    rows = [
        ("Forge: real daemon, lease and processes", f"{forge.run_s:.1f}", f"{forge.run_s / bound_s:.2f}"),
        ("strictly one after the other", f"{serial.run_s:.1f}", f"{serial.run_s / bound_s:.2f}"),
        ("the sum of all bodies", f"{sum(BODIES_S.values()):.1f}", f"{sum(BODIES_S.values()) / bound_s:.2f}"),
        ("lower bound: max(critical path, GPU seconds)", f"{bound_s:.1f}", "1.00"),
    ]
    said = (
        f"Simulated latencies: {gpu_s:.0f} s on the GPU in {len(ON_GPU)} steps, critical path {path_s:.0f} s; "
        "from the start of the run to the end of the last step."
    )
    return "\n".join(
        (
            "## A night with a model: how close to the shortest possible",
            "",
            said,
            "",
            *table(("", "s", "× bound"), rows),
            "",
            reached("Forge / lower bound", forge.run_s / bound_s, most=1.15, unit=" x"),
            "",
        )
    )


def critical_path_s() -> float:
    """Return the longest chain of steps that wait for each other, in seconds, with the briefing behind it."""
    ends: dict[str, float] = {}
    for step, needs in STEPS.items():
        ends[step] = BODIES_S[step] + max((ends[need] for need in needs), default=0.0)
    return max(ends.values()) + BODIES_S[BRIEFING]


def _middle(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def _nights(shape: str, bodies: str, count: int) -> list[Cost]:
    """Let the schedule tick ``count`` times, one night after the other, and return what each cost."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "forge"
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "FORGE_HOME": str(home),
            "FORGE_TIMEZONE": "UTC",
            "FORGE_REPOSITORIES": str(ROOT),
            "SIMULATED_SHAPE": shape,
            "SIMULATED_BODIES": bodies,
        }
        settings = load(environ)
        environ["DAGSTER_HOME"] = str(prepare(settings))
        try:
            with _services(Path(folder), environ) as family, _instance(environ) as instance:
                return [_next_night(instance, family, turn) for turn in range(count)]
        finally:
            redis_server.stop(home)


@contextlib.contextmanager
def _instance(environ: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance:
        yield instance


@contextlib.contextmanager
def _services(folder: Path, environ: dict[str, str]) -> Iterator[list[psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    workspace = folder / "workspace.yaml"
    workspace.write_text(f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {port}, location_name: forge}}}}]\n")
    served = ["-m", "dagster", "api", "grpc", "-m", "tests.benchmarks.simulated_night"]
    commands = (
        [*served, "-h", "127.0.0.1", "-p", str(port)],
        ["-m", "dagster._daemon", "run", "-w", str(workspace)],
    )
    started = []
    try:
        for command in commands:
            with (folder / "services.log").open("ab") as log:
                started.append(
                    subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environ, stdout=log, stderr=log)
                )
            while not _answers(port):
                time.sleep(0.1)
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _next_night(instance: dg.DagsterInstance, family: list[psutil.Process], turn: int) -> Cost:
    """Wait for the next run and watch what it costs; later ticks of a night still at work are left out."""
    known = {run.run_id for run in instance.get_runs()}
    cpu_s, peak, until = _cpu_s(family), 0.0, time.monotonic() + _PATIENCE_S
    while True:
        if time.monotonic() > until:
            raise TimeoutError(f"night {turn} never ended")
        fresh = [run for run in instance.get_runs() if run.run_id not in known]
        if not fresh:
            cpu_s = _cpu_s(family)
        peak = max(peak, _pss_mib(family)) if fresh else peak
        ended = next((run for run in fresh if run.is_finished), None)
        if ended is not None:
            break
        time.sleep(0.2)
    if not ended.is_success:
        raise RuntimeError("the simulated night failed")
    stats = {each.step_key: each for each in instance.get_run_step_stats(ended.run_id)}
    last = max(each.end_time or 0.0 for each in stats.values())
    begun = instance.get_run_stats(ended.run_id).start_time or 0.0
    tick = datetime.fromisoformat(ended.tags[SCHEDULED_EXECUTION_TIME_TAG]).timestamp()
    return Cost(last - tick, last - begun, _cpu_s(family) - cpu_s, peak)


def _tree(family: list[psutil.Process]) -> list[psutil.Process]:
    return [*family, *(child for process in family for child in process.children(recursive=True))]


def _cpu_s(family: list[psutil.Process]) -> float:
    """Return the CPU seconds of all of them and of their children that have ended."""
    total = 0.0
    for process in _tree(family):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def _pss_mib(family: list[psutil.Process]) -> float:
    total = 0
    for process in _tree(family):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 2**20
