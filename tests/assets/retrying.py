"""A run of one step that fails once and is tried again three seconds later, for a test of what the wait costs."""

import dagster as dg

DELAY_S = 3.0


@dg.op
def fails_once(context: dg.OpExecutionContext) -> None:
    """Fail the first time."""
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=DELAY_S)


@dg.job(executor_def=dg.multiprocess_executor)
def waits_once() -> None:
    """Run the step in a process of its own, as a night does."""
    fails_once()
