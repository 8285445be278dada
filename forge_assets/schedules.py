"""What happens by the clock: the night and the week begin, missed nights are caught up, the briefing leaves on time.

Dagster's scheduler catches up a few ticks at most, and knows nothing of ``forge night``: so the schedules and
``missed_nights`` ask through the same claims, and each night is asked for once. Belongs here: schedules and sensors by
the clock. Does not belong here: what is due (``forge_workers/nights/policy.py``), or asking once (``asking.py``).
"""

import json
from datetime import datetime

import dagster as dg

from forge_assets import run_tags
from forge_assets.asking import Asking
from forge_assets.automation import briefing, night, weekly
from forge_assets.nights import SETTINGS
from forge_assets.steps import Steps
from forge_workers import attempt
from forge_workers.nights import asked, policy
from forge_workers.plain import plain
from forge_workers.settings import Settings
from forge_workers.windows import night_of, week_of, window

#: How often the briefing of one night is asked for at its hour; each only when the one before has ended for nothing.
_TRIES = 3
_FIRST = "10"


def nightly(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that begins each night at its local hour, for the day just ended."""

    @dg.schedule(
        name="night",
        job=night,
        cron_schedule=_cron(settings.night.starts_at),
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Begins the night for the day just ended, once, whatever clocks, sleeps and other daemons do.",
    )
    def tick(context: dg.ScheduleEvaluationContext, steps: dg.ResourceParam[Steps]) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        key = policy.days_after(night_of(at.timestamp(), steps.settings.zone), -1)
        found = _asking(context.instance, steps, at).due(only=(key,), at_least=key)
        return found[0] if found else dg.SkipReason(f"nothing is asked for: {_why(steps, key)}")

    return tick


def weekly_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that tells each week, an hour after the briefing of its Saturday is due."""
    days, hour = policy.week_hour(settings.night)

    @dg.schedule(
        name="weekly",
        job=weekly,
        cron_schedule=f"{_cron(hour).removesuffix('*')}{(6 + days) % 7}",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Tells the week that ended on Saturday, when its last night is done.",
    )
    def tick(context: dg.ScheduleEvaluationContext, steps: dg.ResourceParam[Steps]) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        week = week_of(policy.days_after(night_of(at.timestamp(), steps.settings.zone), -7))
        found = _asking(context.instance, steps, at).week(week)
        return found or dg.SkipReason(f"somebody asked for the week of {week} already, or nobody kept watch over it")

    return tick


@dg.sensor(jobs=[night, weekly], minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def missed_nights(context: dg.SensorEvaluationContext, steps: dg.ResourceParam[Steps]) -> dg.SensorResult:
    """Ask for the nights that are due and that nobody asked for, oldest first, as the settings say for each desk."""
    asking = _asking(context.instance, steps)
    hours, zone = steps.settings.night, steps.settings.zone
    try:
        found = asking.due()
        if week := asking.week(policy.newest_week(asking.now, hours, zone)):
            found.append(week)
    except OSError as error:
        return dg.SensorResult(skip_reason=f"nothing can be kept under {steps.store.root}: {error.strerror}")
    return dg.SensorResult(run_requests=found, skip_reason=None if found else "every night that is due was asked for")


@dg.sensor(job=briefing, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def briefing_due(context: dg.SensorEvaluationContext, steps: dg.ResourceParam[Steps]) -> dg.SensorResult:
    """Let the briefing of the last night leave on time with what is there, while the night goes on."""
    asking = _asking(context.instance, steps)
    present, since = asking.present, _overdue_since(context.cursor, asking.present)
    if present <= asked.watched_since(steps.store.root, present):
        return dg.SensorResult(skip_reason=f"nobody kept watch yet when the night {present} was due")
    due = policy.briefing_due_at(present, steps.settings.night, steps.settings.zone, _asked_at(steps, present))
    leave = policy.edition(
        night=present,
        due=due,
        now=asking.now,
        briefed=asking.is_told(present),
        asked=asking.is_asked(present),
        overdue_since=since,
    )
    if not leave.now:
        overdue = (since or asking.now) if asking.now >= due else None
        return dg.SensorResult(skip_reason=leave.why, cursor=json.dumps({"night": present, "since": overdue}))
    return _edition(context, present, leave.why)


def _edition(context: dg.SensorEvaluationContext, key: str, why: str) -> dg.SensorResult:
    wanted = dg.RunsFilter(job_name=briefing.name, tags={run_tags.PARTITION: key})
    runs = context.instance.get_runs(wanted, limit=_TRIES)
    if len(runs) == _TRIES or any(not run.is_finished for run in runs):
        return dg.SensorResult(skip_reason=f"{why}; it was asked for", cursor=context.cursor)
    request = dg.RunRequest(
        run_key=f"edition of {key} {len(runs)}", partition_key=key, tags={"dagster/priority": _FIRST}
    )
    return dg.SensorResult(run_requests=[request], cursor=context.cursor)


def _asking(instance: dg.DagsterInstance, steps: Steps, at: datetime | None = None) -> Asking:
    """Return what asks, at a time that is never before the tick ``at``."""
    now = steps.now() if at is None else max(steps.now(), at.timestamp())
    return Asking(steps.settings, steps.store, instance, now)


def _asked_at(steps: Steps, key: str) -> float | None:
    """Return when ``key`` was asked for, by a schedule or by ``forge night``."""
    record, noted = asked.read(steps.store.root, key), attempt.read(steps.store.root, key)
    if record is not None:
        return record.at
    over_at = window(key, steps.settings.zone).end_at
    return noted.started_at if noted is not None and noted.started_at >= over_at else None


def _overdue_since(cursor: str | None, key: str) -> float | None:
    """Return when this sensor first found ``key`` overdue; a cursor of another night says nothing."""
    try:
        kept = json.loads(cursor or "null")
        return float(kept["since"]) if kept["night"] == key else None
    except (ValueError, TypeError, KeyError):
        return None


def _why(steps: Steps, key: str) -> str:
    record = asked.read(steps.store.root, key)
    if record is None:
        return f"somebody works on the night {key} or did"
    reasons = dict.fromkeys(record.skipped.values())
    return plain("; ".join(reasons) if not record.wants_run else f"the night {key} was asked for already", 300)


def _cron(hour: str) -> str:
    hours, minutes = hour.split(":")
    return f"{int(minutes)} {int(hours)} * * *"


SCHEDULES = (nightly(SETTINGS), weekly_schedule(SETTINGS))
SENSORS = (missed_nights, briefing_due)
