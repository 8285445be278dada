"""How many there are, in words."""

from __future__ import annotations

import pytest

from forge_workers.plural import count


@pytest.mark.parametrize(
    ("number", "many", "said"),
    [
        (0, None, "0 commits"),
        (1, None, "1 commit"),
        (1_400, None, "1,400 commits"),
        (1, "repositories", "1 commit"),
        (2, "repositories", "2 repositories"),
    ],
)
def test_one_is_one_and_all_else_is_many(number: int, many: str | None, said: str) -> None:
    """None takes the plural too, thousands are parted, and an odd plural is written as given."""
    assert count(number, "commit", many) == said
