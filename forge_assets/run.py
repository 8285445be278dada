"""Run one night to its briefing: ``python -m forge_assets.run 2026-11-23``; ``forge night`` starts it and shows it.

Belongs here: two Dagster runs, the steps and then the briefing, whatever became of the steps. What happens is told on
standard output as lines of ``forge_workers.progress``; all else that is printed goes to standard error. Does not belong
here: how progress is shown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TextIO

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from forge_assets import automation, instance, retention
from forge_assets.definitions import build_defs, standard_steps
from forge_assets.nights import SETTINGS
from forge_assets.steps import Steps
from forge_workers import attempt as attempts
from forge_workers import redis_server
from forge_workers.briefing.morning import morning_briefing
from forge_workers.errors import ForgeError
from forge_workers.night import BRIEFING, STEPS, gather
from forge_workers.plain import plain
from forge_workers.progress import Progress
from forge_workers.report import Outcome
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import check_night, window

#: Run tag with the night of a run that the command line started.
_NIGHT_TAG = "forge/night"
#: How a step that met a passing fault is tried again while somebody watches: after seconds, since a Ctrl-C only counts
#: when the wait is over.
_WATCHED = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
#: Exit codes; 130 is what a shell expects of a process stopped by Ctrl-C.
DONE, FAILED, REFUSED, STOPPED = 0, 1, 2, 130


@dataclass(frozen=True)
class Teller:
    """Tells progress on a pipe, remembers how steps ended, and goes on in silence when nobody reads it any more."""

    out: TextIO
    asked_to_stop: Callable[[], bool]
    ended: dict[str, Progress] = field(default_factory=dict)

    def __call__(self, progress: Progress) -> None:
        """Write one line.

        Raises:
            DagsterExecutionInterruptedError: A step is about to start although somebody asked to stop.
        """
        if progress.kind == "ended":
            self.ended[progress.asset] = progress
        if progress.kind == "started" and self.asked_to_stop():
            raise DagsterExecutionInterruptedError
        try:
            self.out.write(progress.model_dump_json() + "\n")
            self.out.flush()
        except BrokenPipeError:
            return

    @property
    def failed(self) -> bool:
        """Whether a step has failed."""
        return any(progress.outcome is Outcome.FAILED for progress in self.ended.values())


def run_night(night: str, steps: Steps, tell: Teller) -> int:
    """Do what is still to do of ``night``, then brief.

    Returns:
        An exit code: :data:`DONE`, :data:`FAILED` when a step failed, :data:`REFUSED` when nothing was done,
        :data:`STOPPED` when asked to stop; the same call then goes on where it was.
    """
    root = steps.store.root
    try:
        with attempts.only_one(root, check_night(night)):
            attempt = attempts.begin(root, night, steps.settings, steps.now())
            steps = replace(steps, store=NightStore(root, attempt.name), listener=tell, alone=True)
            code = _work(night, steps, tell)
            if code == DONE:
                with contextlib.suppress(OSError):  # it is done all the same; unmarked it would only be done again
                    attempts.write(root, night, attempt.model_copy(update={"finished": True}))
    except ForgeError as error:
        tell(Progress(kind="refused", at=steps.now(), text=plain(str(error), 300)))
        return REFUSED
    except OSError as error:
        tell(Progress(kind="refused", at=steps.now(), text=f"nothing can be kept under {root}: {error.strerror}"))
        return REFUSED
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        tell(Progress(kind="stopped", at=steps.now()))
        return STOPPED
    tell(Progress(kind="done", at=steps.now()))
    return code


def _work(night: str, steps: Steps, tell: Teller) -> int:
    done = attempts.done_before(steps.store, night)
    tell(Progress(kind="plan", at=steps.now(), assets=(*STEPS, BRIEFING)))
    for asset in done:
        _tell_kept(night, asset, steps, tell)
    _wake_redis(steps)
    left = [dg.AssetKey(asset) for asset in STEPS if asset not in done]
    complete, cut_by = True, None
    try:
        with dg.DagsterInstance.from_config(str(instance.prepare(steps.settings))) as dagster:
            instance.end_dead_runs(dagster, {_NIGHT_TAG: night})
            if left:
                complete = _run(dagster, automation.night.name, left, night, steps)
            _run(dagster, automation.briefing.name, [dg.AssetKey(BRIEFING)], night, steps)
            retention.forget_old_runs(dagster, steps.settings.dagster.keep_days, steps.now())
    except ForgeError:
        raise  # nothing was begun: the PostgreSQL that is set refuses or is away, or its tables are of another version
    except Exception as error:  # noqa: BLE001  Dagster's databases fill the same disk, and the briefing must go out
        _keep_traceback()
        complete, cut_by = False, plain(str(error.__cause__ or error))
    _brief_without_dagster(night, steps, tell, cut_by)
    return DONE if complete and not tell.failed else FAILED


def _run(dagster: dg.DagsterInstance, job: str, assets: list[dg.AssetKey], night: str, steps: Steps) -> bool:
    """Run ``assets`` in this process, one after the other; return whether all of them succeeded.

    Raises:
        KeyboardInterrupt: Somebody asked to stop.
    """
    chosen = build_defs(steps).resolve_job_def(job)
    tags = {_NIGHT_TAG: night, automation.SELF_BRIEFED: "yes", "dagster/max_retries": "0"}  # `forge night` goes on
    # No check is selected: each step runs its own.
    chosen = chosen.get_subset(asset_selection=frozenset(assets), asset_check_selection=frozenset())
    result = chosen.execute_in_process(instance=dagster, partition_key=night, tags=tags, raise_on_error=False)
    if _stopped(result):
        raise KeyboardInterrupt
    return result.success


def _tell_kept(night: str, asset: str, steps: Steps, tell: Teller) -> None:
    report = steps.store.load(asset, night)
    if report is not None:
        tell(Progress(kind="ended", at=steps.now(), asset=asset, outcome=report.outcome, text="done before the stop"))


def _keep_traceback() -> None:
    """Write the present error to the night's log, which may be on the disk that is full."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


def _stopped(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step was interrupted: Dagster reports that as any other failure."""
    failures = (event.step_failure_data.error for event in result.get_step_failure_events())
    return any(error is not None and error.cls_name == DagsterExecutionInterruptedError.__name__ for error in failures)


def _wake_redis(steps: Steps) -> None:
    """Start Forge's own Redis before the health check looks for it; a night without Redis goes on and says so."""
    try:
        redis_server.connect(steps.settings).close()
    except (ForgeError, OSError) as error:
        sys.stderr.write(f"redis.down reason={plain(str(error))}\n")


def _brief_without_dagster(night: str, steps: Steps, tell: Teller, cut_by: str | None) -> None:
    """Make the briefing in memory when Dagster or the disk could not: a briefing always goes out."""
    told = tell.ended.get(BRIEFING)
    if told is not None and (told.outcome is not Outcome.FAILED or told.report is not None):
        return
    started_at = steps.now()
    gateway = steps.gateway(BRIEFING)
    try:
        report = morning_briefing(
            Request(night=night, window=window(night, steps.settings.zone)),
            Tools(settings=steps.settings, models=gateway, history=steps.store, now=steps.now),
            steps=gather(steps.store, night, steps.failures, cut_by),
        )
    except Exception as error:  # noqa: BLE001  nothing comes after this one: say it and let the receipts speak
        _keep_traceback()
        text = plain(f"the briefing could not be made: {error}", 300)
        tell(Progress(kind="ended", at=started_at, asset=BRIEFING, outcome=Outcome.FAILED, text=text))
        return
    finally:
        gateway.close()
    text = "made without Dagster or the store, which failed"
    tell(Progress(kind="ended", at=steps.now(), asset=BRIEFING, outcome=Outcome.FAILED, text=text, report=report))


def _hear_signals() -> Callable[[], bool]:
    """Let SIGINT and SIGTERM stop the night; return whether one came.

    Python raises the exception of a signal wherever it happens to be, and drops it inside a garbage collection: the
    pipe remembers what that loses.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background, it would be ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    came, noted = os.pipe()
    os.set_blocking(came, False)
    os.set_blocking(noted, False)
    signal.set_wakeup_fd(noted, warn_on_full_buffer=False)

    def asked() -> bool:
        try:
            return bool({signal.SIGINT, signal.SIGTERM} & set(os.read(came, 1024)))
        except BlockingIOError:
            return False

    return asked


def main() -> int:
    """Run the night named by the only argument."""
    os.umask(0o077)  # nights quote private code
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not mix with the progress
    if len(sys.argv) != len(("program", "night")):
        sys.stderr.write("usage: python -m forge_assets.run YYYY-MM-DD\n")
        return REFUSED
    steps = replace(standard_steps(SETTINGS), retry=_WATCHED)
    code = run_night(sys.argv[1], steps, Teller(out, _hear_signals()))
    for late in (signal.SIGINT, signal.SIGTERM):  # all is said: a Ctrl-C now must not turn a done night into another
        signal.signal(late, signal.SIG_IGN)
    try:
        sys.stderr.flush()
    except OSError:  # the log's disk is full: let what is left go, or the interpreter ends with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code


if __name__ == "__main__":
    sys.exit(main())
