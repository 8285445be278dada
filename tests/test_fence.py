"""The fence: an older GPU lease than the store has seen writes nothing, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forge_workers.errors import Damaged, LeaseLost
from forge_workers.fence import Fence


def admitted(fence: Fence, term: int, device: str = "local:0") -> bool:
    """Whether a write in the name of ``term`` is let in."""
    try:
        with fence.admit(device, term):
            return True
    except LeaseLost:
        return False


def test_a_lower_term_is_refused_for_ever(tmp_path: Path) -> None:
    """Equal and higher terms are let in; lower ones never again, in a new process either; each device counts alone."""
    fence = Fence(tmp_path / "store" / "fence.json")
    assert [admitted(fence, term) for term in (3, 3, 5, 4, 5, 1)] == [True, True, True, False, True, False]
    assert not admitted(Fence(tmp_path / "store" / "fence.json"), 4)
    assert admitted(fence, 1, device="mac:1")
    with (
        pytest.raises(LeaseLost, match=r"written under term 4 of GPU local:0, but .*store has seen 5"),
        fence.admit("local:0", 4),
    ):
        pass


def test_a_write_that_fails_still_counts(tmp_path: Path) -> None:
    """A term that was admitted and then failed to write still shuts out the older ones."""
    fence = Fence(tmp_path / "fence.json")
    with pytest.raises(OSError, match="full"), fence.admit("local:0", 2):
        raise OSError("disk full")
    assert not admitted(fence, 1)


@pytest.mark.parametrize("text", ["", "[]", '{"local:0": "7"}', '{"local:0": true}', "{"])
def test_a_broken_fence_lets_nobody_in(tmp_path: Path, text: str) -> None:
    """What cannot be read may have held any number: nothing is written, and the file is named."""
    (tmp_path / "fence.json").write_text(text)
    with pytest.raises(Damaged, match=r"fence\.json is no fence"):
        admitted(Fence(tmp_path / "fence.json"), 9)


def test_between_the_check_and_the_write_nobody_else_comes_in(tmp_path: Path) -> None:
    """A newer term waits until an older one that was let in has written, so it is never overwritten by it.

    The control checks and then writes without staying inside: the older write lands last.
    """
    for stays in (True, False):
        written: list[int] = []
        fence, inside, go_on = Fence(tmp_path / str(stays) / "fence.json"), threading.Event(), threading.Event()

        def slow(fence: Fence = fence, *, stays: bool = stays, inside=inside, go_on=go_on, written=written) -> None:
            with fence.admit("local:0", 1):
                inside.set()
                if stays:
                    go_on.wait(5)
                    written.append(1)
            if not stays:
                inside.set()
                go_on.wait(5)
                written.append(1)

        def quick(fence: Fence = fence, written=written) -> None:
            with fence.admit("local:0", 2):
                written.append(2)

        older, newer = threading.Thread(target=slow), threading.Thread(target=quick)
        older.start()
        inside.wait(5)
        newer.start()
        newer.join(0.1)
        go_on.set()
        older.join()
        newer.join()
        assert written == ([1, 2] if stays else [2, 1])


@pytest.mark.slow
def test_a_writer_that_is_killed_inside_blocks_nobody(tmp_path: Path) -> None:
    """The lock goes with its process; what it admitted is kept."""
    source = (
        "import sys, time, pathlib; from forge_workers.fence import Fence\n"
        "with Fence(pathlib.Path(sys.argv[1])).admit('local:0', 7):\n"
        "    print('inside', flush=True); time.sleep(600)"
    )
    path = tmp_path / "fence.json"
    writer = subprocess.Popen([sys.executable, "-c", source, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    started = time.monotonic()
    assert not admitted(Fence(path), 6)
    assert admitted(Fence(path), 7)
    assert time.monotonic() - started < 1
