"""What the queue needs of a Redis server.

Belongs here: the oldest version that will do, checked where a daemon or a command begins. Does not belong here: finding
or starting a server (``redis_server.py``).
"""

from __future__ import annotations

import re

from forge_workers.errors import ConfigError
from forge_workers.wire import Wire

#: Source: redis.io/commands: LMOVE and ZRANGE BYSCORE came with 6.2, LPOS with 6.0.6, BLMOVE with fractions with 6.0;
#: before 7.0 a script's writes are not replicated by effect. Valkey says 7.2 of itself here.
OLDEST = (7, 0)


def check(wire: Wire) -> None:
    """Refuse a server that is too old.

    Raises:
        ConfigError: It is; the message names both versions.
        wire.Unanswered: It does not answer.
    """
    said = re.search(rb"redis_version:((\d+)\.(\d+)[\w.]*)", wire.call("INFO", "server"))
    if said is None or (int(said[2]), int(said[3])) < OLDEST:
        found = said[1].decode() if said else "of an unknown version"
        needed = ".".join(map(str, OLDEST))
        raise ConfigError(f"redis_url: the server is {found}, Forge needs {needed}: update it or unset FORGE_REDIS_URL")
