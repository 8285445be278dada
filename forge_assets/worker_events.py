"""What Dagster makes of the workers' events: runs and observations, each event once.

The sensor keeps a *cursor*: how far it has read and what it was told last. Dagster reports observations first and
stores the cursor after, so a sensor daemon that dies between the two reads the same entries again; therefore each
observation is tagged with its job, which ends once, and what is in the event log already is left out. A run is asked
for under a key made from the job's id, which Dagster starts once.

1. The machine was judged RED: ``commit_log`` and ``security_review`` of the local day are run, once per night and per
   change to RED, however often it is said. Both, because the day's commits have moved on since the log was made.
2. A person asked in Slack for a night to be run again: that night, or the one step that is named, is run, once per ask.
3. A worker finished what is also an asset of the night: an observation on that asset. A look the worker takes by
   itself every few minutes is one only when it says something else than the last: Dagster never forgets an observation,
   and each takes 9 KB.
4. Anything else: nothing.

Belongs here: those decisions. All is pure but :func:`not_yet_told`. Does not belong here: reading Redis
(``resources/queues.py``), or the sensor (``automation.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from forge_assets.resources.queues import START, Entry, Stream, place_of
from forge_workers.night import BRIEFING, STEPS
from forge_workers.plain import plain
from forge_workers.windows import night_of

#: Most entries of one tick: an observation costs Dagster 10 ms of work, and a tick shall end within seconds.
BATCH = 100
#: Entries the stream holds about; so far back an event may have been reported when the cursor was lost.
_STREAM = 10_000
_PAGE = 50
#: How far apart two machines' clocks may be.
_DAY_S = 86_400.0
#: How old an ask may be when it is read, seconds: a person who waited longer than a day has asked again or moved on.
_ASKED_S = 86_400.0
#: Tags of an observation: the entry of the stream, and the job that ended, which no other observation has.
EVENT_TAG, JOB_TAG = "forge/event", "forge/job"
#: Tag of a run that an event asked for by day.
BY_DAY = "forge/by_day"
#: What the night makes and a worker may have made by day.
_ASSETS = frozenset({*STEPS, BRIEFING})
_ENDED = "ended at"
_THREAT, _JUDGE = "threat_assessment", "amygdala"
_REVIEW = (dg.AssetKey("commit_log"), dg.AssetKey("security_review"))
#: Figures shown of one report.
_NUMBERS = 40
#: Largest whole number that Dagster's pages show.
_MOST = 2**31 - 1
#: A day before the end of the year 9999, UTC unix seconds: in no time zone does a calendar go further.
_NO_LATER = 253_402_214_400


class Event(BaseModel):
    """One event as ``forge_workers.jobs.outcome.told`` writes it; what it may carry besides is not needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str, Field(pattern=r"\A[A-Za-z0-9_.-]{1,63}\z")]
    worker: str
    kind: str
    at: Annotated[float, Field(ge=0, lt=_NO_LATER)]
    by: str = ""
    asset: str | None = None
    night: str | None = None
    outcome: str | None = None
    headline: str | None = None
    findings: Annotated[int, Field(ge=0, le=_MOST)] = 0
    new: Annotated[int, Field(ge=0, le=_MOST)] = 0
    numbers: Mapping[str, float] = Field(default_factory=dict)
    level: str | None = None


def _checked(entry_id: str) -> str:
    place_of(entry_id)
    return entry_id


class Cursor(BaseModel):
    """How far the sensor is.

    Attributes:
        at: The last entry read.
        seen: How many entries the stream had had up to there.
        high: The highest entry ever read: at or below it, an event may have been reported before.
        red: The night for which RED stands, "" when it does not.
        said: What each asset's worker said last, by asset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Annotated[str, AfterValidator(_checked)] = START
    seen: int = 0
    high: Annotated[str, AfterValidator(_checked)] = START
    red: str = ""
    said: Mapping[str, str] = Field(default_factory=dict)


def read(text: str | None) -> Cursor | None:
    """Return the cursor Dagster kept, or None when there is none that can be read."""
    try:
        return None if text is None else Cursor.model_validate_json(text)
    except ValidationError:
        return None


class Place(NamedTuple):
    """Where to read on, and what was lost on the way, one plain sentence each."""

    cursor: Cursor
    lost: tuple[str, ...] = ()


def placed(cursor: Cursor | None, stream: Stream) -> Place:
    """Decide where to read on.

    1. No cursor: at the first entry there is, looking all the way back for what was reported.
    2. The stream is not the one that was read: it is gone, its newest entry is older than the last one read, or fewer
       were ever added than were read. At its first entry, looking all the way back.
    3. Entries were dropped unread: after them, saying how many.
    4. Otherwise where the last tick ended.
    """
    dropped = None if stream.added is None else stream.added - stream.length
    if cursor is None:
        return Place(Cursor(high=stream.last, seen=dropped or 0))  # 1
    shorter = stream.added is not None and stream.added < cursor.seen
    if shorter or place_of(stream.last) < place_of(cursor.at):
        what = "Redis lost the workers' events or is another one: what was told after the last look may be missing"
        return Place(Cursor(high=max(cursor.high, cursor.at, key=place_of), seen=dropped or 0), (what,))  # 2
    if dropped is not None and dropped > cursor.seen:
        count = dropped - cursor.seen
        what = f"{count} events were dropped before they were read: the stream keeps about {_STREAM}"
        return Place(cursor.model_copy(update={"seen": dropped}), (what,))  # 3
    return Place(cursor)  # 4


class Plan(NamedTuple):
    """What to do about the entries read.

    Attributes:
        observations: To report, unless the event log has them.
        runs: To ask for.
        unread: Entries that hold no event, with the reason.
        cursor: To keep when all that is done.
    """

    observations: tuple[dg.AssetObservation, ...]
    runs: tuple[dg.RunRequest, ...]
    unread: tuple[str, ...]
    cursor: Cursor


def decide(
    start: Cursor, entries: Iterable[Entry], *, zone: ZoneInfo, is_known: Callable[[str], bool], now: float
) -> Plan:
    """Decide what becomes of ``entries``.

    Args:
        start: Where they begin.
        entries: In the stream's order.
        zone: Decides which day a moment belongs to.
        is_known: Whether Dagster has this night.
        now: UTC unix seconds; what was RED on an earlier day, read late, starts nothing any more.
    """
    observations: list[dg.AssetObservation] = []
    runs: list[dg.RunRequest] = []
    unread: list[str] = []
    at, count, red, said = start.at, 0, start.red, dict(start.said)
    for entry in entries:
        at, count = entry.id, count + 1
        event = _parsed(entry)
        if isinstance(event, str):
            unread.append(f"{entry.id} {event}")
            continue
        if event.kind == "asked":
            wanted = _again(event, entry, is_known=is_known, now=now)  # 2
            if isinstance(wanted, str):
                unread.append(f"{entry.id} {wanted}")
            else:
                runs.append(wanted)
            continue
        if event.kind != "done":
            continue  # 4
        stands = _red(event, red, zone)
        if stands not in {red, ""} and stands == night_of(now, zone) and is_known(stands):
            runs.append(_review(event, entry, stands))  # 1
        red = stands
        asset = event.asset
        if asset in _ASSETS:
            if not (event.by == "schedule" and said.get(asset) == _gist(event)):
                observations.append(_observation(asset, event, entry, is_known))  # 3
            said[asset] = _gist(event)
    high = max(start.high, at, key=place_of)
    cursor = Cursor(at=at, seen=start.seen + count, high=high, red=red, said=said)
    return Plan(tuple(observations), tuple(runs), tuple(unread), cursor)


def not_yet_told(
    instance: dg.DagsterInstance, planned: Iterable[dg.AssetObservation], start: Cursor
) -> tuple[dg.AssetObservation, ...]:
    """Leave out what the event log has already, because a daemon died before its cursor was stored.

    Args:
        instance: Whose event log.
        planned: What was decided about the entries after ``start``.
        start: Where they begin.
    """
    by_asset: dict[dg.AssetKey, list[dg.AssetObservation]] = {}
    for seen in planned:
        by_asset.setdefault(seen.asset_key, []).append(seen)
    told = {asset: _told(instance, asset, start, _oldest(those)) for asset, those in by_asset.items()}
    return tuple(
        seen for those in by_asset.values() for seen in those if seen.tags[JOB_TAG] not in told[seen.asset_key]
    )


def _told(instance: dg.DagsterInstance, asset: dg.AssetKey, start: Cursor, oldest: float) -> set[str]:
    """Return the jobs whose observation on ``asset`` is in the event log, as far back as ``start`` asks for.

    Newest first down to the first one at or below the cursor. Below ``high`` the order says nothing, so all is looked
    at that was written since a day before the ``oldest`` job ended, by clocks that may differ.
    """
    reading_again = place_of(start.at) < place_of(start.high)
    since = dg.AssetRecordsFilter(asset, after_timestamp=oldest - _DAY_S) if reading_again else asset
    found: set[str] = set()
    position = None
    for _ in range(_STREAM // _PAGE):
        page = instance.fetch_observations(since, limit=_PAGE, cursor=position)
        for record in page.records:
            tags = record.asset_observation.tags if record.asset_observation else {}
            if EVENT_TAG not in tags:
                continue  # somebody else's
            if not reading_again and place_of(tags[EVENT_TAG]) <= place_of(start.at):
                return found
            found.add(tags[JOB_TAG])
        if not page.has_more:
            break
        position = page.cursor
    return found


def _oldest(planned: Iterable[dg.AssetObservation]) -> float:
    ends = (seen.metadata[_ENDED].value for seen in planned)
    return min(float(end) for end in ends if isinstance(end, float | int))


def _parsed(entry: Entry) -> Event | str:
    """Return the event, or why there is none."""
    if entry.event is None:
        return "has no event"
    try:
        return Event.model_validate_json(entry.event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return plain(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip(), 120)


def _red(event: Event, red: str, zone: ZoneInfo) -> str:
    """Return the night for which RED stands after ``event``, "" when it does not."""
    if (event.asset != _THREAT and event.worker != _JUDGE) or event.level is None:
        return red
    return night_of(event.at, zone) if event.level == "RED" else ""


def _review(event: Event, entry: Entry, night: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"RED by {event.id}",
        partition_key=night,
        asset_selection=list(_REVIEW),
        tags={BY_DAY: "yes", EVENT_TAG: entry.id, JOB_TAG: event.id},
    )


def _again(event: Event, entry: Entry, *, is_known: Callable[[str], bool], now: float) -> dg.RunRequest | str:
    """Return the run that a person asked for, or why there is none."""
    if event.night is None or not is_known(event.night):
        return "asks for a night that is not known"
    if event.asset is not None and event.asset not in STEPS:
        return "asks for a step that no night has"
    if now - event.at > _ASKED_S:
        return "was asked for more than a day ago"
    return dg.RunRequest(
        run_key=f"asked by {event.id}",
        partition_key=event.night,
        asset_selection=None if event.asset is None else [dg.AssetKey(event.asset)],
        tags={EVENT_TAG: entry.id, JOB_TAG: event.id},
    )


def _gist(event: Event) -> str:
    """Return what of a look is worth telling when it changes: not the seconds or percents that never stand still."""
    return plain(f"{event.night} {event.outcome} {event.level} {event.findings} {event.new}", 200)


def _observation(asset: str, event: Event, entry: Entry, is_known: Callable[[str], bool]) -> dg.AssetObservation:
    """Tell of a finished job on its asset, in text that no page takes for markup."""
    shown: dict[str, dg.MetadataValue] = {
        "headline": dg.MetadataValue.text(plain(event.headline or "", 300)),
        "outcome": dg.MetadataValue.text(plain(event.outcome or "", 40)),
        "findings": dg.MetadataValue.int(event.findings),
        "new findings": dg.MetadataValue.int(event.new),
        "worker": dg.MetadataValue.text(plain(event.worker, 60)),
        "job": dg.MetadataValue.text(event.id),
        "asked by": dg.MetadataValue.text(plain(event.by, 60)),
        _ENDED: dg.MetadataValue.timestamp(event.at),
    }
    if event.level is not None:
        shown["level"] = dg.MetadataValue.text(plain(event.level, 20))
    finite = [(plain(name, 60), number) for name, number in event.numbers.items() if math.isfinite(number)]
    for name, number in finite[:_NUMBERS]:
        shown.setdefault(name, dg.MetadataValue.float(number))
    return dg.AssetObservation(
        asset_key=dg.AssetKey(asset),
        partition=event.night if event.night is not None and is_known(event.night) else None,
        metadata=shown,
        tags={EVENT_TAG: entry.id, JOB_TAG: event.id},
    )
