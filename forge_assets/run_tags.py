"""What a Dagster run says of itself: which parts of a night it does, which asking it answers, whether it may publish.

Belongs here: names of jobs and tags, and how they are read. Does not belong here: who sets them.
"""

from __future__ import annotations

import dagster as dg

from forge_workers.night import BRIEFING, STEPS

PARTITION = "dagster/partition"
#: The claim that the run answers (``forge_workers/nights/asked.py``); a run without one was started by a person.
CLAIM = "forge/claim"
#: Such a run tells nobody what it finds: its night was missed, and the next briefing says so.
QUIET = "forge/quiet"
_BACKFILL = "dagster/backfill"
#: Names of the jobs: a night, a night that is done again, a briefing by itself, a week.
NIGHT_JOB, BACKFILL_JOB, BRIEFING_JOB, WEEKLY_JOB = "night", "backfill", "briefing", "weekly"
#: What each job does of a night; any other job without a choice of assets is taken for a whole night.
_OF_A_NIGHT = {
    BACKFILL_JOB: frozenset(STEPS),
    BRIEFING_JOB: frozenset({BRIEFING}),
    WEEKLY_JOB: frozenset[str](),
}
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def parts_of(run: dg.DagsterRun) -> frozenset[str]:
    """Return which steps of a night ``run`` does, its briefing among them; nothing when it only runs checks."""
    everything = frozenset({*STEPS, BRIEFING})
    if run.asset_selection:
        return everything & {key.path[-1] for key in run.asset_selection}
    return frozenset() if run.asset_check_selection else _OF_A_NIGHT.get(run.job_name, everything)


def publishes(run: dg.DagsterRun) -> bool:
    """Whether what ``run`` makes may be told to people who did not hear of it yet."""
    return not ({QUIET, _BACKFILL} & set(run.tags)) and run.job_name != BACKFILL_JOB


def first_try(run: dg.DagsterRun) -> str:
    """Return the id of ``run``, or of the run that it tries again."""
    return run.root_run_id or run.run_id
