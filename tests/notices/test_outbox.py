"""The outbox keeps each notice once, on disk, in order and within its bounds."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from forge_workers.notices.letter import Sent
from forge_workers.notices.notice import Notice
from forge_workers.notices.outbox import DROPPED_AT_ONCE, MOST, Outbox
from forge_workers.notices.rules import Decision, Post, Update, decide
from tests.notices.conftest import Killer
from tests.notices.scenes import NOON, notice, put


def pending(home: Path) -> tuple[Notice, ...]:
    """Return what waits, in order."""
    seen: list[Notice] = []

    def look(waiting: Sequence[Notice], _: Sequence[Sent]) -> Decision:
        seen.extend(waiting)
        return None

    Outbox(home).begin(look, NOON)
    return tuple(seen)


def start(home: Path, now: float = NOON) -> Decision:
    """Begin the next message."""
    return Outbox(home).begin(lambda waiting, sent: decide(waiting, sent, now, None), now)


def test_what_was_accepted_waits_in_its_order(tmp_path: Path) -> None:
    """A later process finds every notice as it was, oldest first."""
    notices = [notice(f"n{n}", urgent=n == 3, link="https://github.com/x/y") for n in range(12)]
    put(tmp_path, *notices)

    assert pending(tmp_path) == tuple(notices)
    assert Outbox(tmp_path).waiting() == 12


def test_the_same_id_is_one_notice_before_while_and_after_it_is_sent(tmp_path: Path) -> None:
    """A job that comes again brings nothing new, even when its notice is in Slack."""
    put(tmp_path, notice("a"))
    outbox = Outbox(tmp_path)
    assert not outbox.accept(notice("a", title="other words"))
    start(tmp_path)
    assert not outbox.accept(notice("a"))
    outbox.settle("1.0", NOON)

    assert not outbox.accept(notice("a"))
    assert outbox.waiting() == 0


def test_notices_accepted_at_the_same_time_are_all_kept_once(tmp_path: Path) -> None:
    """Several at once wait for each other; each id is taken once."""
    taken: list[bool] = []

    def accept() -> None:
        taken.extend(Outbox(tmp_path).accept(notice(f"n{n}")) for n in range(10))

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(one.id for one in pending(tmp_path)) == sorted(f"n{n}" for n in range(10))
    assert sum(taken) == 10


def test_what_is_cancelled_waits_again(tmp_path: Path) -> None:
    """A message that Slack never got is decided anew."""
    put(tmp_path, notice("a"), notice("b"))
    start(tmp_path)
    Outbox(tmp_path).cancel()

    assert [one.id for one in pending(tmp_path)] == ["a", "b"]
    assert Outbox(tmp_path).state().under_way is None


def test_what_is_settled_is_gone_and_remembered_for_an_hour(tmp_path: Path) -> None:
    """Repeats find the message for as long as they may collapse into it."""
    outbox = Outbox(tmp_path)
    put(tmp_path, notice("a", "k"))
    start(tmp_path)
    outbox.settle("1.0", NOON)
    put(tmp_path, notice("b", "k"))
    assert isinstance(start(tmp_path, NOON + 5), Update)
    outbox.settle("1.0", NOON + 5)
    (sent,) = outbox.state().sent
    assert (sent.ts, sent.id, sent.letter.count, sent.posted_at) == ("1.0", "a", 2, NOON)
    put(tmp_path, notice("c"))
    start(tmp_path, NOON + 3_700)
    outbox.settle("2.0", NOON + 3_700)

    assert [one.ts for one in outbox.state().sent] == ["2.0"]


@pytest.mark.slow
def test_a_full_outbox_merges_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    """Nothing is dropped silently, urgent ones last, and the disk stays bounded."""
    put(tmp_path, *(notice(f"n{n}", at=NOON + n, urgent=n % 2 == 0) for n in range(MOST + 3)))
    waiting = pending(tmp_path)
    files = [path for path in (tmp_path / "spool" / "notices").iterdir() if path.name[0].isdigit()]

    assert len(files) <= MOST
    assert waiting[0].title == f"{DROPPED_AT_ONCE} older notices were dropped"
    assert sum(one.count for one in waiting) == Outbox(tmp_path).waiting() == MOST + 3
    assert [one.id for one in waiting[1:4]] == ["n0", "n2", "n4"]
    assert not Outbox(tmp_path).accept(notice("n1"))


@pytest.mark.slow
def test_an_outbox_full_of_urgent_ones_is_bounded_too(tmp_path: Path) -> None:
    """Where all are urgent, the oldest are merged, and what tells of them is urgent."""
    put(tmp_path, *(notice(f"n{n}", urgent=True) for n in range(MOST + 1)))
    waiting = pending(tmp_path)

    assert waiting[0].urgent
    assert waiting[0].count == DROPPED_AT_ONCE
    assert sum(one.count for one in waiting) == MOST + 1


@pytest.mark.slow
def test_what_is_under_way_is_neither_dropped_nor_counted_again(tmp_path: Path) -> None:
    """While a notice, and then what tells of the dropped ones, is being sent, more are dropped: the sum stays right."""
    outbox = Outbox(tmp_path)
    put(tmp_path, *(notice(f"n{n}") for n in range(MOST)))
    first = start(tmp_path)
    put(tmp_path, notice("m"))
    outbox.settle("1.0", NOON)
    second = start(tmp_path, NOON + 2)
    put(tmp_path, *(notice(f"m{n}") for n in range(DROPPED_AT_ONCE + 5)))
    outbox.settle("2.0", NOON + 2)

    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert [(one.id, one.count) for one in first.notices] == [("n0", 1)]
    assert [one.count for one in second.notices] == [DROPPED_AT_ONCE]
    assert pending(tmp_path)[0].count == DROPPED_AT_ONCE
    assert sum(one.letter.count for one in outbox.state().sent) + outbox.waiting() == MOST + DROPPED_AT_ONCE + 6


@pytest.mark.slow
def test_a_process_killed_while_it_makes_room_loses_no_count(tmp_path: Path, killer: Killer) -> None:
    """Wherever it dies, a repeat of the job leaves every notice either waiting or counted as dropped."""
    first = tmp_path / "first"
    put(first, *(notice(f"n{n}") for n in range(MOST)))
    for step in range(1, 200, 7):
        home = tmp_path / "home"
        shutil.copytree(first, home)
        killer.start("accept", home, "http://127.0.0.1:9", step)
        killed = killer.ended()
        Outbox(home).accept(notice("job"))
        waiting = pending(home)
        assert sum(one.count for one in waiting) == MOST + 1, step
        assert waiting[-1].id == "job"
        shutil.rmtree(home)
        if not killed:
            break
    assert not killed


def test_a_damaged_file_is_put_aside_and_holds_nothing_back(tmp_path: Path) -> None:
    """What cannot be read is kept for a person; the others go on."""
    put(tmp_path, notice("a"), notice("b"))
    folder = tmp_path / "spool" / "notices"
    next(iter(sorted(folder.glob("0*.json")))).write_text("{half")
    (folder / "state.json").write_text("[]")

    assert [one.id for one in pending(tmp_path)] == ["b"]
    assert len(list(folder.glob("*.damaged"))) == 2


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    """What Forge did not write is neither read nor removed."""
    put(tmp_path, notice("a"))
    stray = tmp_path / "spool" / "notices" / "notes.json"
    stray.write_text("mine")

    assert [one.id for one in pending(tmp_path)] == ["a"]
    assert stray.read_text() == "mine"


def test_only_the_owner_may_read_what_waits(tmp_path: Path) -> None:
    """Notices tell of the machine."""
    put(tmp_path, notice("a"))
    start(tmp_path)
    files = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]

    assert {path.stat().st_mode & 0o077 for path in [*files, tmp_path / "spool" / "notices"]} == {0}
