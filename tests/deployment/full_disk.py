"""A fleet whose disk fills up during a night and has room again: run inside a mount namespace of its own, as a process.

Belongs here: what happens in there, told as JSON on the last line. Does not belong here: what must come of it
(``test_full_disk.py``).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from tests.deployment.runs import launch, services
from tests.fleet.processes import of_home
from tests.standins.forge import Forge
from tests.standins.nights import SUNDAY
from tests.test_ui import free_port

#: Room of the whole home, and how long it stays full, seconds.
_SIZE, _FULL_S = "96m", 20.0


def main(disk: Path, repository: Path) -> None:
    """Fill the disk while a night runs, look, make room, look again and run the night again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(disk)], check=True)
    forge = Forge(disk / "forge", repository, FORGE_DAGSTER_PORT=str(free_port()))
    told: dict[str, object] = {}
    try:
        told["up"] = forge.run("up").returncode
        launch(forge)
        until(60, (forge.home / "nights" / SUNDAY).is_dir)
        fill(disk / "ballast")
        time.sleep(_FULL_S)
        status = forge.run("status")
        told["status while full"] = (status.returncode, status.stderr)
        (disk / "ballast").unlink()
        told["up again"] = until(120, lambda: all(s["state"] in {"up", "off"} for s in services(forge).values()))
        told["night again"] = until(150, lambda: succeeded(forge, launch(forge)))
        told["briefing"] = (forge.home / "briefings" / f"{SUNDAY}.html").is_file()
        told["down"] = forge.run("down").returncode
    finally:
        for process in of_home(forge.home):
            process.kill()
    sys.stdout.write(json.dumps(told) + "\n")


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4_096)


def until(seconds: float, look: Callable[[], object]) -> bool:
    """Wait for something; return whether it came, where an answer that cannot be had yet is a no."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if look():
                return True
        time.sleep(0.5)
    return False


def succeeded(forge: Forge, run_id: str) -> bool:
    """Wait for a run to end and return whether all went well."""
    with dg.DagsterInstance.from_config(str(forge.home / "dagster")) as instance:
        for _ in range(240):
            run = instance.get_run_by_id(run_id)
            if run is not None and run.is_finished:
                return run.is_success
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
