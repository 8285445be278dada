"""Dagster's three processes beside the workers: ``python -m forge_assets.services dagster_daemon``.

``forge up`` runs them under its supervisor, ``forge ui`` in the foreground. There is one of each per home: another
waits until the first is gone, and each leaves when who started it is gone. The code server listens on a private Unix
socket, since two can share a port unseen. Belongs here: starting one, in the right order and with the right signals.
Does not belong here: who runs them (``forge_workers.fleet``, ``ui.py``).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from forge_workers import files
from forge_workers import settings as chosen
from forge_workers.address import short_socket
from forge_workers.errors import BadArgs, ForgeError, Transient
from forge_workers.fleet.place import Place
from forge_workers.fleet.services import answers
from forge_workers.fleet.supervisord import Supervisord
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.private import make_private
from forge_workers.settings import Settings

_log = logging.getLogger(__name__)
CODE_SERVER, DAEMON, WEBSERVER = NAMES = ("dagster_code_server", "dagster_daemon", "dagster_webserver")
#: The code location's name, as every address of a page and every cursor of a sensor has it.
LOCATION = "forge_assets.definitions"
#: Longest wait in seconds for the code server: without it the others start and show that it is missing.
_CODE_SERVER_S = 60.0
_LOOK_S = 0.1
#: Seconds between two looks whether who started this process is still there, as a worker's heartbeat looks.
_PARENT_S = 2.0


def main(words: list[str]) -> int:
    """Run the service named by the first word until it is told to stop; the second may be a port for the pages."""
    os.umask(0o077)
    for stop in (signal.SIGINT, signal.SIGTERM):  # started in the background, it would ignore both for ever
        signal.signal(stop, signal.default_int_handler)
    _log_to_stderr()
    try:
        _run(words)
    except ForgeError as error:
        sys.stderr.write(f"forge: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"forge: {plain(str(error.filename or 'a file'))} cannot be used: {error.strerror or error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _log_to_stderr() -> None:
    """Write what Forge's own modules log; Dagster writes its own, and would write it twice with a root logger."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("forge_assets", "forge_workers", __name__):
        logging.getLogger(name).addHandler(handler)
    logging.getLogger("stevedore").setLevel(logging.CRITICAL)  # bandit's plugins that are not installed are no errors


def code_socket(home: Path) -> Path:
    """Return where this home's code server listens."""
    return short_socket(home / "fleet", "dagster.sock")


def workspace_of(home: Path) -> Path:
    """Write the file that tells daemon and pages where the code server is, and return its path."""
    path = home / "dagster" / "workspace.yaml"
    socket = str(code_socket(home)).replace("'", "''")
    files.replace(path, f"load_from:\n  - grpc_server:\n      socket: '{socket}'\n      location_name: {LOCATION}\n")
    return path


def _run(words: list[str]) -> None:
    runs: Mapping[str, Callable[[Settings, Place, int], None]] = {
        CODE_SERVER: _code_server,
        DAEMON: _daemon,
        WEBSERVER: _webserver,
    }
    name, *port = words or [""]
    if name not in runs:
        raise BadArgs(f"there is no service {name!r:.60}: choose one of {', '.join(NAMES)}")
    settings = chosen.load()
    place, parent = Place(settings.home, name), os.getppid()
    if "SUPERVISOR_ENABLED" in chosen.environment() and Supervisord(settings.home).pid != parent:
        raise Transient("its supervisor is gone already")  # killed while this process began
    _leave_with(parent)
    place.take()
    from forge_assets.instance import prepare  # noqa: PLC0415  Dagster: 65 MB that one who waits does not need

    prepare(settings)
    runs[name](settings, place, int(port[0]) if port else settings.dagster.port)


def _code_server(settings: Settings, place: Place, _: int) -> None:
    from dagster._cli.api import grpc_command  # noqa: PLC0415  each service loads its own part

    socket = code_socket(settings.home)
    make_private(socket.parent)
    socket.unlink(missing_ok=True)  # the place is taken, so nobody listens there
    address = f"unix:{socket}"
    threading.Thread(target=_tell_when_it_answers, args=(place, address), daemon=True).start()
    threading.excepthook = _leave_when_idle
    # Never look for modules where `forge up` was typed: that may be somebody's repository.
    words = ["--socket", str(socket), "-m", LOCATION, "--empty-working-directory"]
    grpc_command.main([*words, "--log-level", "warning"], standalone_mode=False)


def _leave_when_idle(lost: threading.ExceptHookArgs) -> None:
    """End the code server once its runs have, so that a new one takes its place: a thread of it was lost.

    Dagster's thread that sees after runs ends when the database cannot be written for a moment. Without it a code
    server never learns that a run is over, and when told to stop waits for it for ever.
    """
    event(_log, "code_server.thread_lost", logging.ERROR, thread=lost.thread and lost.thread.name, why=lost.exc_value)
    while multiprocessing.active_children():
        time.sleep(_LOOK_S)
    os._exit(1)


def _daemon(settings: Settings, place: Place, _: int) -> None:
    from dagster._daemon.cli import run_command  # noqa: PLC0415  each service loads its own part

    workspace = workspace_of(settings.home)
    _await(f"unix:{code_socket(settings.home)}")
    threading.Thread(target=_tell_when_it_beats, args=(place, time.time()), daemon=True).start()
    run_command.main(["-w", str(workspace)], standalone_mode=False)


def _webserver(settings: Settings, place: Place, port: int) -> None:
    import dagster as dg  # noqa: PLC0415  each service loads its own part

    from forge_assets import webserver  # noqa: PLC0415

    listening = webserver.listen(port)
    workspace = workspace_of(settings.home)
    _await(f"unix:{code_socket(settings.home)}")
    if settings.dagster.postgres_url is not None:
        from forge_assets import postgres  # noqa: PLC0415  not needed with SQLite

        postgres.be_brief()
    with dg.DagsterInstance.get() as instance:
        webserver.serve(instance, workspace, listening, lambda: place.tell(f"127.0.0.1:{port}"))


def _await(address: str) -> bool:
    """Wait until something answers at ``address``; return whether it does."""
    deadline = time.monotonic() + _CODE_SERVER_S
    while not answers(address):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _tell_when_it_answers(place: Place, address: str) -> None:
    if _await(address):
        place.tell(address)


def _tell_when_it_beats(place: Place, began: float) -> None:
    """Say that the daemon works once it has said so in the database, whose last word may be a former daemon's."""
    import dagster as dg  # noqa: PLC0415  the daemon has it

    with dg.DagsterInstance.get() as instance:
        while not any(beat.timestamp >= began for beat in instance.get_daemon_heartbeats().values()):
            time.sleep(_LOOK_S)
    place.tell()


def _leave_with(parent: int) -> None:
    """Stop this process, as SIGTERM does, soon after ``parent`` is gone."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_S)
        event(_log, "service.orphaned", logging.WARNING, parent=parent)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
