"""The process behind the service ``slack_gateway``: ``python -m forge_workers.slack_gateway``.

It needs ``slack.token``, ``slack.app_token`` and ``slack.channel``; without one of them it says so in one line and ends
with 0, so let a supervisor start it only when all are set. It needs no Redis to start: while Redis is away, answers say
so. SIGTERM ends it within seconds, and its standard error is its log. Belongs here: signals and exit codes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import NoReturn

from forge_workers import settings as chosen
from forge_workers.errors import ForgeError
from forge_workers.log import event
from forge_workers.slack_gateway import service

_LOG = logging.getLogger(__name__)
_USAGE = 2


def main() -> int:
    """Run until SIGTERM or SIGINT; return 0, or 2 for wrong settings or a second gateway."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("slack_sdk").setLevel(logging.WARNING)  # below that it writes whole payloads
    stop = service.Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = chosen.load()
        missing = service.lacking(settings)
        if missing:
            event(_LOG, "slack.off", why=f"{missing} not set")
            return 0
        service.serve(settings, stop)
    except ForgeError as error:
        event(_LOG, "slack.refused", logging.ERROR, why=error)
        return _USAGE
    return 0


def _leave(code: int) -> NoReturn:
    """End now: a thread of slack_sdk that waits for Slack would keep the interpreter for as long as it waits."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
