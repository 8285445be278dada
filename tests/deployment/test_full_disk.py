"""A full disk under the fleet and Dagster's storage, in a file system of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.standins.forge import ROOT
from tests.standins.repositories import HOUR, MONDAY, synthetic


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="a file system of one's own needs Linux's unshare")
def test_a_disk_that_fills_during_a_daemons_night_costs_that_night_and_nothing_after_it(tmp_path: Path) -> None:
    """While it is full the fleet still says how it stands; with room again all services work and the night is run."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=3)
    (tmp_path / "disk").mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "tests.deployment.full_disk"]
    done = subprocess.run(
        [*command, str(tmp_path / "disk"), str(repo.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    if "unshare: " in done.stderr or "mount: " in done.stderr:
        pytest.skip("this machine lets nobody mount a file system of his own")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "up": 0,
        "status while full": [0, ""],
        "up again": True,
        "night again": True,
        "briefing": True,
        "down": 0,
    }
