"""A private, real PostgreSQL: Debian's, started in a folder of the test's own on a loopback port.

The server refuses to run as root; as root, everything here is done as the user ``postgres``, who comes with the
package.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD, DATABASE = "forge", "s3cret/pass word", "dagster"


def _programs() -> Path | None:
    """Return the folder of the newest installed server, None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PrivatePostgres:
    """One server, with a user and a database for Forge."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._programs = programs
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._folder = folder
        secret = folder / "password"
        secret.write_text(PASSWORD)
        _own(folder, secret)
        words = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C"]
        self._do("initdb", "-D", str(self._data), *words)
        self.start()

    @property
    def url(self) -> str:
        """The address as a person writes it in ``dagster.postgres_url``."""
        return self.url_with()

    def url_with(self, *, password: str = PASSWORD, database: str = DATABASE, port: int | None = None) -> str:
        """Return the address with parts of it changed."""
        quoted = password.replace("/", "%2F").replace(" ", "%20")
        return f"postgresql://{USER}:{quoted}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it and return when it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._do("pg_ctl", "-D", str(self._data), "-l", str(self._log), "-w", "-o", options, "start")
        environ = {"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        made = [self._programs / "psql", *where, "-d", "postgres", "-Atc", f"create database {DATABASE}"]
        subprocess.run(made, env=environ, check=False, capture_output=True)  # it is there after the first start

    def stop(self) -> None:
        """End it as a crash would, and return when it is gone."""
        self._do("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def pause(self) -> None:
        """Stop every process of it where it stands."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused server go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def ask(self, query: str) -> str:
        """Return what a query answers, as text."""
        command = [self._programs / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", DATABASE]
        environ = {"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        done = subprocess.run([*command, "-Atc", query], env=environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def end(self) -> None:
        """Stop it, whatever state it is in."""
        if (self._data / "postmaster.pid").exists():
            self.go_on()
            command = self._command("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
            subprocess.run(command, check=False, capture_output=True, cwd=self._folder)

    def _pids(self) -> list[int]:
        import psutil  # noqa: PLC0415  only paused servers need it

        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        return [server.pid, *(child.pid for child in server.children(recursive=True))]

    def _do(self, program: str, *words: str) -> None:
        done = subprocess.run(
            self._command(program, *words),
            cwd=self._folder,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def _command(self, program: str, *words: str) -> list[str]:
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [*as_postgres, str(self._programs / program), *words]


def _own(*paths: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)
            path.chmod(0o700)


@contextmanager
def start_postgres() -> Iterator[PrivatePostgres]:
    """Run a private server and stop it at the end; without one installed, skip, or fail where CI promises one."""
    programs = _programs()
    if programs is None:
        why = "no PostgreSQL is installed: apt install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="forge-postgres-"))  # pytest's own folders let nobody else in
    server = None
    try:
        server = PrivatePostgres(folder, programs)
        yield server
    finally:
        if server is not None:
            server.end()
        shutil.rmtree(folder, ignore_errors=True)
