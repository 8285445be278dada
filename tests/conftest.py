"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.redis import PrivateRedis, start_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """A real Redis of the test's own, empty, gone afterwards."""
    with start_redis(tmp_path / "forge") as server:
        yield server
