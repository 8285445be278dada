"""Twenty kinds of fault that may meet a night, each brought at the moment a step begins.

Belongs here: what each fault does to the night's process, its Redis, its model, Slack, its repository or its disk, and
how it is taken away again. Does not belong here: when it strikes, or any judgement (``night_storm.py``,
``night_judge.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from forge_workers import redis_server
from forge_workers.errors import ForgeError
from forge_workers.redis_engine import client_of
from tests.standins import ollama_wire
from tests.standins.forge import Forge
from tests.standins.ollama import Body, OllamaStandIn
from tests.standins.slack import Fault as SlackFault
from tests.standins.slack import SlackServer

#: How long a paused process sleeps, in seconds.
_PAUSE_S = 1.5


@dataclass
class Stage:
    """What a fault may reach.

    Attributes:
        forge: The home and its commands.
        ollama: The model server.
        slack: The Slack server.
        repository: The watched repository.
        night: The night's day.
        process: The process that runs the night.
        undo: What takes the fault away again, run before the night is run once more.
    """

    forge: Forge
    ollama: OllamaStandIn
    slack: SlackServer
    repository: Path
    night: str
    process: subprocess.Popen[str]
    undo: list[Callable[[], object]] = field(default_factory=list)


Bring = Callable[[Stage], None]


def _signalled(number: int) -> Bring:
    def bring(stage: Stage) -> None:
        stage.process.send_signal(number)

    return bring


def _paused(stage: Stage) -> None:
    stage.process.send_signal(signal.SIGSTOP)
    time.sleep(_PAUSE_S)  # the length of the pause is the fault
    stage.process.send_signal(signal.SIGCONT)


def _model(fault: ollama_wire.Fault) -> Bring:
    def bring(stage: Stage) -> None:
        stage.ollama.fault = stage.ollama.load_fault = fault
        stage.undo.append(lambda: _mended(stage.ollama))

    return bring


def _mended(ollama: OllamaStandIn) -> None:
    ollama.fault = ollama.load_fault = None


def _wrong_schema(stage: Stage) -> None:
    before = stage.ollama.answer
    stage.ollama.answer = _nonsense
    stage.undo.append(lambda: setattr(stage.ollama, "answer", before))


def _nonsense(_: Body) -> str:
    return json.dumps({"findings": "all of them", "level": "PURPLE", "explanation": 7})


def _redis_pid(stage: Stage) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((stage.forge.home / "redis" / "server.lock").read_text())
    return None


def _server(number: int) -> Bring:
    def bring(stage: Stage) -> None:
        pid = _redis_pid(stage)
        with contextlib.suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, number)
        if number == signal.SIGSTOP and pid is not None:
            stage.undo.append(lambda: _continued(pid))

    return bring


def _continued(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _redis_emptied(stage: Stage) -> None:
    with contextlib.suppress(redis.RedisError, OSError, ForgeError):
        client_of(redis_server.ensure(stage.forge.home), retries=0).flushall()


def _slack(kind: str) -> Bring:
    def bring(stage: Stage) -> None:
        stage.slack.faults.append(SlackFault(kind, method="*", times=10_000, retry_after="1"))
        stage.undo.append(stage.slack.faults.clear)

    return bring


def _slack_once(kind: str) -> Bring:
    def bring(stage: Stage) -> None:
        stage.slack.faults.append(SlackFault(kind, times=2))
        stage.undo.append(stage.slack.faults.clear)

    return bring


def _repository_gone(stage: Stage) -> None:
    aside = stage.repository.with_name("aside")
    stage.repository.rename(aside)
    stage.undo.append(lambda: aside.rename(stage.repository))


def _report_spoilt(stage: Stage) -> None:
    for path in (stage.forge.home / "nights" / stage.night).glob("*/*/report.json"):
        path.write_bytes(path.read_bytes()[:-20] + b"x")


def _dagster_spoilt(stage: Stage) -> None:
    for path in (stage.forge.home / "dagster").rglob("*.db"):
        path.write_bytes(b"this is no database")
    stage.undo.append(lambda: _without_databases(stage.forge.home / "dagster"))


def _without_databases(folder: Path) -> None:
    """Do what `forge doctor` and the reason in the briefing ask for: take the spoilt databases away."""
    for path in folder.rglob("*.db*"):
        path.unlink()


def _disk_refuses(stage: Stage) -> None:
    with contextlib.suppress(psutil.Error):
        psutil.Process(stage.process.pid).rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


FAULTS: Mapping[str, Bring] = {
    "killed": _signalled(signal.SIGKILL),
    "terminated": _signalled(signal.SIGTERM),
    "interrupted": _signalled(signal.SIGINT),
    "paused": _paused,
    "model hangs": _model(ollama_wire.Fault.HANG),
    "model busy": _model(ollama_wire.Fault.BUSY),
    "model missing": _model(ollama_wire.Fault.MISSING),
    "model says garbage": _model(ollama_wire.Fault.GARBAGE),
    "model cut off": _model(ollama_wire.Fault.CUT),
    "model breaks the schema": _wrong_schema,
    "Redis killed": _server(signal.SIGKILL),
    "Redis stopped": _server(signal.SIGSTOP),
    "Redis emptied": _redis_emptied,
    "Slack down": _slack("500"),
    "Slack loses replies": _slack_once("lost"),
    "Slack limits": _slack("429"),
    "repository gone": _repository_gone,
    "reports spoilt": _report_spoilt,
    "Dagster's databases spoilt": _dagster_spoilt,
    "disk refuses": _disk_refuses,
}
