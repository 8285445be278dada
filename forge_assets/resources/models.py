"""The language model as one step of the night reaches it.

Belongs here: joining the gateway and the GPU lease. Does not belong here: either of them.
"""

from __future__ import annotations

from forge_assets.resources.gpu import lease_for
from forge_workers.gpu.lease import Priority
from forge_workers.models.gateway import Gateway, open_gateway
from forge_workers.settings import Settings


def gateway_for(settings: Settings, purpose: str, priority: Priority = Priority.NIGHT) -> Gateway:
    """Return a gateway that takes the GPU lease for ``purpose`` only when it must ask a model."""
    return open_gateway(settings, lease=lease_for(settings, purpose, priority))
