"""Dagster's own daemon reading the workers' stream, killed at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import RUN_KEY_TAG

from forge_assets import worker_events as events
from tests.assets.test_worker_events import Ticker, ids, judged, said
from tests.standins.dagster import code_server, wait_until
from tests.standins.forge import ROOT
from tests.standins.redis import PrivateRedis

#: The location whose sensor may tick every second.
QUICK = "tests.assets.quick_location"

DAGSTER_YAML = """
telemetry: {enabled: false}
concurrency: {runs: {max_concurrent_runs: 0}}
"""


@pytest.mark.slow
def test_a_daemon_killed_again_and_again_tells_each_event_once(tmp_path: Path, redis_server: PrivateRedis) -> None:
    """Dagster's own daemon, SIGKILL at random moments: one observation per job, one run per change to RED."""
    dagster_home = tmp_path / "dagster"
    dagster_home.mkdir()
    (dagster_home / "dagster.yaml").write_text(DAGSTER_YAML)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FORGE_HOME": str(redis_server.home)}
    environ |= {"DAGSTER_HOME": str(dagster_home), "FORGE_TIMEZONE": "UTC", "FORGE_REPOSITORIES": str(ROOT)}
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    workers = ("code_review", "security_review", "pr_digest")
    told = [said(workers[n % 3]) for n in range(250)]
    flips = [judged(level, at=time.time()) for _ in range(3) for level in ("RED", "RED", "GREEN")]
    for number, flip in enumerate(flips):
        told.insert(15 + number * 25, flip)

    with (
        dg.DagsterInstance.from_config(str(dagster_home)) as instance,
        code_server(tmp_path, environ, QUICK) as workspace,
    ):
        ticker = Ticker(instance, redis_server)
        ticker.add(*told)
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]

        def start() -> subprocess.Popen[bytes]:
            with (tmp_path / "daemon.log").open("ab") as log:
                return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

        def newest() -> int:
            return instance.event_log_storage.get_maximum_record_id() or 0

        def kept() -> events.Cursor:
            state = next(iter(instance.all_instigator_state()), None)
            cursor = getattr(state.instigator_data, "cursor", None) if state else None
            return events.read(cursor) or events.Cursor()

        def observed() -> Counter[str]:
            return sum((ticker.observed(asset) for asset in (*workers, "threat_assessment")), Counter())

        torn = 0
        for longest in (0.4, 0.4, 0.4, 2.5, 2.5, 2.5):  # among the reports, and as far as the runs
            before, daemon = newest(), start()
            try:
                wait_until(lambda before=before: newest() > before or kept().seen == len(told))  # type: ignore[misc]
                time.sleep(moments.uniform(0, longest))
            finally:
                daemon.kill()
                daemon.wait(timeout=30)
            torn += observed().total() > kept().seen
        daemon = start()
        try:
            wait_until(lambda: kept().seen == len(told), 120)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=60)
        keys = Counter(run.tags[RUN_KEY_TAG] for run in instance.get_runs())
        counted = observed()

    assert torn, f"no kill came between reporting and the cursor (seed {seed}): nothing was tried"
    assert counted == dict.fromkeys(ids(*told), 1), f"seed {seed}"
    assert keys == {f"RED by {json.loads(flips[n])['id']}": 1 for n in (0, 3, 6)}, f"seed {seed}"
