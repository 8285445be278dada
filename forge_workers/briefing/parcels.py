"""What waits to be delivered to Slack, and where what was delivered stands: files, each whole or not there.

``spool/slack/<night>.json`` holds one night's parcel, ``briefings/<night>.slack.json`` marks its first message. Belongs
here: which parcel may take another's place, and their order. Does not belong here: sending (``deliver.py``).
"""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock
from pydantic import Field, ValidationError

from forge_workers import files
from forge_workers.briefing.blocks import Message
from forge_workers.briefing.uploads import Picture
from forge_workers.log import event
from forge_workers.report import Frozen
from forge_workers.windows import NightKey, check_night

_LOG = logging.getLogger(__name__)
#: Longest wait for another process that puts a parcel in or takes one out, in seconds.
_LOCK_S = 10.0
#: Deliveries that may leave a parcel unanswered before younger ones go first.
_PATIENCE = 3
#: Deliveries that may leave only the charts of a parcel unanswered before it goes without them: days, and a bound on
#: what a Slack that never shows a chart could pile up.
_PATIENCE_WITH_CHARTS = 8


class Parcel(Frozen):
    """One edition of one night on its way.

    Attributes:
        night: The night's key.
        messages: The first for the channel, the others for its thread.
        pictures: Charts for its thread.
        made_at: When it was composed, UTC unix seconds; 0 when nobody said.
        tries: Deliveries that ended without an answer.
    """

    night: NightKey
    messages: tuple[Message, ...]
    pictures: tuple[Picture, ...] = ()
    made_at: float = 0.0
    tries: int = 0


class Marker(Frozen):
    """Where a night's first message stands; its thread holds the others.

    Attributes:
        channel: The channel's id.
        ts: The first message's timestamp.
        made_at: When the edition that stands there was composed.
        uploading: Ids of charts that Slack took and nobody has seen yet, by file name.
    """

    channel: str
    ts: str
    made_at: float = 0.0
    uploading: dict[str, str] = Field(default_factory=dict)


def in_order(home: Path) -> list[Parcel]:
    """Return what waits, oldest night first, and last what Slack has left unanswered too often."""
    found = (read(path) for path in (home / "spool" / "slack").glob("*.json"))
    return sorted(filter(None, found), key=lambda parcel: (parcel.tries >= _PATIENCE, parcel.night))


def put(home: Path, parcel: Parcel) -> None:
    """Put a parcel into the spool, unless a later edition of its night waits there.

    Raises:
        filelock.Timeout: Another process has held the spool for long.
        OSError: The disk is full or refuses.
    """
    with _spool_lock(home):
        waiting = read(path_of(home, parcel.night))
        if waiting is None or waiting.made_at <= parcel.made_at:
            files.replace(path_of(home, parcel.night), parcel.model_dump_json())


def taken_out(home: Path, parcel: Parcel) -> None:
    """Take a parcel out of the spool, unless a later edition has taken its place meanwhile."""
    with _spool_lock(home):
        if read(path_of(home, parcel.night)) == parcel:
            path_of(home, parcel.night).unlink(missing_ok=True)


def unanswered(home: Path, parcel: Parcel) -> None:
    """Remember that a delivery of this parcel ended without an answer, unless another has taken its place meanwhile."""
    with _spool_lock(home):
        if read(path_of(home, parcel.night)) == parcel:
            later = parcel.model_copy(update={"tries": parcel.tries + 1})
            files.replace(path_of(home, parcel.night), later.model_dump_json())


def waits_for_charts(home: Path, parcel: Parcel) -> bool:
    """Let a parcel whose messages stand in Slack wait for its charts, and say whether it does: not for ever."""
    if parcel.tries + 1 >= _PATIENCE_WITH_CHARTS:
        taken_out(home, parcel)
        return False
    unanswered(home, parcel)
    return True


def path_of(home: Path, night: str) -> Path:
    """Return where a night's parcel waits."""
    return home / "spool" / "slack" / f"{check_night(night)}.json"


def marker_path(home: Path, night: str) -> Path:
    """Return where it is marked what stands in Slack."""
    return home / "briefings" / f"{night}.slack.json"


def read(path: Path) -> Parcel | None:
    """Return what is spooled at ``path``; a damaged file is put aside, since nothing in it can be trusted."""
    try:
        return Parcel.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        event(_LOG, "briefing.spool_damaged", logging.ERROR, file=path.name)
        path.replace(path.with_suffix(".damaged"))
        return None


def marker_of(path: Path, channel: str) -> Marker | None:
    """Return the marker; one that is damaged or of another channel tells nothing."""
    try:
        marker = Marker.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return marker if marker.channel == channel else None


def _spool_lock(home: Path) -> FileLock:
    return FileLock(home / "spool" / "slack.spool.lock", timeout=_LOCK_S)
