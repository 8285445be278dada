"""Forge's own Redis under the fleet's supervisor: ``python -m forge_workers.fleet.redis``.

The process waits until no server runs on this home's data, then becomes the server, so that being supervised costs no
memory. Belongs here: that wait. Does not belong here: the engine's command line (``redis_engine.py``), or starting a
server that nobody minds (``redis_server.py``).
"""

from __future__ import annotations

import fcntl
import os
import sys

from forge_workers.address import home_of, socket_path
from forge_workers.errors import ForgeError
from forge_workers.private import make_private
from forge_workers.redis_engine import become, lock_file


def main() -> int:
    """Become this home's server; return only when that cannot be, with exit code 2."""
    try:
        home = home_of(os.environ)
        socket = socket_path(home)
        make_private(home / "redis")
        make_private(socket.parent)
        with lock_file(home).open("a+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one that somebody else started goes on serving; this one takes over
            become(home, socket, lock)
    except ForgeError as error:
        sys.stderr.write(f"redis.refused why={error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
