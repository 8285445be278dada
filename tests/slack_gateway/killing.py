"""A process whose forks take one press each and are killed by SIGKILL at a chosen step.

Run as ``python -m tests.slack_gateway.killing``. It reads lines ``<home> <url> <redis> <payload file> <step>`` and
forks for each; the fork counts what it does to files, the ledger and sockets by Python's own audit events, and dies
before the one of that number. ``0`` is never. The acknowledgement is a file beside the payload. It answers with the
fork's wait status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from forge_workers.slack_gateway.gateway import Gateway
from forge_workers.wire import Wire
from tests.slack_gateway.scenes import HERE, NOON, chosen, wait_for

#: What can be seen of a step.
STEPS = frozenset({"open", "os.rename", "os.mkdir", "fcntl.flock", "sqlite3.connect", "socket.connect",
                   "http.client.send"})  # fmt: skip


class Acks:
    """Notes that Slack got the acknowledgement."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send_socket_mode_response(self, response: SocketModeResponse) -> None:
        """Note it; a kill may come before or after."""
        self._path.write_text(json.dumps(response.to_dict()))


def gateway_of(home: Path, url: str, redis: str) -> Gateway:
    """Return a gateway at noon."""
    return Gateway(chosen(home, url, redis_url=SecretStr(redis)), HERE, Wire(redis), clock=lambda: NOON)


def take(gateway: Gateway, payload: Path) -> None:
    """Hand the press over and let it come to its end."""
    request = SocketModeRequest("interactive", "e-1", json.loads(payload.read_text()), accepts_response_payload=True)
    gateway.hear(Acks(payload.with_suffix(".ack")), request)
    wait_for(lambda: not gateway.busy)


def _die_at(step: int) -> None:
    seen = 0
    lock = threading.Lock()

    def hook(name: str, facts: tuple[Any, ...]) -> None:
        nonlocal seen
        if name in STEPS and not (name == "open" and facts[2] & os.O_ACCMODE == os.O_RDONLY):
            with lock:
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    """Fork once for each line until there are no more."""
    for line in sys.stdin:
        home, url, redis, payload, step = line.split()
        child = os.fork()
        if child == 0:
            _die_at(int(step))
            take(gateway_of(Path(home), url, redis), Path(payload))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
