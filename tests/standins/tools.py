"""The tools of a desk, real and as small as they come."""

from __future__ import annotations

from forge_workers.models.gateway import open_gateway
from forge_workers.settings import Settings
from forge_workers.settings_sections import Models
from forge_workers.store import NightStore
from forge_workers.tools import Tools


def tools_of(settings: Settings, now: float) -> Tools:
    """Return tools that ask no model, with a clock that says ``now``."""
    modest = settings.model_copy(update={"models": Models(engine="extractive")})
    return Tools(modest, open_gateway(modest, lease=None), NightStore(settings.home / "nights"), lambda: now)
