"""Reading logs: the end, and what follows, over rotation."""

from __future__ import annotations

import threading
from pathlib import Path

from forge_workers.fleet.logs import follow, last


def test_the_last_lines_are_shown_as_one_line_each(tmp_path: Path) -> None:
    """Control characters of a log never reach the terminal; a line that is not finished is shown too."""
    log = tmp_path / "w.log"
    log.write_bytes(b"one\ntwo \x1b[31mred\x1b[0m\x07\nbad \xff\nhalf")

    assert last(log, 3) == ["two red", "bad �", "half"]
    assert last(tmp_path / "none.log", 3) == []


def test_a_large_log_is_not_read_whole(tmp_path: Path) -> None:
    """The last line of a gigabyte comes at once; a sparse file stands in for it."""
    log = tmp_path / "w.log"
    with log.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b"\nthe end\n")

    assert last(log, 1) == ["the end"]


def test_following_goes_on_over_rotation(tmp_path: Path) -> None:
    """What is added, before and after the file is put aside or cut short, arrives once each and in order."""
    log = tmp_path / "w.log"
    log.write_text("one\ntwo\nthree\n")
    lines = follow(log, 2, look_s=0.001)

    assert [next(lines) for _ in range(2)] == ["two", "three"]
    with log.open("a") as file:
        file.write("four\nfi")
        file.flush()
        assert next(lines) == "four"
        file.write("ve\nsix\n")
    log.rename(tmp_path / "w.log.1")
    log.write_text("seven\n")
    assert [next(lines) for _ in range(3)] == ["five", "six", "seven"]
    log.write_text("8\n")
    assert next(lines) == "8"


def test_a_log_that_comes_later_is_followed_from_its_start(tmp_path: Path) -> None:
    """A worker that has logged nothing yet can be followed."""
    log = tmp_path / "w.log"
    lines = follow(log, 2, look_s=0.001)
    timer = threading.Timer(0.05, log.write_text, ["first\n"])
    timer.start()

    assert next(lines) == "first"
    timer.join()
