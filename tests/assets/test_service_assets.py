"""The services as external assets: their specs, and what is told of their health."""

from __future__ import annotations

from forge_assets.assets.services import SPECS, found, key_of, tell
from forge_assets.assets.workers import AGAIN_S, Told
from forge_workers.catalog import SERVICES
from forge_workers.fleet.services import ServiceStatus
from forge_workers.settings import load

NOW = 1_795_500_000.0


def test_every_service_is_an_asset_with_a_story() -> None:
    """Description, owner, kinds and group, apart from the workers and the night's own assets."""
    assert [spec.key for spec in SPECS] == [key_of(name) for name in SERVICES]
    assert all(spec.description and spec.owners and spec.kinds and spec.group_name == "services" for spec in SPECS)


def test_a_flip_is_told_once_and_again_after_a_day() -> None:
    """Unchanged is silence; a clock that was set back tells at once."""
    up = ServiceStatus("redis", "up", 7, NOW - 5, "unix:/x")
    first = tell([up], {}, NOW)
    (observation,) = first.observations

    assert observation.asset_key == key_of("redis")
    assert observation.metadata["status"].value == "running"
    assert not tell([up], first.told, NOW + AGAIN_S - 1).observations
    assert tell([up], first.told, NOW + AGAIN_S).observations
    assert tell([up], first.told, NOW - 1).observations
    assert tell([ServiceStatus("redis", "failing")], first.told, NOW + 1).told == {"redis": Told("down", NOW + 1)}


def test_what_cannot_be_asked_is_down_or_off(tmp_path: object) -> None:
    """Without a fleet and without Redis nothing fails and nothing is made."""
    settings = load({"FORGE_HOME": f"{tmp_path}/forge", "FORGE_TIMEZONE": "UTC"})
    states = {service.name: service.state for service in found(settings, NOW)}

    assert states == {name: "off" if name == "slack_gateway" else "down" for name in SERVICES}
