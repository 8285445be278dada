"""A step that is tried again, that another process must wait for, and that lost its night."""

import inspect
import threading
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.plan.active import ActiveExecution

from forge_assets import patient, run_tags
from forge_assets.resources.store import ReportStore
from forge_assets.steps import RETRY, Steps
from forge_workers import attempt
from forge_workers.errors import Permanent, Transient
from forge_workers.models.gateway import open_gateway
from forge_workers.nights import asked
from forge_workers.nights.policy import Plan
from forge_workers.report import Outcome, Report
from forge_workers.tools import Request, Tools
from tests.assets import retrying
from tests.assets.test_steps import NIGHT, steps

AT_ONCE = dg.RetryPolicy(max_retries=2)


class Desk:
    """A desk that fails some times, and remembers what it was asked."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked: list[Request] = []

    def __call__(self, request: Request, tools: Tools) -> Report:
        """Raise the next error, or return a report."""
        self.asked.append(request)
        tools.models.spare(1)
        if self.errors:
            raise self.errors.pop(0)
        return Report(asset="some_desk", night=request.night, headline="Done.")


def run(one: Steps, desk: Desk, job: str = "night", **tags: str) -> dg.ExecuteInProcessResult:
    """Run ``desk`` as an asset in a job of a night."""

    @dg.asset(name="some_desk", partitions_def=dg.DailyPartitionsDefinition("2026-11-01"))
    def asset(context: dg.AssetExecutionContext) -> Report:
        return one.run(context, desk)

    made = dg.Definitions(
        assets=[asset], jobs=[dg.define_asset_job(job, [asset])], resources={"io_manager": ReportStore(one)}
    )
    named = {name.replace("__", "/"): value for name, value in tags.items()}
    return made.resolve_job_def(job).execute_in_process(partition_key=NIGHT, tags=named, raise_on_error=False)


def test_a_passing_fault_is_tried_again_and_the_receipt_counts(tmp_path: Path) -> None:
    """Two tries fail, the third is kept, and no failure is left behind."""
    one = replace(steps(tmp_path, []), retry=AT_ONCE)

    result = run(one, Desk(Transient("Redis does not answer"), Transient("Redis does not answer")))

    report = one.store.load("some_desk", NIGHT)
    assert result.success
    assert len(result.filter_events(lambda event: event.is_step_up_for_retry)) == 2
    assert report is not None
    assert report.receipt is not None
    assert report.receipt.tries == 3
    assert one.store.failure("some_desk", NIGHT) is None


def test_a_fault_that_does_not_pass_fails_with_the_number_of_tries(tmp_path: Path) -> None:
    """The receipt says how often it was tried, and why the last one failed."""
    one = replace(steps(tmp_path, []), retry=AT_ONCE)
    desk = Desk(*(Transient(f"fault {number}") for number in range(5)))

    assert not run(one, desk).success

    failed = one.store.failure("some_desk", NIGHT)
    assert failed is not None
    assert (failed.outcome, failed.tries, failed.reasons) == (Outcome.FAILED, 3, ("fault 2 (tried 3 times)",))
    assert len(desk.asked) == 3


def test_what_would_fail_again_is_not_tried_again(tmp_path: Path) -> None:
    """A permanent error, or one of the program, ends the step at once."""
    for number, error in enumerate((Permanent("it is damaged"), KeyError("x"))):
        desk = Desk(error)
        assert not run(replace(steps(tmp_path / str(number), []), retry=AT_ONCE), desk).success
        assert len(desk.asked) == 1


def test_the_delays_grow_and_are_drawn(tmp_path: Path) -> None:
    """At most a minute before the second try and three before the third, never twice the same."""
    drawn = [[RETRY.calculate_delay(number) for _ in range(50)] for number in (1, 2)]

    assert steps(tmp_path, []).retry == RETRY
    assert max(drawn[0]) <= 60 < max(drawn[1]) <= 180
    assert len(set(drawn[0])) == 50


@pytest.mark.slow
def test_waiting_for_the_next_try_costs_no_core(tmp_path: Path) -> None:
    """While a step's next try is seconds away the run's process sleeps; by Dagster's own method it spins."""
    patient.teach()
    taught = ActiveExecution.get_steps_to_execute
    used: list[float] = []
    for number, ask in enumerate((taught, taught.__wrapped__)):  # type: ignore[attr-defined]
        ActiveExecution.get_steps_to_execute = ask  # type: ignore[method-assign]
        (tmp_path / str(number)).mkdir()
        before = time.process_time()
        try:
            with dg.DagsterInstance.local_temp(str(tmp_path / str(number))) as instance:
                assert dg.execute_job(dg.reconstructable(retrying.waits_once), instance=instance).success
        finally:
            ActiveExecution.get_steps_to_execute = taught  # type: ignore[method-assign]
        used.append(time.process_time() - before)

    assert used[1] - used[0] > retrying.DELAY_S / 4


def test_the_wrapped_method_is_that_of_the_pinned_version() -> None:
    """Another Dagster needs another look: the private method, its arguments and what is read of it are checked."""
    patient.teach()
    patient.teach()
    wrapped = ActiveExecution.get_steps_to_execute.__wrapped__  # type: ignore[attr-defined]

    assert dg.__version__ == "1.13.27"
    assert [*inspect.signature(wrapped).parameters] == ["self", "limit"]
    assert "self._in_flight: set[str] = set()" in inspect.getsource(ActiveExecution.__init__)
    assert isinstance(inspect.getattr_static(ActiveExecution, "is_complete"), property)
    assert not hasattr(wrapped, "patient")


def test_nothing_to_do_is_a_pause_and_work_is_none() -> None:
    """It waits only when no step may begin, none is at work and the run is not over."""

    class Execution:
        def __init__(self, *, at_work: bool, over: bool) -> None:
            self._in_flight = {"a"} if at_work else set[str]()
            self.is_complete = over

    slept: list[float] = []
    for steps_found, at_work, over in (([], False, False), ([], True, False), ([], False, True), (["a"], False, False)):
        ask = patient.patient(lambda _, __, found=steps_found: found, slept.append)
        ask(Execution(at_work=at_work, over=over))

    assert slept == [patient.PAUSE_S]


@pytest.mark.slow
def test_a_step_waits_while_forge_night_has_the_night(tmp_path: Path) -> None:
    """Then it goes on; while it is at work `forge night` is refused; afterwards the night is free."""
    one, desk = steps(tmp_path, []), Desk()
    root, results = one.store.root, list[dg.ExecuteInProcessResult]()
    running = threading.Thread(target=lambda: results.append(run(one, desk)))
    with attempt.only_one(root, NIGHT):
        running.start()
        running.join(timeout=1.5)
        began = len(desk.asked)
    running.join(timeout=60)

    assert (began, len(desk.asked), results[0].success) == (0, 1, True)
    with attempt.only_one(root, NIGHT):
        pass


def test_forge_night_is_refused_while_a_step_is_at_work(tmp_path: Path) -> None:
    """From the first step until its report is kept; steps do not refuse each other."""
    one = steps(tmp_path, [])
    refused: list[str] = []

    def desk(request: Request, _: Tools) -> Report:
        share = attempt.share(one.store.root, NIGHT, wait_s=0)
        assert share > 0
        with pytest.raises(attempt.Busy) as caught, attempt.only_one(one.store.root, NIGHT):
            pass
        refused.append(str(caught.value))
        return Report(asset="some_desk", night=request.night, headline="Done.")

    assert run(one, desk).success  # type: ignore[arg-type]
    assert refused == [f"the night {NIGHT} is already being run: see `forge status`"]


def test_a_step_gives_up_after_hours_of_waiting(tmp_path: Path) -> None:
    """The message names who has the night."""
    slept: list[float] = []
    with attempt.only_one(tmp_path, NIGHT), pytest.raises(attempt.Busy, match="is already being run"):
        attempt.share(tmp_path, NIGHT, wait_s=3.0, sleep=slept.append)

    assert sum(slept) == 3.0


def test_a_run_that_lost_its_night_does_nothing(tmp_path: Path) -> None:
    """Its desk is not asked, nothing is written; the run that holds the claim works."""
    one = steps(tmp_path, [])
    plan = Plan(night=NIGHT, kind="scheduled", tells_in=NIGHT)
    record = asked.take(one.store.root, plan, 0.0, lambda _: False)
    assert record is not None
    lost, holds = Desk(), Desk()

    assert not run(one, lost, forge__claim="an older one").success
    assert run(one, holds, forge__claim=record.claim).success
    assert (len(lost.asked), len(holds.asked)) == (0, 1)
    assert one.store.failure("some_desk", NIGHT) is None


@pytest.mark.parametrize(
    ("job", "tags", "publishes"),
    [
        ("night", {}, True),
        ("backfill", {}, False),
        ("night", {"dagster__backfill": "abc"}, False),
        ("night", {"forge__quiet": "yes"}, False),
    ],
)
def test_a_night_that_is_done_late_publishes_nothing_and_goes_behind(
    tmp_path: Path, job: str, tags: dict[str, str], publishes: bool
) -> None:
    """By its job or tag; it then asks for the GPU behind whoever else wants it."""
    opened: list[str] = []
    one = steps(tmp_path, [])

    def open_as(name: str) -> object:
        opened.append(name)
        return open_gateway(one.settings, lease=None)

    one = replace(one, gateway=lambda _: open_as("night"), behind=lambda _: open_as("behind"))  # type: ignore[arg-type, return-value]
    desk = Desk()

    assert run(one, desk, job, **tags).success
    assert [request.publishes for request in desk.asked] == [publishes]
    assert opened == ["night" if publishes else "behind"]
    assert run_tags.publishes(dg.DagsterRun(job_name="night"))
