"""What is looked at on the machine, and from which value on it is a warning or a failure.

Belongs here: the table of gauges with their thresholds, and the pure judgement of one value. Does not belong here: how
a value is obtained (``probes.py``), how values of several nights hang together (``trends.py``), or what the checks
mean together (``triage.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from forge_workers.plain import plain
from forge_workers.report import Frozen

#: Longest detail of a check, in characters; it must fit a finding's quote.
DETAIL_CHARS = 500
#: From this size on a value is shown without decimals.
_LARGE = 100


class Status(StrEnum):
    """How one check went, from good to bad; ``unknown`` is worse than good and better than a known fault."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARN = "warn"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """Place in the order, 0 for ``ok`` to 3 for ``fail``."""
        return list(Status).index(self)


class Check(Frozen):
    """One look at one thing.

    Attributes:
        name: The gauge's name, such as ``disk_free``.
        title: What was looked at, in words for a person.
        status: How it went.
        value: What was measured, in ``unit``; None when there is no number.
        unit: The unit of ``value``.
        threshold: From where on it is a warning or a failure, in words with the unit.
        detail: What was seen, or why nothing was, in one plain line that can stand without the value.
    """

    name: str
    title: str
    status: Status
    value: float | None = None
    unit: str = ""
    threshold: str = ""
    detail: str = ""

    @property
    def shown(self) -> str:
        """The value with its unit, or a dash."""
        if self.value is None:
            return "-"
        size = abs(self.value)
        digits = 0 if self.value.is_integer() or size >= _LARGE else 1 if size >= 1 else 3
        return f"{self.value:.{digits}f} {self.unit}".replace(" %", "%").strip()


class Snapshot(Frozen):
    """Every check of one look at the machine; what ``health_snapshot`` keeps as its data.

    Attributes:
        observed_at: When the look began, UTC unix seconds.
        checks: One per gauge, in the order of the table.
    """

    observed_at: float
    checks: tuple[Check, ...]

    def check(self, name: str) -> Check | None:
        """Return the check called ``name``, or None when this look had none."""
        return next((c for c in self.checks if c.name == name), None)

    def value(self, name: str) -> float | None:
        """Return what the check called ``name`` measured, or None."""
        check = self.check(name)
        return None if check is None else check.value


@dataclass(frozen=True)
class Gauge:
    """One row of the table: a thing that has a value, and the value's limits.

    Attributes:
        name: Stable name; with the unit it names the number kept per night.
        title: What it is, in words for a person.
        unit: Unit of the value and of both limits.
        source: What is asked for the value; becomes the evidence's source.
        warn: The value from which on it is a warning; None for never.
        fail: The value from which on it is a failure; None for never.
        low_is_bad: Whether values below the limits are the bad ones; otherwise those above.
        advice: What to do about it, one plain sentence.
        wanted: What is right, in words, where no limit can say it.
    """

    name: str
    title: str
    unit: str
    source: str
    warn: float | None = None
    fail: float | None = None
    low_is_bad: bool = False
    advice: str = ""
    wanted: str = ""

    @property
    def number(self) -> str:
        """Name of the number in a report; it carries the unit."""
        return re.sub(r"\W+", "_", f"{self.name}_{self.unit}".lower().replace("%", "percent")).strip("_")

    @property
    def threshold(self) -> str:
        """Both limits in words with their unit."""
        side = "below" if self.low_is_bad else "from"
        limits = (("warn", self.warn), ("fail", self.fail))
        words = (
            f"{name} {side} {limit:g} {self.unit}".replace(" %", "%") for name, limit in limits if limit is not None
        )
        return ", ".join(words) or self.wanted or "none, shown for comparison"

    def judge(self, value: float, detail: str = "") -> Check:
        """Say how ``value`` stands against the limits; a value that is no finite number is ``unknown``."""
        if not math.isfinite(value):
            return self.unknown(f"it measured {value}, which is no number")
        status = (
            Status.FAIL if self._past(self.fail, value) else Status.WARN if self._past(self.warn, value) else Status.OK
        )
        return self.settled(status, detail, value)

    def settled(self, status: Status, detail: str, value: float | None = None) -> Check:
        """Return a check whose status a plain fact settles rather than the value: refused, damaged, not wanted."""
        return Check(
            name=self.name,
            title=self.title,
            status=status,
            value=value,
            unit=self.unit,
            threshold=self.threshold,
            detail=plain(detail, DETAIL_CHARS),
        )

    def unknown(self, why: str) -> Check:
        """Return the check of a thing that could not be looked at."""
        return self.settled(Status.UNKNOWN, why)

    def _past(self, limit: float | None, value: float) -> bool:
        if limit is None:
            return False
        return value < limit if self.low_is_bad else value >= limit


#: 10 GiB hold a new 8B model (5 GiB) and the swap files of its load; below 2 GiB a night's own writes are at risk.
DISK_FREE = Gauge(
    "disk_free", "Disk space free", "GiB", "psutil", 10, 2, low_is_bad=True,
    advice="Free space on the volume of FORGE_HOME: the nights, Redis and Dagster all write there.",
)  # fmt: skip
#: Two weeks leave a person a weekend to clear up; at three days a Friday's briefing is the last that helps.
DISK_FULL_IN = Gauge(
    "disk_full_in", "Days until the disk is full", "days", "store", 14, 3, low_is_bad=True,
    advice="Find what grows on the volume of FORGE_HOME before it is full.",
)  # fmt: skip
#: At 15% an 8B model (5 GiB) no longer fits on a 32 GiB machine; below 5% the system starts to kill processes.
MEMORY_AVAILABLE = Gauge(
    "memory_available", "Memory available", "%", "psutil", 15, 5, low_is_bad=True,
    advice="Close what holds the memory: a model that does not fit makes the whole night slow.",
)  # fmt: skip
#: Share of physical memory, since macOS grows its swap as it needs. A machine that swaps while a model works collapses
#: rather than slows (github.com/ml-explore/mlx-examples/issues/664); some swap of idle programs is normal.
SWAP_USED = Gauge(
    "swap_used", "Swap used, as a share of memory", "%", "psutil", 25, 75,
    advice="Restart what grew, or choose a smaller model.",
)  # fmt: skip
#: Five-minute load: above 1.5 runnable processes per core each waits for its turn, above 4 timeouts fire.
LOAD = Gauge(
    "load", "Load", "per core", "psutil", 1.5, 4,
    advice="Look what keeps the processors busy at night.",
)  # fmt: skip
#: No limits: the hours since the start are kept so that restarts can be counted over nights.
UPTIME = Gauge("uptime", "Time since the machine started", "h", "psutil")
#: One restart is an update, two are bad luck; three within a week are a fault. Never a failure by itself.
RESTARTS = Gauge(
    "machine", "Restarts of the machine over the last 7 nights", "restarts", "store", 3,
    advice="Look in the system's log why the machine keeps restarting.",
)  # fmt: skip
#: A local round trip takes 0.1 ms; 10 ms is a fork or a busy disk, and 250 ms eats into the lease's renewals.
REDIS_ROUND_TRIP = Gauge(
    "redis_round_trip", "Redis round trip", "ms", "redis", 10, 250,
    advice="Run `forge doctor`: without Redis no step gets the GPU.",
)  # fmt: skip
#: Settings that differ from what Forge declares: AOF on, synced each second or always, nothing evicted.
REDIS_DRIFT = Gauge(
    "redis_durability", "Redis durability settings that differ", "settings", "redis", 1,
    advice="Set appendonly yes, appendfsync everysec and maxmemory-policy noeviction on that Redis.",
)  # fmt: skip
#: A loopback server says what it has in milliseconds; at 5 s it is stuck behind a load. No model is never a failure,
#: since the night goes on with extracts.
MODEL_SERVER = Gauge(
    "model_server", "Model server", "s", "ollama", 5,
    advice='Start Ollama and pull the model, or set models.engine = "extractive" if no model is wanted.',
)  # fmt: skip
#: One repository out of reach is a hole in the briefing; none within reach leaves nothing to brief about.
REPOSITORIES = Gauge(
    "repositories_reachable", "Watched repositories within reach", "", "git",
    wanted="warn when one is missing, fail when none can be read",
    advice="Mend or remove the named repositories in the setting `repositories`.",
)  # fmt: skip
#: A small synced write takes under 50 ms on a healthy disk; at 5 s Dagster's own database calls time out.
DAGSTER_HOME = Gauge(
    "dagster_home_write", "Synced write in Dagster's home", "ms", "os", 500, 5_000,
    advice="See who owns the directory dagster in FORGE_HOME and whether its disk is well.",
)  # fmt: skip
#: A year of nights is below 1 GiB; beyond 2 GiB every page of Dagster's is slow and its retention is not working.
DAGSTER_DATABASES = Gauge(
    "dagster_databases", "Dagster's databases", "GiB", "sqlite", 2, 20,
    advice="Stop Dagster and move the named database aside: Forge's own reports are kept elsewhere.",
)  # fmt: skip
#: 1 is last night. At 2 a night was missed; from 8 on not one of the 7 nights that figures are compared with is there.
LAST_GOOD_NIGHT = Gauge(
    "last_good_night", "Last good night", "nights ago", "store", 2, 8,
    advice="Run `forge night --date` for the nights that are missing.",
)  # fmt: skip

#: What a snapshot holds, in the order it is shown.
GAUGES: tuple[Gauge, ...] = (
    DISK_FREE,
    DISK_FULL_IN,
    MEMORY_AVAILABLE,
    SWAP_USED,
    LOAD,
    UPTIME,
    RESTARTS,
    REDIS_ROUND_TRIP,
    REDIS_DRIFT,
    MODEL_SERVER,
    REPOSITORIES,
    DAGSTER_HOME,
    DAGSTER_DATABASES,
    LAST_GOOD_NIGHT,
)


def troubled(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Return the checks that are not ``ok``, worst first, otherwise in their own order."""
    return tuple(sorted((c for c in checks if c.status is not Status.OK), key=lambda c: -c.status.rank))
