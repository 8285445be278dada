"""Looks at imaginary machines, and the tools to look with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forge_workers.health.checks import GAUGES, Check, Snapshot, Status
from forge_workers.models.gateway import open_gateway
from forge_workers.report import Report
from forge_workers.settings import Settings
from forge_workers.settings_sections import Models
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import window

NIGHT = "2026-03-02"
DAY_S = 86_400.0

#: A value of every gauge that passes.
HEALTHY = {
    "disk_free": 80.0,
    "disk_full_in": 90.0,
    "memory_available": 60.0,
    "swap_used": 2.0,
    "load": 0.3,
    "uptime": 400.0,
    "machine": 0.0,
    "redis_round_trip": 0.1,
    "redis_durability": 0.0,
    "model_server": 0.01,
    "repositories_reachable": 100.0,
    "dagster_home_write": 3.0,
    "dagster_databases": 0.1,
    "last_good_night": 1.0,
}


def settings_in(home: Path, **chosen: Any) -> Settings:
    """Return settings of a Forge that lives in ``home``."""
    given = {"repositories": (), "timezone": "Europe/Paris", "models": Models(engine="extractive"), **chosen}
    return Settings(home=home, **given)


NIGHT_WINDOW = window(NIGHT, settings_in(Path("/nowhere")).zone)


def look(
    observed_at: float = NIGHT_WINDOW.end_at, checks: Mapping[str, Check] | None = None, **values: float
) -> Snapshot:
    """Return a look in which all passes but what ``values`` (by gauge) or ``checks`` say."""
    measured = HEALTHY | values
    made = {gauge.name: gauge.judge(measured[gauge.name]) for gauge in GAUGES} | dict(checks or {})
    return Snapshot(observed_at=observed_at, checks=tuple(made.values()))


def gauge(name: str) -> Any:
    """Return the gauge called ``name``."""
    return next(g for g in GAUGES if g.name == name)


def settled(name: str, status: Status, detail: str = "") -> dict[str, Check]:
    """Return the check of one gauge with a status that a fact settled."""
    return {name: gauge(name).settled(status, detail)}


def snapshot_report(snapshot: Snapshot, night: str = NIGHT) -> Report:
    """Return the report that carries ``snapshot``."""
    return Report(asset="health_snapshot", night=night, headline="h", data=snapshot.model_dump(mode="json"))


def tools(home: Path, now: float = NIGHT_WINDOW.end_at, **chosen: Any) -> Tools:
    """Return the tools of a step in ``home`` with the settings ``chosen``; no model is wanted unless they say so."""
    settings = settings_in(home, **chosen)
    return Tools(settings, open_gateway(settings, lease=None), NightStore(home / "nights"), lambda: now)


def request(*upstream: Report, night: str = NIGHT) -> Request:
    """Return the request for the night with these reports upstream."""
    zone = settings_in(Path("/nowhere")).zone
    return Request(night, window(night, zone), {report.asset: report for report in upstream})
