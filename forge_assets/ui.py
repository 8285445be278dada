"""Dagster's web pages and daemon in the foreground: ``python -m forge_assets.ui 3000``; ``forge ui`` starts it.

Where the fleet's own pages are up, it only says where. Belongs here: starting and ending the three services together.
Does not belong here: what one of them does (``services.py``), or what they show.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from forge_assets import services, webserver
from forge_assets.instance import prepare
from forge_assets.nights import SETTINGS
from forge_workers.errors import ConfigError, ForgeError
from forge_workers.fleet.place import Place
from forge_workers.fleet.services import answers

#: Seconds that the services may take to leave when no run is at work.
_LEAVE_S = 20.0
_LOOK_S = 0.2


def main() -> int:
    """Run the services until one of them ends or Ctrl-C; return an exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background, it would be ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = int(sys.argv[1])
    told = Place(SETTINGS.home, services.WEBSERVER).told()
    if told is not None and answers(told.address):
        sys.stderr.write(f"The pages are up already: http://{told.address}/asset-groups\n")
        return 0
    try:
        webserver.listen(port).close()
        prepare(SETTINGS)
    except ConfigError as error:
        hint = f"try forge ui --port {port + 1}"
        sys.stderr.write(f"forge: {str(error).replace('set dagster.port to another', hint)}\n")
        return 2
    except ForgeError as error:
        sys.stderr.write(f"forge: {error}\n")
        return 2
    sys.stderr.write(f"In about ten seconds: http://127.0.0.1:{port}/asset-groups (Ctrl-C ends it)\n")
    return _run(port)


def _run(port: int) -> int:
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name in services.NAMES:
            command = [sys.executable, "-P", "-m", "forge_assets.services", name]
            command += [str(port)] if name == services.WEBSERVER else []
            environ = {**os.environ, "PYTHONSAFEPATH": "1"}
            started.append(subprocess.Popen(command, env=environ, start_new_session=True))
        while all(process.poll() is None for process in started):
            time.sleep(_LOOK_S)
        return next((process.returncode for process in started if process.returncode), 1)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(started)


def _end(started: list[subprocess.Popen[bytes]]) -> None:
    """Stop the services; what is still at work is finished first, or cut by a second Ctrl-C."""
    try:
        for process in started:
            process.terminate()
        until = time.monotonic() + _LEAVE_S
        while any(process.poll() is None for process in started):
            if time.monotonic() > until:
                sys.stderr.write("Finishing the runs at work; Ctrl-C again cuts them.\n")
                until = float("inf")
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # the runs too: they end as if terminated in the pages
        for process in started:
            process.wait(_LEAVE_S)


if __name__ == "__main__":
    sys.exit(main())
