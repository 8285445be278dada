"""A row whose function is missing is found before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from forge_workers.catalog import WORKERS, Worker
from forge_workers.errors import ConfigError
from forge_workers.fleet import rows


def row(function: str, **facts: object) -> Worker:
    """Return a row that names ``function``."""
    return Worker("toy", "Plays.", function, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (row("forge_workers.nowhere:run"), "there is no module forge_workers.nowhere"),
        (row("forge_workers.nowhere.deeper:run"), "there is no module forge_workers.nowhere.deeper"),
        (row("forge_workers.code.review:nothing"), "forge_workers.code.review has no nothing"),
        (row("forge_workers.code.review:"), "forge_workers.code.review has no "),
        (row("forge_workers.code.review:code_review", watch="json:nothing"), "json has no nothing"),
        (row("forge_workers.code.review:code_review", upstream={"a": "json.x:y"}), "there is no module json.x"),
        (row("no module at all"), "there is no module"),
    ],
)
def test_what_is_missing_is_named_with_its_row(wrong: Worker, said: str) -> None:
    """The function, what it watches with, and what it builds on: each must be there."""
    with pytest.raises(ConfigError) as caught:
        rows.check([wrong])

    assert str(caught.value).startswith(f"worker toy: {said}")
    assert str(caught.value).endswith("correct its row in forge_workers/catalog.py")


def test_what_is_there_is_accepted_however_it_is_bound() -> None:
    """A function, a class, a value, and what another module is asked for are all there."""
    for function in ("json:loads", "json:JSONDecoder", "forge_workers.catalog:WORKERS", "logging.handlers:logging"):
        rows.check([row(function)])


@pytest.mark.slow
def test_nothing_heavy_is_loaded_for_it() -> None:
    """Looking at every row loads none of the modules it names."""
    code = (
        "import sys\nfrom forge_workers import catalog\nfrom forge_workers.fleet import rows\n"
        "rows.check(catalog.WORKERS.values())\n"
        "print([row.function for row in catalog.WORKERS.values() if row.function.partition(':')[0] in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert done.stderr == ""
    assert done.stdout == "[]\n"
    assert len(WORKERS) == 12
