"""Files: the old text or the new one, never half of either, and nobody else's to read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_workers import files


def in_place(path: Path, text: str) -> None:
    """Write as a careless program would: the control."""
    path.write_text(text)


def whole_for_who_reads_the_old(replace: Callable[[Path, str], None], folder: Path) -> bool:
    """Whether a reader that opened the file before it was replaced still reads all of the old text."""
    path, opened = folder / "note", folder / "opened"
    path.write_text("old")
    os.link(path, opened)
    replace(path, "new")
    return (opened.read_text(), path.read_text()) == ("old", "new")


def test_a_file_is_replaced_in_one_act(tmp_path: Path) -> None:
    """Whoever is reading the old text reads it to its end. Control: writing in place changes it under them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert whole_for_who_reads_the_old(files.replace, tmp_path / "a")
    assert not whole_for_who_reads_the_old(in_place, tmp_path / "b")


def test_file_and_directory_are_their_owners_alone(tmp_path: Path) -> None:
    """What Forge keeps may speak of private code, so the modes do not wait for the umask."""
    before = os.umask(0)
    try:
        files.replace(tmp_path / "made" / "note", "x")
    finally:
        os.umask(before)

    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "made" / "note").stat().st_mode & 0o777 == 0o600


def test_a_refusal_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    """A rename that fails takes its temporary file away again."""
    (tmp_path / "note").mkdir()

    with pytest.raises(IsADirectoryError):
        files.replace(tmp_path / "note", "new")

    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_text_that_utf_8_cannot_write_is_still_written(tmp_path: Path) -> None:
    """Half a surrogate pair in somebody's title does not stop a briefing."""
    files.replace(tmp_path / "note", "a\ud800b")

    assert (tmp_path / "note").read_bytes() == b"a?b"


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    """Writing anew refuses a name that is taken."""
    files.write(tmp_path / "note", b"old")

    with pytest.raises(FileExistsError):
        files.write(tmp_path / "note", b"new")

    assert (tmp_path / "note").read_bytes() == b"old"
