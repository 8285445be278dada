"""Dagster's web pages and daemon on loopback: ``python -m forge_assets.ui 3000``; ``forge ui`` starts it.

Belongs here: starting them on a prepared instance. Does not belong here: what they show.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from forge_assets.instance import prepare
from forge_assets.nights import SETTINGS


def main() -> NoReturn:
    """Replace this process by ``dagster dev``, or say in one line why not."""
    port = int(sys.argv[1])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(_taken(port, error.strerror))
    prepare(SETTINGS)
    sys.stderr.write(f"In about ten seconds: http://127.0.0.1:{port}/asset-groups (Ctrl-C ends it)\n")
    command = [sys.executable, "-P", "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(sys.executable, [*command, "-m", "forge_assets.definitions"])  # noqa: S606  no shell is wanted


def _taken(port: int, why: str | None) -> int:
    sys.stderr.write(f"forge: port {port} cannot be used ({why}): try forge ui --port {port + 1}\n")
    return 2


if __name__ == "__main__":
    main()
