"""A fleet's services and runs, as a program reads and starts them.

Belongs here: asking. Does not belong here: what must come of it.
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from tests.standins.forge import Forge
from tests.standins.nights import SUNDAY
from tests.test_ui import LAUNCH, asked


def services(forge: Forge) -> dict[str, dict[str, Any]]:
    """Return how each service stands."""
    done = forge.run("status", "--json")
    assert done.returncode == 0, done.stderr
    return {service["name"]: service for service in json.loads(done.stdout)["services"]}


def port_of(forge: Forge) -> int:
    """Return the port of its pages."""
    return int(forge.environ["FORGE_DAGSTER_PORT"])


def launch(forge: Forge) -> str:
    """Launch the night as its page does; return the run."""
    selector = {"repositoryName": "__repository__", "repositoryLocationName": "forge_assets.definitions"}
    params = {
        "selector": {**selector, "jobName": "night"},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": SUNDAY}]},
    }
    launched = asked(port_of(forge), LAUNCH, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess"
    return str(launched["run"]["runId"])


def status_of(forge: Forge, run_id: str) -> str:
    """Return how a run stands, as its database says."""
    with dg.DagsterInstance.from_config(str(forge.home / "dagster")) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value
