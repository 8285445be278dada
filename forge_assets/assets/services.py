"""The services beside the workers as Dagster sees them: external assets, each with its health.

Dagster runs none of them, not even its own. Belongs here: their specs, and the status that is told. Does not belong
here: how a service stands (``forge_workers.fleet.services``), or the workers (``workers.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from forge_assets.assets.workers import AGAIN_S, Status, Telling, Told
from forge_workers import redis_server
from forge_workers.catalog import SERVICES, Service
from forge_workers.fleet import redis_state
from forge_workers.fleet.services import ServiceStatus, look
from forge_workers.fleet.supervisord import Supervisord
from forge_workers.plain import plain
from forge_workers.settings import Settings
from forge_workers.wire import Wire

GROUP = "services"
_KINDS = {"redis": {"redis"}, "slack_gateway": {"slack", "python"}}
_STATUSES = {"up": Status.RUNNING, "down": Status.DOWN, "failing": Status.DOWN, "off": Status.ABSENT}


def key_of(service: str) -> dg.AssetKey:
    """Return the asset that stands for ``service``."""
    return dg.AssetKey([GROUP, service])


def _spec(row: Service) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=key_of(row.name),
        group_name=GROUP,
        description=row.purpose,
        owners=["team:forge"],
        kinds=_KINDS.get(row.name, {"dagster", "python"}),
        metadata={
            "module": row.module,
            "time to stop (s)": row.stop_s,
            "runs only with": ", ".join(row.needs) or "any settings",
        },
    )


SPECS = tuple(_spec(row) for row in SERVICES.values())


def found(settings: Settings, now: float) -> tuple[ServiceStatus, ...]:
    """Return how each service stands, Redis among them.

    Args:
        settings: Whose services.
        now: UTC unix seconds.
    """
    supervised = Supervisord(settings.home).processes() or ()
    redis = redis_state.look(Wire(redis_server.url_of(settings)), redis_server.shown_url(settings))
    redis_status = ServiceStatus("redis", "down" if redis.state == "away" else "up", address=redis.address)
    return (redis_status, *look(settings.home, SERVICES, settings, supervised, now))


def tell(found: Iterable[ServiceStatus], told: Mapping[str, Told], now: float) -> Telling:
    """Tell of every service whose status has flipped, or was told a day ago. Pure.

    Args:
        found: How each stands.
        told: What was told last, by service.
        now: UTC unix seconds.
    """
    observations: list[dg.AssetObservation] = []
    then: dict[str, Told] = {}
    for service in found:
        last, status = told.get(service.name), _STATUSES.get(service.state, Status.LATE)
        if last is not None and last.status == status and 0 <= now - last.at < AGAIN_S:
            then[service.name] = last
            continue
        then[service.name] = Told(status.value, now)
        observations.append(dg.AssetObservation(key_of(service.name), metadata=_shown(service, status)))
    return Telling(tuple(observations), then)


def _shown(service: ServiceStatus, status: Status) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {
        "status": dg.MetadataValue.text(status.value),
        "state": dg.MetadataValue.text(service.state),
    }
    if service.pid is not None:
        shown["pid"] = dg.MetadataValue.int(service.pid)
    if service.address:
        shown["listens at"] = dg.MetadataValue.text(plain(service.address))
    if service.since_at is not None:
        shown["started at"] = dg.MetadataValue.timestamp(service.since_at)
    if service.why:
        shown["off because"] = dg.MetadataValue.text(plain(service.why))
    return shown
