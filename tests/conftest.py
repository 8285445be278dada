"""Fixtures that every test may ask for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.redis import PrivateRedis, start_redis

# A shell that runs the tests in the background ignores these, every child inherits that, and what a test starts could
# then not be stopped.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _ignored in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_ignored, signal.SIG_DFL)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """A real Redis of the test's own, empty, gone afterwards."""
    with start_redis(tmp_path / "forge") as server:
        yield server
