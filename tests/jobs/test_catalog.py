"""The catalogue: every row says what it is for, can be called, and calls what the night calls."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from forge_workers.catalog import WORKERS, Worker, resolve
from forge_workers.errors import ConfigError
from forge_workers.jobs.queue import prefix_of
from forge_workers.jobs.results import Results
from forge_workers.store import NightStore
from tests.jobs.keeping import JOB, ROOT, kept, order_for

ROWS = list(WORKERS.values())
#: The asset that does by night what the row does by day.
BY_NIGHT = {
    "security_review": "security_review",
    "code_review": "code_review",
    "pr_digest": "pr_digest",
    "evolution_monitor": "evolution_report",
    "gpu_warmup": "gpu_readiness",
    "health_check": "health_snapshot",
    "amygdala": "threat_assessment",
    "morning_briefing": "morning_briefing",
}


def problems(row: Worker) -> list[str]:
    """Return what is wrong with a row, one line each."""
    found = []
    if not re.fullmatch(r"[a-z][a-z_]{0,39}", row.name):
        found.append(f"{row.name!r} is no name for a key, a log and a label")
    if not re.fullmatch(r"[A-Z][^\n]{10,150}\.", row.purpose):
        found.append(f"{row.name}: the purpose is no sentence")
    found += [f"{row.name}: {name} has no help" for name, arg in row.args.items() if not arg.help.strip()]
    for path in (row.function, *row.upstream.values(), *([row.watch] if row.watch else [])):
        try:
            function = resolve(path)
        except (ConfigError, ValueError) as error:
            found.append(f"{row.name}: {error}")
            continue
        given: tuple[Any, ...] = (None,) if path == row.watch or row.inline else (None, None)
        try:
            inspect.signature(function).bind(*given)
        except TypeError as error:
            found.append(f"{row.name}: {path} cannot be called: {error}")
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_can_be_called_and_says_what_it_is_for(row: Worker) -> None:
    """A function that takes a request and tools, a purpose for people, and help for each argument."""
    assert problems(row) == []


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"function": "tests.jobs.toys:not_there"}, "toy: tests.jobs.toys:not_there cannot be loaded"),
        ({"function": ""}, "toy:  cannot be loaded"),
        ({"function": "tests.jobs.toys:hello"}, None),
        ({"function": "tests.jobs.keeping:alone"}, "toy: tests.jobs.keeping:alone cannot be loaded"),
        ({"function": "tests.jobs.keeping:order_of_row", "inline": True}, "toy: tests.jobs.keeping:order_of"),
        ({"purpose": "plays"}, "toy: the purpose is no sentence"),
        ({"name": "To y"}, "'To y' is no name"),
        ({"upstream": {"x": "tests.jobs.toys:gone"}}, "toy: tests.jobs.toys:gone cannot be loaded"),
        ({"watch": "tests.jobs.toys:hello"}, "toy: tests.jobs.toys:hello cannot be called: missing a required"),
    ],
)
def test_a_row_that_cannot_work_is_named_in_one_line(facts: dict[str, Any], problem: str | None) -> None:
    """The control: each way to write a wrong row is caught, and a right one is not."""
    row = Worker(**{"name": "toy", "purpose": "Plays with toys.", "function": "tests.jobs.toys:hello", **facts})

    found = problems(row)

    assert found == [] if problem is None else found[0].startswith(problem) and "\n" not in found[0]


def test_names_are_their_own_and_queue_and_log_derive_from_them() -> None:
    """No two rows share a name, and the mapping is by name."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(WORKERS[row.name] is row for row in ROWS)


@pytest.mark.slow
def test_another_worker_needs_one_function_and_one_line(tmp_path: Path) -> None:
    """The row alone gives the order, the queue's key and the place of the result; its function does the rest."""
    row = Worker("toy", "Plays with toys.", "tests.jobs.toys:hello")

    ended = kept(order_for(tmp_path, row.function, worker=row.name, n=1))

    assert problems(row) == []
    assert prefix_of(row.name) == "forge:{toy}"
    assert ended.done["headline"] == "Hello."
    assert Results(tmp_path).jobs(row.name) == (JOB,)


class _Handed(Exception):
    """Ends an asset's body with the function that it handed to its frame."""


class _Heard:
    """Stands for the frame around a step and says which function the asset gave it."""

    store: Any = None
    failures: Any = None
    alone = True

    def run(self, context: Any, desk: Any, **upstream: Any) -> Any:
        """Go no further."""
        raise _Handed(desk)


#: As much of Dagster's context as a face looks at before it hands its function over: a night that nobody else runs.
_CONTEXT = SimpleNamespace(
    partition_key="2026-03-02",
    run=SimpleNamespace(job_name="night", run_id=JOB),
    instance=SimpleNamespace(get_runs=lambda *_, **__: []),
)


@pytest.mark.slow
@pytest.mark.parametrize(("worker", "asset"), BY_NIGHT.items())
def test_a_row_calls_the_very_function_its_asset_calls(worker: str, asset: str, tmp_path: Path) -> None:
    """One function, two faces: the same object by night and by day."""
    from forge_assets.definitions import defs  # noqa: PLC0415  takes seconds, which only this test needs

    frame = _Heard()
    frame.store = NightStore(tmp_path)
    body = defs.resolve_asset_graph().get(_key(asset)).assets_def.op.compute_fn.decorated_fn
    upstream = dict.fromkeys(set(inspect.signature(body).parameters) - {"context", "steps"})

    with pytest.raises(_Handed) as heard:
        list(body(_CONTEXT, frame, **upstream))
    (desk,) = heard.value.args

    if isinstance(desk, partial):  # the briefing is handed the night's steps; its row gathers the same ones
        assert resolve(WORKERS[worker].function).__globals__[asset] is desk.func
    else:
        assert resolve(WORKERS[worker].function) is desk
        assert set(WORKERS[worker].upstream) == set(upstream)


def _key(asset: str) -> Any:
    import dagster as dg  # noqa: PLC0415

    return dg.AssetKey(asset)


@pytest.mark.slow
def test_what_an_idle_daemon_loads_is_light() -> None:
    """The catalogue and the light looks bring nothing heavy with them."""
    script = """
import sys
from forge_workers.catalog import WORKERS, resolve
for row in WORKERS.values():
    if row.watch:
        resolve(row.watch)
    if row.inline:
        resolve(row.function)
print(sorted({"pydantic", "redis", "pandas", "rich", "typer", "dagster", "slack_sdk", "psutil"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
