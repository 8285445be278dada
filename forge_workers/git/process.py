"""One git process: started, read piece by piece, limited in time, size and memory, and never left behind.

Belongs here: the process and its limits. Does not belong here: its environment (``hardening.py``), or what is asked of
git (``repository.py``).
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO

from forge_workers.git.hardening import GitFailed, Place, executable
from forge_workers.plain import plain

#: Most bytes that one answer held in memory may have.
ANSWER_BYTES = 64 * 1024 * 1024
#: Most private memory of one git process, in bytes, where the system can limit it: a tree that names itself ten times
#: over, ten levels deep, would otherwise fill the machine.
_MEMORY_BYTES = 4 * 1024**3
#: Seconds between the end of git's answer and the end of its process.
_GRACE_S = 10.0
#: Bytes read at once.
_CHUNK_BYTES = 1 << 16


def answer(
    place: Place,
    args: Sequence[str | bytes],
    *,
    stdin: bytes | None = None,
    timeout_s: float = 120,
    most_bytes: int = ANSWER_BYTES,
    cut: bool = False,
) -> bytes:
    """Run one git command and return what it wrote.

    Args:
        place: Where.
        args: The subcommand and its arguments, as they are; no shell reads them.
        stdin: What git reads.
        timeout_s: Seconds after which git is killed.
        most_bytes: Size of the answer that is still taken.
        cut: Return the first ``most_bytes`` of a longer answer instead of refusing it.

    Raises:
        GitFailed: Git is missing, refused, took too long, or wrote too much.
    """
    with contextlib.ExitStack() as stack:
        source: IO[bytes] | int = subprocess.DEVNULL
        if stdin is not None:
            source = stack.enter_context(tempfile.TemporaryFile())
            source.write(stdin)
            source.seek(0)
        with started(place, args, stdin=source, timeout_s=timeout_s) as running:
            written = running.out.read(most_bytes + 1)
            if len(written) <= most_bytes:
                return written
            running.stop()
    if cut:
        return written[:most_bytes]
    raise GitFailed(f"{_name(args)} answered more than {most_bytes // 2**20} MB")


class Running:
    """One git process whose answer is being read.

    Attributes:
        out: Its standard output.
    """

    def __init__(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        if process.stdout is None:
            raise GitFailed
        self.out: IO[bytes] = process.stdout
        self.expired = False
        self.stopped = False
        self._process = process
        self._watchdog = threading.Timer(timeout_s, self._expire)
        self._watchdog.daemon = True
        self._watchdog.start()

    def ask(self, line: bytes) -> None:
        """Write one line to git's standard input, which must be a pipe.

        Raises:
            GitFailed: Git is gone.
        """
        if self._process.stdin is None:
            raise GitFailed
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GitFailed("git ended before it was asked everything") from None

    def tokens(self, most_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the output between NUL bytes, each piece cut after ``most_bytes``, in bounded memory."""
        held = b""
        while chunk := self.out.read(_CHUNK_BYTES):
            first, *rest = chunk.split(b"\0")
            held = (held + first)[:most_bytes]
            for piece in rest:
                yield held
                held = piece[:most_bytes]
        if held:
            yield held

    def stop(self) -> None:
        """Kill git and all it started; what it said until then is not held against it."""
        self.stopped = True
        self._kill()

    def close(self) -> int:
        """Wait for the end and return git's exit status."""
        for pipe in (self._process.stdin, self.out):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            return self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._process.wait()
        finally:
            self._watchdog.cancel()

    def _expire(self) -> None:
        self.expired = True
        self._kill()

    def _kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def started(
    place: Place, args: Sequence[str | bytes], *, stdin: IO[bytes] | int = subprocess.DEVNULL, timeout_s: float
) -> Iterator[Running]:
    """Start git for a caller that reads the answer piece by piece; it never outlives the ``with`` block.

    Raises:
        GitFailed: Git is missing, refused, or took too long; raised at the end of the block.
    """
    with tempfile.TemporaryFile() as complaints:
        running = Running(_spawn(place, args, stdin, complaints), timeout_s)
        try:
            yield running
        except BaseException:
            running.stop()
            running.close()
            if running.expired:
                raise GitFailed(f"{_name(args)} took longer than {timeout_s:g} s") from None
            raise
        status = running.close()
        if running.expired:
            raise GitFailed(f"{_name(args)} took longer than {timeout_s:g} s")
        if status and not running.stopped:
            raise GitFailed(f"{_name(args)} failed: {_complaint(complaints, status)}")


def _spawn(
    place: Place, args: Sequence[str | bytes], stdin: IO[bytes] | int, stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            [executable(), *args],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=place.directory,
            env=place.environment(),
            process_group=0,
        )
    except (OSError, ValueError) as error:
        raise GitFailed(f"git cannot be started: {getattr(error, 'strerror', None) or error}") from None
    if sys.platform == "linux":
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    return process


def _name(args: Sequence[str | bytes]) -> str:
    return f"git {args[0] if args and isinstance(args[0], str) else ''}".strip()


def _complaint(stderr: IO[bytes], status: int) -> str:
    """Return the last thing git complained of; its words may quote the repository, so they are made plain."""
    stderr.seek(0)
    lines = [line for line in stderr.read(_CHUNK_BYTES).decode("utf-8", "replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return plain((fatal or lines or [f"exit status {status}"])[-1])
