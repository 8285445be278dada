"""A keeper of one job's process, as small as it comes: order in, lines of JSON out, life line held."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from forge_workers.catalog import WORKERS

ROOT = Path(__file__).parents[2]
JOB = "0123456789abcdef" * 2


def order_for(home: Path, function: str, *, worker: str = "toy", **facts: Any) -> dict[str, Any]:
    """Return an order for ``function``; what is no field of it is an argument of the job."""
    fields = {"upstream": {}, "gpu": False, "term": None, "device": None}
    chosen = {name: facts.pop(name) for name in list(facts) if name in fields}
    queued_at = facts.pop("queued_at", time.time())
    job = {"id": facts.pop("job_id", JOB), "args": facts, "attempt": 1, "queued_at": queued_at, "by": "person"}
    return {"function": function, "worker": worker, "asset": None, "job": job, "home": str(home), **fields, **chosen}


def order_of_row(home: Path, worker: str, **args: Any) -> dict[str, Any]:
    """Return the order that the row of ``worker`` makes of a job with ``args``."""
    row = WORKERS[worker]
    leased = {"gpu": True, "term": 7, "device": "local:0"} if row.gpu else {}
    return order_for(home, row.function, worker=worker, upstream=dict(row.upstream), **leased, **args)


@dataclass
class Ended:
    """What was seen of a process that ended.

    Attributes:
        lines: What it told, in order.
        code: Its exit code.
        output: What it wrote to its outputs.
    """

    lines: list[dict[str, Any]]
    code: int
    output: bytes = field(repr=False)

    @property
    def outcome(self) -> dict[str, Any]:
        """The last thing it told, which must be the only outcome."""
        assert [line for line in self.lines if "progress" not in line] == self.lines[-1:], (self.lines, self.output)
        return self.lines[-1]

    @property
    def done(self) -> dict[str, Any]:
        """The summary of a job that was done."""
        assert "done" in self.outcome, self.outcome
        summary: dict[str, Any] = self.outcome["done"]
        return summary

    @property
    def raised(self) -> dict[str, Any]:
        """What a job raised."""
        assert "raised" in self.outcome, self.outcome
        error: dict[str, Any] = self.outcome["raised"]
        return error


class Kept:
    """One process, from ``with`` to the end of it; its group never outlives the block."""

    def __init__(self, order: Mapping[str, Any] | bytes, **environ: str) -> None:
        results, tells = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forge_workers.jobs.child", str(tells)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(tells,),
            start_new_session=True,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "FORGE_TIMEZONE": "UTC", **environ},
        )
        os.close(tells)
        self._results = results
        assert self.process.stdin is not None
        self.life_line = self.process.stdin
        self.life_line.write(order if isinstance(order, bytes) else json.dumps(order).encode() + b"\n")
        self.life_line.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.life_line, self.process.stdout):
            if pipe is not None:
                pipe.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._results)

    def end(self, timeout_s: float = 60.0) -> Ended:
        """Read until the process ends, or until the time is over, which is an error."""
        assert self.process.stdout is not None
        told: dict[int, bytearray] = {self._results: bytearray(), self.process.stdout.fileno(): bytearray()}
        left, deadline = list(told), time.monotonic() + timeout_s
        while self.process.poll() is None or select.select(left, [], [], 0)[0]:
            for file in select.select(left, [], [], 0.05)[0]:
                data = os.read(file, 1 << 20)
                told[file] += data
                if not data:
                    left.remove(file)
            assert time.monotonic() < deadline, f"it did not end: {bytes(told[self._results])!r}"
        lines = [json.loads(line) for line in bytes(told[self._results]).splitlines()]
        return Ended(lines, self.process.returncode, bytes(told[self.process.stdout.fileno()]))


def kept(order: Mapping[str, Any] | bytes, **environ: str) -> Ended:
    """Have a process do ``order`` and return what was seen of it."""
    with Kept(order, **environ) as process:
        return process.end()
