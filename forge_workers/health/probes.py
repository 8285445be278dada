"""Looking: one short function per gauge.

Belongs here: obtaining a value. Does not belong here: whether it is good (``checks.py``), or how long to wait for it
(``probe.py``).
"""

from __future__ import annotations

import math
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import psutil

from forge_workers import git, redis_server
from forge_workers.errors import ForgeError
from forge_workers.health import checks, trends
from forge_workers.health.checks import Status
from forge_workers.health.probe import STALE_S, Probe, Reading, Scene, told
from forge_workers.night import BRIEFING, STEPS
from forge_workers.windows import window

_GIB = 1024**3
#: Round trips of which the median counts: one alone may meet a fork.
_PINGS = 9
#: Seconds for what the machine answers itself; only a hung network volume takes longer.
_QUICK_S = 5.0
#: Seconds for what asks the model server, which answers at once or not at all.
_MODEL_S = 15.0
#: Seconds for what asks Redis: the bundled one may first have to load its file, which it is given 30 s for.
_REDIS_S = 40.0
#: Seconds for what reads whole files: databases of 2 GiB at 100 MB/s, or many repositories on a slow volume.
_READ_S = 30.0
#: Seconds to wait for a database that Dagster writes at that moment; its writes take milliseconds.
_LOCKED_S = 0.5
#: Durability settings with the values under which an acknowledged job survives; ``everysec`` may lose one second.
_DURABLE = {"appendonly": ("yes",), "appendfsync": ("everysec", "always"), "maxmemory-policy": ("noeviction",)}


def disk_free(scene: Scene) -> Reading:
    """Measure the free space of the volume that holds FORGE_HOME."""
    usage = psutil.disk_usage(str(_existing(scene.tools.settings.home)))
    return Reading(usage.free / _GIB, f"{usage.free / _GIB:.0f} of {usage.total / _GIB:.0f} GiB free")


def disk_full_in(scene: Scene) -> Reading:
    """Forecast from this look and the last nights' when the disk is full."""
    free = disk_free(scene).value
    days = None if free is None else trends.days_until_full(scene.now, free, scene.earlier)
    if days is None:
        return Reading(None, f"no shrinking seen against {len(scene.earlier)} earlier looks", Status.OK)
    return Reading(days, f"full in {days:.0f} days by the median slope of {len(scene.earlier) + 1} looks")


def memory_available(_: Scene) -> Reading:
    """Measure the memory a new process could get without swapping."""
    memory = psutil.virtual_memory()
    share = 100 * memory.available / memory.total
    return Reading(share, f"{share:.0f}% of {memory.total / _GIB:.0f} GiB available")


def swap_used(_: Scene) -> Reading:
    """Measure the swap in use against the machine's memory."""
    used = psutil.swap_memory().used
    return Reading(100 * used / psutil.virtual_memory().total, f"{used / _GIB:.1f} GiB in use")


def load(_: Scene) -> Reading:
    """Measure the load of the last five minutes per core."""
    cores = psutil.cpu_count() or 1
    average = psutil.getloadavg()[1] / cores
    return Reading(average, f"{average:.1f} per core, 5 minute average over {cores} cores")


def uptime(scene: Scene) -> Reading:
    """Measure the hours since the machine started."""
    return Reading((scene.now - psutil.boot_time()) / 3600)


def restarts(scene: Scene) -> Reading:
    """Count how often the machine started between the earlier looks and now."""
    hours = (scene.now - psutil.boot_time()) / 3600
    count = trends.restarts(scene.now, hours, scene.earlier)
    return Reading(count, f"{count} since the earliest of {len(scene.earlier)} looks")


def redis_round_trip(scene: Scene) -> Reading:
    """Measure the median time of a ping, in milliseconds."""
    try:
        with redis_server.connect(scene.tools.settings) as client:
            took = [_timed_ms(client.ping) for _ in range(_PINGS)]
    except ForgeError as error:
        return Reading(None, told(error, scene), Status.FAIL)
    median = statistics.median(took)
    return Reading(median, f"{median:.2f} ms, median of {_PINGS} pings")


def redis_drift(scene: Scene) -> Reading:
    """Count the durability settings of the Redis in use that are not as Forge declares them."""
    with redis_server.connect(scene.tools.settings) as client:
        facts = redis_server.facts(client)
    live = {
        "appendonly": facts.appendonly,
        "appendfsync": facts.appendfsync,
        "maxmemory-policy": facts.maxmemory_policy,
    }
    seen = f"{facts.server} {facts.version}: " + ", ".join(f"{name} {value}" for name, value in live.items())
    if "unknown" in live.values():
        return Reading(None, f"the server does not tell its settings ({seen})", Status.UNKNOWN)
    return Reading(sum(live[name] not in good for name, good in _DURABLE.items()), seen)


def _timed_ms(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def dagster_home(scene: Scene) -> Reading:
    """Measure a synced write where Dagster keeps its home, or where it will make it."""
    home = scene.tools.settings.home / "dagster"
    place = _existing(home)
    try:
        took = _timed_ms(lambda: _synced_write(place))
    except OSError as error:
        return Reading(None, f"{place} takes no write: {error.strerror}", Status.FAIL)
    beside = "" if place == home else f"; the first night makes it, {place} takes writes"
    return Reading(took, f"{took:.1f} ms{beside}")


def _synced_write(place: Path) -> None:
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(b"forge")
        file.flush()
        os.fsync(file.fileno())


def dagster_databases(scene: Scene) -> Reading:
    """Add up the size of Dagster's databases and let SQLite check each of them."""
    found = sorted((scene.tools.settings.home / "dagster").rglob("*.db"))
    for path in found:
        fault = _damage(path)
        if fault:
            return Reading(None, f"{path.name} is damaged: {fault}", Status.FAIL)
    size = sum(path.stat().st_size for path in found) / _GIB
    return Reading(size, f"{len(found)} databases, {size:.2f} GiB")


def _damage(path: Path) -> str | None:
    """Return what SQLite finds wrong with a database, or None. A locked one raises: that is not damage."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_LOCKED_S)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        connection.close()
    return None if verdict == "ok" else str(verdict)


def model_server(scene: Scene) -> Reading:
    """Ask whether the night's model can be asked, and time the answer."""
    wanted = scene.tools.settings.models
    if wanted.engine == "extractive":
        return Reading(None, "no model is wanted: models.engine is extractive", Status.OK)
    started = time.perf_counter()
    reason = scene.tools.models.probe()
    if reason is not None:
        return Reading(None, reason, Status.WARN)
    return Reading(time.perf_counter() - started, f"{wanted.generate} is there")


def repositories(scene: Scene) -> Reading:
    """See which of the watched repositories can be read; those that cannot are named with the reason."""
    readable, gaps = git.watched(scene.tools.settings)
    names = {repository.name for repository in readable}
    lost = [gap for gap in gaps if gap.what not in names]  # the others tell of a readable one what it lacks
    total = len(readable) + len(lost)
    if not total:
        return Reading(None, "none is named under repositories in forge.toml", Status.FAIL)
    seen = "; ".join((f"{len(readable)} of {total}", *(f"{gap.what}: {gap.why}" for gap in lost)))
    return Reading(None, seen, Status.FAIL if not readable else Status.WARN if lost else Status.OK)


def last_good_night(scene: Scene) -> Reading:
    """Count the nights since one of which every step and the briefing left a report.

    Never more than the days since that one was made: after a night of long ago was run by hand, the next is no relapse.
    A night that is itself run long after its window is not asked: what its past lacked is nobody's fault tonight.
    """
    if scene.now - window(scene.night, scene.tools.settings.zone).end_at > STALE_S:
        return Reading(None, "not asked for a past night", Status.OK)
    history = scene.tools.history
    kept = {asset: set(history.nights(asset, before=scene.night)) for asset in (*STEPS, BRIEFING)}
    known, good = set.union(*kept.values()), set.intersection(*kept.values())
    if not known:
        return Reading(None, "no earlier night: this is the first", Status.OK)
    newest = max(good) if good else min(known)
    nights = (date.fromisoformat(scene.night) - date.fromisoformat(newest)).days + (not good)
    asset = next(asset for asset, nights_of in kept.items() if newest in nights_of)
    report = next(history.reports(asset, before=_day_after(newest), limit=1), None)
    if report is not None and report.receipt is not None:
        nights = min(nights, math.ceil((scene.now - report.receipt.started_at) / 86_400))
    return Reading(max(0, nights), f"the night of {newest}" if good else f"none since the first, {newest}")


def _day_after(night: str) -> str:
    return (date.fromisoformat(night) + timedelta(days=1)).isoformat()


def _existing(path: Path) -> Path:
    """Return ``path``, or the nearest directory above it that is there."""
    return next(p for p in (path, *path.parents) if p.exists())


#: Every gauge of a snapshot with the way to its value.
PROBES: tuple[Probe, ...] = (
    Probe(checks.DISK_FREE, disk_free, _QUICK_S),
    Probe(checks.DISK_FULL_IN, disk_full_in, _QUICK_S),
    Probe(checks.MEMORY_AVAILABLE, memory_available, _QUICK_S),
    Probe(checks.SWAP_USED, swap_used, _QUICK_S),
    Probe(checks.LOAD, load, _QUICK_S),
    Probe(checks.UPTIME, uptime, _QUICK_S),
    Probe(checks.RESTARTS, restarts, _QUICK_S),
    Probe(checks.REDIS_ROUND_TRIP, redis_round_trip, _REDIS_S),
    Probe(checks.REDIS_DRIFT, redis_drift, _REDIS_S),
    Probe(checks.MODEL_SERVER, model_server, _MODEL_S),
    Probe(checks.REPOSITORIES, repositories, _READ_S),
    Probe(checks.DAGSTER_HOME, dagster_home, _QUICK_S),
    Probe(checks.DAGSTER_DATABASES, dagster_databases, _READ_S),
    Probe(checks.LAST_GOOD_NIGHT, last_good_night, _QUICK_S),
)
