"""Kept answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.models.cache import MAX_AGE_S, AnswerCache, Kept, key_of

NOW = 1_790_000_000.0
PARTS = {
    "engine": "ollama",
    "model": "qwen3:8b",
    "digest": "500a",
    "parameters": {"num_ctx": 4096, "seed": 1},
    "schema": None,
    "prompt": "What?",
}


def cache(root: Path, now: float = NOW, max_bytes: int = 1 << 20) -> AnswerCache:
    """Open the cache at a moment."""
    return AnswerCache(root, lambda: now, max_bytes=max_bytes)


def files(root: Path) -> list[Path]:
    """Return all files of the cache."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_an_answer_is_found_again_under_its_key(tmp_path: Path) -> None:
    """Another process finds what one kept."""
    answer = Kept(text="Because.\n\u2028ü", cut=True)
    cache(tmp_path / "c").put(key_of(**PARTS), answer)
    assert cache(tmp_path / "c").get(key_of(**PARTS)) == answer


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_question_changes_its_key(part: str) -> None:
    """Nothing that shapes an answer is left out of its name."""
    assert key_of(**{**PARTS, part: "other"}) != key_of(**PARTS)


def test_the_order_of_parts_does_not_change_the_key() -> None:
    """The JSON is canonical."""
    turned = {**dict(reversed(PARTS.items())), "parameters": {"seed": 1, "num_ctx": 4096}}
    assert key_of(**turned) == key_of(**PARTS)


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "foreign", "directory"])
def test_a_damaged_file_is_as_good_as_absent_and_is_replaced(tmp_path: Path, damage: str) -> None:
    """No damage is ever served as an answer, nor does it stop the next one."""
    key, other = key_of(**PARTS), key_of(other=1)
    cache(tmp_path).put(key, Kept(text="A long enough answer to be damaged."))
    cache(tmp_path).put(other, Kept(text="An answer to something else."))
    path = next(p for p in files(tmp_path) if p.name == key)
    content = path.read_bytes()
    if damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        foreign = next(p for p in files(tmp_path) if p.name == other).read_bytes()
        flipped = content.replace(b"long", b"lonG")
        path.write_bytes({"empty": b"", "half": content[:40], "flipped": flipped, "foreign": foreign}[damage])
    assert cache(tmp_path).get(key) is None
    cache(tmp_path).put(key, Kept(text="Again."))
    expected = None if damage == "directory" else Kept(text="Again.")
    assert cache(tmp_path).get(key) == expected


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """Control for the checksum: JSON alone would take many of these for an answer."""
    key = key_of(**PARTS)
    cache(tmp_path).put(key, Kept(text="Yes, it is."))
    (path,) = files(tmp_path)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        served = cache(tmp_path).get(key)
        assert served is None or served == Kept(text="Yes, it is.")


def test_an_answer_ages_out_unless_it_is_used(tmp_path: Path) -> None:
    """What a look back over 28 nights uses stays; what nobody asks for again goes."""
    used, unused = key_of(a=1), key_of(a=2)
    for key in (used, unused):
        cache(tmp_path).put(key, Kept(text="x"))
    assert cache(tmp_path, NOW + MAX_AGE_S - 60).get(used) is not None
    later = NOW + MAX_AGE_S + 60
    assert cache(tmp_path, later).get(used) is not None
    assert cache(tmp_path, later).get(unused) is None
    cache(tmp_path, later).put(key_of(a=3), Kept(text="y"))
    assert len(files(tmp_path)) == 2


def test_the_longest_unused_answers_go_when_there_are_too_many(tmp_path: Path) -> None:
    """The size is bounded, and the newest stay."""
    for n in range(30):
        cache(tmp_path, NOW + n, max_bytes=5_000).put(key_of(n=n), Kept(text="z" * 500))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 5_000
    assert cache(tmp_path, NOW + 30).get(key_of(n=29)) is not None
    assert cache(tmp_path, NOW + 30).get(key_of(n=0)) is None


def test_a_disk_that_refuses_costs_no_answer(tmp_path: Path) -> None:
    """Keeping is a favour: when it fails, the step goes on and nothing half-written stays."""
    (tmp_path / "c").write_text("a file where the directory should be", encoding="utf-8")
    cache(tmp_path / "c").put(key_of(**PARTS), Kept(text="x"))
    assert cache(tmp_path / "c").get(key_of(**PARTS)) is None


def test_answers_are_for_their_owner_only(tmp_path: Path) -> None:
    """An answer may speak of private code."""
    cache(tmp_path / "c").put(key_of(**PARTS), Kept(text="x"))
    (path,) = files(tmp_path / "c")
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path.stat().st_mode & 0o077 == 0
