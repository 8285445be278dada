"""A store that has been in use for a year: real reports of every step, in the files the store itself writes.

The nights are those of ``tests.briefing.examples``, moved to their day, with numbers that wander: most are whole, some
without a model, on some a step failed, and now and then the machine was off. Files are written as ``NightStore`` does
but without its waits for the disk, which take ten milliseconds each; a test reads them back through ``NightStore``.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from forge_workers.attempt import Attempt
from forge_workers.briefing.compose import compose
from forge_workers.night import BRIEFING, STEPS, Step
from forge_workers.report import Outcome, Receipt, Report
from forge_workers.store import Manifest, NightStore
from forge_workers.windows import Window, window
from tests.briefing import examples
from tests.briefing.parts import BEGAN, DAY, ZONE

#: The newest night unless another is asked for.
LAST = "2026-11-23"
#: One attempt made all of them.
ATTEMPT = "0123456789ab"
#: Of a hundred nights: how many the machine was off, one step failed, and there was no model.
OFF, FAILED, NO_MODEL = 3, 6, 15


def many_nights(root: Path, count: int, seed: int = 1, *, last: str = LAST) -> tuple[str, ...]:
    """Fill a store with ``count`` nights, some of which are missing or failed, and return their keys, oldest first.

    Args:
        root: The directory ``nights``.
        count: Nights up to and with ``last``; on some of them nothing was done.
        seed: The same seed makes the same nights, byte by byte.
        last: The newest night.
    """
    chance = random.Random(seed)
    empty = _empty_table()
    newest = date.fromisoformat(last)
    keys = tuple((newest - timedelta(days=n)).isoformat() for n in reversed(range(count)))
    earlier: dict[str, Report] = {}
    for key in keys:
        lot = chance.uniform(0, 100)
        if lot < OFF:
            continue
        steps = tuple(_steps(key, lot, chance))
        for step in steps:
            _keep(root, key, step, empty)
        _keep(root, key, Step(asset=BRIEFING, report=_briefing(key, steps, earlier)), empty)
        earlier = {step.asset: step.report for step in steps if step.report}
        note = Attempt(name=ATTEMPT, settings="0" * 16, started_at=_began(key), pid=1, finished=True)
        (root / key / "attempt.json").write_text(note.model_dump_json(indent=1))
    return keys


def _began(night: str) -> float:
    return window(night, ZONE).end_at + (BEGAN - DAY.end_at)


def _steps(night: str, lot: float, chance: random.Random) -> Iterator[Step]:
    """Yield every step of one night as its lot says."""
    busy = lot < OFF + FAILED + NO_MODEL or chance.random() < 0.6
    given = {step.asset: step for step in (examples.busy() if busy else examples.calm())}
    if lot >= OFF + FAILED + NO_MODEL:  # a model was there
        given |= {s.asset: s for s in examples.calm() if s.asset in {"gpu_readiness", "code_review"}}
    broken = chance.choice(tuple(STEPS)) if lot < OFF + FAILED else None
    lost: set[str] = set()
    for asset, needs in STEPS.items():
        report = given[asset].report
        assert report is not None
        assert report.receipt is not None
        if asset == broken:
            reasons = ("the disk is full: /home/mara/.forge/nights",)
            failed = report.receipt.model_copy(update={"outcome": Outcome.FAILED, "reasons": reasons})
            lost.add(asset)
            yield Step(asset=asset, failure=Receipt.model_validate(_moved(failed.model_dump(mode="json"), night)))
        elif lost & set(needs):
            lost.add(asset)
            yield Step(asset=asset, missing="a step before it failed")
        else:
            wandered = {name: round(value * chance.uniform(0.7, 1.3), 2) for name, value in report.numbers.items()}
            moved = _moved(report.model_dump(mode="json"), night)
            yield Step(asset=asset, report=Report.model_validate(moved | {"numbers": wandered}))


def _moved(value: Any, night: str) -> Any:
    """Move every moment of the example to ``night``, and its key with them."""
    by = _began(night) - BEGAN
    if isinstance(value, dict):
        return {
            name: night
            if name == "night"
            else inner + by
            if name.endswith("_at") and isinstance(inner, float)
            else _moved(inner, night)
            for name, inner in value.items()
        }
    return [_moved(inner, night) for inner in value] if isinstance(value, list) else value


def _briefing(night: str, steps: tuple[Step, ...], earlier: dict[str, Report]) -> Report:
    day: Window = window(night, ZONE)
    now = _began(night) + 540.0
    told = compose(steps, night=night, window=day, timezone=ZONE, earlier=earlier, now=now)
    receipt = Receipt(asset=BRIEFING, night=night, outcome=Outcome.RAN, started_at=now, seconds=0.4)
    return Report(
        asset=BRIEFING,
        night=night,
        headline=f"{told.verdict.level}: {told.verdict.sentence}",
        numbers={"needs_you": float(len(told.needs_you)), "new_findings": float(len(told.findings))},
        data=told.model_dump(mode="json"),
        receipt=receipt,
    )


def _keep(root: Path, night: str, step: Step, table: bytes) -> None:
    folder = root / night / step.asset
    if step.failure is not None:
        folder.mkdir(parents=True)
        kept = f'{{"attempt": "{ATTEMPT}", "receipt": {step.failure.model_dump_json()}}}'
        (folder / "failure.json").write_text(kept)
    if step.report is None:
        return
    generation = hashlib.sha256(f"{night} {step.asset}".encode()).hexdigest()[:12]
    content = {
        "report.json": step.report.model_dump_json(indent=1).encode(),
        "report.md": step.report.markdown.encode(),
        "findings.parquet": table,
    }
    (folder / generation).mkdir(parents=True)
    for name, data in content.items():
        (folder / generation / name).write_bytes(data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    manifest = Manifest(generation=generation, attempt=ATTEMPT, files=digests)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1))


def _empty_table() -> bytes:
    """Return the table of a report without findings, as the store itself writes it."""
    with tempfile.TemporaryDirectory() as beside:
        written = NightStore(Path(beside)).save(Report(asset="commit_log", night=LAST, headline="nothing"))
        return (written / "findings.parquet").read_bytes()
