"""Fixtures of the tests of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slack_gateway.scenes import Desk, desk


@pytest.fixture
def at_desk(tmp_path: Path) -> Iterator[Desk]:
    """A gateway at noon, without a Redis."""
    with desk(tmp_path) as running:
        yield running
