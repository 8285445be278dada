"""Who is alive: the process of a run holds a lock while it works, and a step never outlives the process of its run.

A lock is the kernel's: it ends with the process whatever ended it, a kill or a power cut, and nobody else gets it by
having the same process number. Dagster's own launcher knows its runs only while the code server that started them
lives. And a step of a run that was killed would work on and write its report after the run is marked failed and tried
again, so each step watches the pipe that its run's process holds open, and ends with it. Belongs here: that lock and
that watch. Does not belong here: what follows from a death, which is Dagster's run monitoring and run retries.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig

from forge_workers.nights import at_work

#: Open files of the runs that this process works on; the lock ends when they are closed.
_held: list[int] = []
_watching = threading.Event()


def _path(instance: dg.DagsterInstance, run_id: str) -> Path:
    """Return the lock of a run, beside its console output, with which it is forgotten."""
    return Path(instance.storage_directory()) / run_id / "alive"


def hold(instance: dg.DagsterInstance, run_id: str) -> None:
    """Hold the run's lock until this process ends. A disk that refuses costs the watch over it, not the run."""
    path = _path(instance, run_id)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held.append(file)


def is_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a process worked on this run and is gone; False also for a run that never took its lock."""
    try:
        file = os.open(_path(instance, run_id), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


class _Held(dg.Executor):
    """An executor whose process holds the lock of its run."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        """As the executor inside does it."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """As the executor inside does it."""
        return self._inner.step_dependency_config

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Take the lock, then do as the executor inside does."""
        hold(plan_context.instance, plan_context.run_id)
        return self._inner.execute(plan_context, execution_plan)


def held(inner: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """Return ``inner`` with the lock of the run held while it works."""

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        if inner.executor_creation_fn is None:
            raise dg.DagsterInvariantViolationError(f"the executor {inner.name} makes nothing")
        return _Held(inner.executor_creation_fn(context))

    schema: Any = inner.config_schema
    return dg.ExecutorDefinition(
        name=inner.name,
        config_schema=schema,
        requirements=inner.get_requirements,
        executor_creation_fn=create,
        description=inner.description,
    )


def begin_step(folder: Path) -> None:
    """Note that the step whose reports ``folder`` keeps is at work, and from now on end with the process of its run.

    In the process of the run itself, where ``forge night`` does its steps, there is nothing to watch.
    """
    at_work.begin(folder)
    parent = multiprocessing.parent_process()
    if parent is None or _held or _watching.is_set():
        return
    _watching.set()
    threading.Thread(target=_end_with, args=(parent.sentinel,), name="end with the run", daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Wait until nobody holds the other end of the pipe, then kill what this process started, and itself."""
    connection.wait([sentinel])
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    os.kill(os.getpid(), signal.SIGKILL)
