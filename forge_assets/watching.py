"""The sensors that watch the nights themselves: a run failed, a night is late, the settings watch something else.

An alarm is one notice in the outbox of ``forge_workers.notices``, under an id made from what it is about, so that a
sensor daemon which dies before its cursor is stored tells nothing twice; the worker ``slack_notifier`` sends it. Each
look reads the settings afresh, since the code server that runs it may be weeks old. Belongs here: what is looked at,
and when somebody is told. Does not belong here: what the workers tell (``worker_events.py``), or how a notice is sent.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData
from pydantic import JsonValue

from forge_assets import run_tags
from forge_assets.automation import SELF_BRIEFED
from forge_workers import settings as chosen
from forge_workers.errors import ConfigError, Transient
from forge_workers.git.watch import watched
from forge_workers.log import event
from forge_workers.night import BRIEFING
from forge_workers.nights import asked, grid, policy
from forge_workers.notices import desk
from forge_workers.plain import plain
from forge_workers.plural import count
from forge_workers.redact import Redactor
from forge_workers.report import fingerprint
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import is_night

_ON = dg.DefaultSensorStatus.RUNNING
#: Most failed runs told of in one look.
_BATCH = 20
#: Seconds after which Dagster has surely said whether it tries a failed run again.
_SAID_S = 60.0
#: Characters of a reason, so that the way to the run still fits behind it; steps and sources named one by one.
_REASON, _NAMED = 240, 4
#: Characters of a reason that are looked through for secrets before it is cut.
_SEARCHED = 4_000
_NOT_MADE = frozenset({grid.State.FAILED, grid.State.MISSING, grid.State.RUNNING})


class Alarm(NamedTuple):
    """One notice to people: the id that makes it one, and what ``forge_workers.notices`` takes."""

    id: str
    arguments: Mapping[str, JsonValue]


class Failed(NamedTuple):
    """One step that failed, and why."""

    step: str
    reason: str


def alarm_of(run: dg.DagsterRun, failed: tuple[Failed, ...], port: int, masked: Callable[[str], str]) -> Alarm | None:
    """Decide whether people are told that ``run`` has failed, and how.

    1. Dagster tries it again first, ``forge night`` did it, which says so itself, or another run was asked for: not.
    2. Steps failed: which, of which night, with the first reason.
    3. None did: its process died, and trying again did not help.

    Args:
        run: As it ended.
        failed: Its failed steps.
        port: Of Dagster's web pages, on loopback.
        masked: Hides secrets in a text; before it is cut, so that no half of one is left.
    """
    superseded = any(each.reason == str(asked.Superseded()) for each in failed)
    if run.tags.get("dagster/will_retry") == "true" or SELF_BRIEFED in run.tags or superseded:
        return None  # 1
    key = run.tags.get(run_tags.PARTITION, "")
    night = f"the night {key}" if is_night(key) else f"an unknown night {plain(key, 40)!r}" if key else "no night"
    steps = [plain(each.step, 60) for each in failed]
    if steps:
        what = f"Failed: {_few(steps)} of {night}"  # 2
        why = plain(masked(failed[0].reason[:_SEARCHED]), _REASON).rstrip(".")
    else:
        what = f"Died: the run {plain(run.job_name, 60)} of {night}"  # 3
        why = "its process ended without a word, also when it was tried again"
    return Alarm(
        id=f"run failed {run.run_id}",
        arguments={
            "kind": "alarm",
            "worker": steps[0] if len(steps) == 1 else "night",
            "title": what,
            "detail": f"{why}. See http://127.0.0.1:{port}/runs/{run.run_id}",
            "reason": fingerprint("run failed", *sorted(steps)),
        },
    )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def failed_steps(instance: dg.DagsterInstance, run_id: str) -> Iterator[Failed]:
    """Yield the steps of a run that failed, with what each said last; what only could not begin is left out."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        told = entry.dagster_event
        data = told.event_specific_data if told else None
        if told is None or not isinstance(data, StepFailureData):
            continue
        said = data.user_failure_data.description if data.user_failure_data else None
        error = data.error.cause or data.error if data.error else None
        yield Failed(told.step_key or "", said or (error.message if error else "") or "it gave no reason")


Look = Callable[[dg.SensorEvaluationContext, Settings], dg.SensorResult]


def _afresh(look: Look) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """Give ``look`` the settings as they are now; what it cannot use or keep now is one line, and comes again."""

    def looks(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            return look(context, chosen.load())
        except ConfigError as error:
            return dg.SensorResult(skip_reason=f"the settings cannot be used: {plain(str(error), 300)}")
        except Transient as error:
            return dg.SensorResult(skip_reason=plain(str(error), 300))

    looks.__doc__ = look.__doc__  # what Dagster's pages show; `wraps` would show it the settings as an argument too
    return looks


def _failures(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    """Raise one alarm for each run that failed for good, with its steps, night, reason and page."""
    after = int(context.cursor) if context.cursor and context.cursor.lstrip("-").isdecimal() else None
    if after is None:
        newest = context.instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
        return _looked(newest[0].storage_id if newest else -1, "from now on failed runs are told of")
    wanted = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=after)
    masked, raised, left = Redactor(settings.secrets).text, 0, ""
    for record in context.instance.fetch_run_status_changes(wanted, ascending=True, limit=_BATCH).records:
        run = context.instance.get_run_by_id(record.event_log_entry.run_id)
        if run is not None and _undecided(context.instance, run, time.time() - record.timestamp):
            left = "; Dagster has not said yet whether it tries a run again"
            break
        failed = tuple(failed_steps(context.instance, run.run_id)) if run else ()
        alarm = alarm_of(run, failed, settings.dagster.port, masked) if run else None
        raised += alarm is not None and desk.keep(alarm.arguments, alarm.id, settings, at=record.timestamp)
        after = record.storage_id
    return _looked(after, f"{count(raised, 'alarm')} raised{left}")


def _undecided(instance: dg.DagsterInstance, run: dg.DagsterRun, age_s: float) -> bool:
    """Whether Dagster may still mark ``run`` as one that it tries again."""
    return instance.run_retries_enabled and "dagster/will_retry" not in run.tags and age_s < _SAID_S


def _looked(cursor: object, text: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=text, cursor=str(cursor))


def late_alarm(night: str, steps: Mapping[str, grid.State], due_at: float, by: str, now: float) -> Alarm | None:
    """Decide whether people are told that ``night`` is late.

    1. Its hour has not come, or all is made: not.
    2. It is briefed, and what is not made failed or stands on what failed: not; each failure has its own alarm.
    3. Otherwise: what is not made.

    Args:
        night: Its key.
        steps: What became of each of its steps.
        due_at: When its briefing leaves, UTC unix seconds.
        by: That hour, as people say it.
        now: UTC unix seconds.
    """
    not_made = [asset for asset in steps if steps[asset] in _NOT_MADE]
    if now < due_at or not not_made:
        return None  # 1
    running = any(steps[asset] is grid.State.RUNNING for asset in not_made)
    if BRIEFING not in not_made and not running and grid.State.FAILED in steps.values():
        return None  # 2
    who = "the briefing" if BRIEFING in not_made else count(len(not_made), "step")
    late = _few([f"{asset} ({steps[asset]})" for asset in not_made])
    return Alarm(  # 3
        id=f"late {night}",
        arguments={
            "kind": "alarm",
            "worker": BRIEFING if BRIEFING in not_made else not_made[0],
            "title": f"Late: {who} of the night {night}, due at {by}",
            "detail": f"Not made: {late}. Look with `forge nights`; `forge night --date {night}` makes it now.",
            "reason": "late",
        },
    )


def _lateness(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    """Raise one alarm when something of last night is not made at the hour of its briefing, naming what."""
    now, store = time.time(), NightStore(settings.home / "nights")
    hours, begun = settings.night, store.all_nights()
    night = policy.newest_due(now, hours, settings.zone)
    if context.cursor == night:
        return _looked(night, f"the night {night} is settled")
    if not begun or min(begun) > night:
        return dg.SensorResult(skip_reason="no night was begun before: none can be late")
    record = asked.read(store.root, night)
    due_at = policy.briefing_due_at(night, hours, settings.zone, record.at if record else None)
    by = datetime.fromtimestamp(due_at, settings.zone).strftime("%H:%M")
    if now < due_at:
        return dg.SensorResult(skip_reason=f"the night {night} is due at {by}")
    alarm = late_alarm(night, grid.states(store, (night,))[night], due_at, by, now)
    if alarm is None:
        return _looked(night, f"the night {night} was made in time")
    desk.keep(alarm.arguments, alarm.id, settings, at=now)
    return _looked(night, plain(str(alarm.arguments["title"]), 300))


def sources(settings: Settings) -> dict[str, list[str]]:
    """Return what the settings watch by now, by kind: repositories as paths, pull requests as owner/name."""
    repositories, _ = watched(settings)
    found = {"repositories": sorted(str(repository.path) for repository in repositories)}
    return found | {"pull requests": sorted(settings.github.repositories)}


def _sources(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    """Tell on ``commit_log`` when the settings, or a pattern in them, watch something new, without any restart."""
    now_watched = sources(settings)
    before = _before(context.cursor)
    kept = json.dumps(now_watched, sort_keys=True)
    if before == now_watched:
        number = count(len(now_watched["repositories"]), "repository", "repositories")
        return _looked(kept, f"{number} watched, as before")
    added, gone = _difference(before or {}, now_watched), _difference(now_watched, before or {})
    event(context.log, "settings.watch", logging.INFO, new=_few(added) or "none", gone=_few(gone) or "none")
    shown = {
        **{kind: dg.MetadataValue.json([plain(name, 300) for name in names]) for kind, names in now_watched.items()},
        "watched": dg.MetadataValue.int(len(now_watched["repositories"])),
        "new": dg.MetadataValue.json([plain(name, 300) for name in added]),
        "no more": dg.MetadataValue.json([plain(name, 300) for name in gone]),
    }
    return dg.SensorResult(
        asset_events=[dg.AssetObservation(dg.AssetKey("commit_log"), metadata=shown)],
        cursor=kept,
        skip_reason=plain(f"watched now: {len(added)} new ({_few(added)}), {len(gone)} no more ({_few(gone)})", 300),
    )


def _before(cursor: str | None) -> dict[str, list[str]] | None:
    try:
        kept = json.loads(cursor or "")
    except ValueError:
        return None
    return kept if isinstance(kept, dict) else None


def _difference(less: Mapping[str, list[str]], more: Mapping[str, list[str]]) -> list[str]:
    return [name for kind, names in more.items() for name in names if name not in less.get(kind, [])]


night_failed = dg.sensor(name="night_failed", minimum_interval_seconds=15, default_status=_ON)(_afresh(_failures))
late = dg.sensor(name="late", minimum_interval_seconds=60, default_status=_ON)(_afresh(_lateness))
see_settings = _afresh(_sources)
settings_seen = dg.sensor(name="settings_seen", minimum_interval_seconds=30, default_status=_ON)(see_settings)
SENSORS = (night_failed, late, settings_seen)
