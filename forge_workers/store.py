"""The store of nights: one report per (asset, night), whole or not at all.

Layout below ``$FORGE_HOME/nights``::

    <night>/<asset>/manifest.json           names the generation and the SHA-256 of each of its files
    <night>/<asset>/<generation>/report.json
                                 findings.parquet
                                 report.md
                                 <name>.light.svg, <name>.dark.svg
    <night>/<asset>/failure.json            the receipt of a step that failed after that
    <night>/<asset>/fence.json              the highest term of a GPU lease that wrote there, with its lock beside it

A generation is written beside under a temporary name, synced, renamed, and only then named by the manifest, which is
itself replaced in one rename. So a reader sees the old report or the new one, never half of either. Belongs here:
bytes on disk and their integrity. Does not belong here: Dagster, which reaches this store through
``forge_assets/resources/store.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_workers import files
from forge_workers.errors import BadArgs, Damaged
from forge_workers.fence import Fence
from forge_workers.report import Receipt, Report
from forge_workers.windows import check_night, is_night

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

#: Seconds after which a generation that is still being written belongs to nobody: writing one takes milliseconds.
_WRITING_S = 3_600.0
_MANIFEST = "manifest.json"
_FAILURE = "failure.json"
_REPORT = "report.json"
_FINDINGS = "findings.parquet"
_FENCE = "fence.json"
#: The device that the steps of a night lease.
_DEVICE = "local:0"
#: Columns of ``findings.parquet``; the first evidence stands for all, the JSON keeps every one.
_COLUMNS = (
    "fingerprint",
    "rule",
    "severity",
    "title",
    "is_new",
    "repository",
    "commit",
    "path",
    "line",
    "observed_at",
)


class Manifest(BaseModel):
    """Names the current generation of a report and the digest of each of its files.

    Attributes:
        generation: Name of the directory that holds the files.
        attempt: The attempt at the night that wrote it.
        files: SHA-256 in hexadecimal of each file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generation: str
    attempt: str
    files: dict[str, str]


class NightStore:
    """Reports by asset and night.

    Args:
        root: The directory ``nights``; made when the first report is saved.
        attempt: Name of the attempt at the night that this process works on; empty takes the newest of any attempt.
    """

    def __init__(self, root: Path, attempt: str = "") -> None:
        self.root = root
        self.attempt = attempt

    def folder(self, asset: str, night: str) -> Path:
        """Return where the report of ``asset`` for ``night`` lives.

        Raises:
            BadArgs: The night is no day, or the asset's name is no plain name.
        """
        if not asset.isidentifier():
            raise BadArgs(f"{asset!r:.60} is no asset's name")
        return self.root / check_night(night) / asset

    def save(self, report: Report) -> Path:
        """Keep ``report``, replacing the one before it for the same asset and night.

        Returns:
            The directory of the new generation.

        Raises:
            OSError: The disk is full or refuses; the report before it is untouched.
            LeaseLost: A report made under a later GPU lease is there already; it is untouched.
        """
        folder = self.folder(report.asset, report.night)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        generation = uuid.uuid4().hex[:12]
        beside, final = folder / f".{generation}", folder / generation
        try:
            beside.mkdir(mode=0o700)
            _write_files(report, beside)
            digests = {f.name: _digest(f) for f in sorted(beside.iterdir())}
            files.sync(beside)
            beside.rename(final)
            with _admitted(folder, report.receipt):
                (folder / _FAILURE).unlink(missing_ok=True)  # first: killed between, the step is done again
                manifest = Manifest(generation=generation, attempt=self.attempt, files=digests)
                files.replace(folder / _MANIFEST, manifest.model_dump_json(indent=1))
                _sweep(folder, keep=generation)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(final, ignore_errors=True)
            raise
        return final

    def save_failure(self, receipt: Receipt) -> None:
        """Keep the receipt of a step that failed; an older good report of the night stays as it is.

        Raises:
            OSError: The disk is full or refuses.
            LeaseLost: A report made under a later GPU lease is there already; it is untouched.
        """
        folder = self.folder(receipt.asset, receipt.night)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = {"attempt": self.attempt, "receipt": receipt.model_dump(mode="json")}
        with _admitted(folder, receipt):
            files.replace(folder / _FAILURE, json.dumps(kept, indent=1))

    def load(self, asset: str, night: str) -> Report | None:
        """Return the report of ``asset`` for ``night``, or None when there is none.

        Raises:
            Damaged: A file does not match the manifest; the message names the file.
        """
        return self._read(asset, night, _report)

    def attempt_of(self, asset: str, night: str) -> str | None:
        """Return the attempt that wrote the present report, or None when there is none."""
        manifest = self._manifest(self.folder(asset, night))
        return None if manifest is None else manifest.attempt

    def generation(self, asset: str, night: str) -> str | None:
        """Return the name of the present report's generation, another after every save; None when there is none."""
        manifest = self._manifest(self.folder(asset, night))
        return None if manifest is None else manifest.generation

    def failure(self, asset: str, night: str) -> Receipt | None:
        """Return the receipt of this attempt's failure of ``asset``, or None; without an attempt, of the newest."""
        try:
            kept = json.loads((self.folder(asset, night) / _FAILURE).read_bytes())
            receipt, attempt = Receipt.model_validate(kept["receipt"]), kept["attempt"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return receipt if self.attempt in {"", attempt} else None

    def findings(self, asset: str, night: str) -> pd.DataFrame:
        """Return the findings of ``asset`` for ``night`` as a table, empty when there is no report.

        Raises:
            Damaged: A file does not match the manifest; the message names the file.
        """
        import pandas as pd  # noqa: PLC0415  half a second, and few who open the store read tables

        table = self._read(asset, night, lambda here: pd.read_parquet(here / _FINDINGS))
        return pd.DataFrame(columns=list(_COLUMNS)) if table is None else table

    def assets(self) -> tuple[str, ...]:
        """Return the assets that have a report of any night, in alphabetical order."""
        return tuple(sorted({manifest.parent.name for manifest in self.root.glob(f"*/*/{_MANIFEST}")}))

    def all_nights(self) -> tuple[str, ...]:
        """Return every night that was ever begun, newest first."""
        folders = self.root.iterdir() if self.root.is_dir() else ()
        return tuple(sorted((d.name for d in folders if d.is_dir() and is_night(d.name)), reverse=True))

    def nights(self, asset: str, *, before: str | None = None) -> tuple[str, ...]:
        """Return the nights that have a report of ``asset``, newest first, only those before ``before`` if given."""
        if not self.root.is_dir():
            return ()
        days = (d.name for d in self.root.iterdir() if (d / asset / _MANIFEST).is_file())
        return tuple(sorted((d for d in days if before is None or d < before), reverse=True))

    def fingerprints(self, asset: str, *, before: str) -> frozenset[str]:
        """Return the fingerprints of every finding of ``asset`` in the nights before ``before``.

        Damaged nights are passed over: what only they knew is told once more, which is better than no night ever again.
        """
        seen: set[str] = set()
        for night in self.nights(asset, before=before):
            with contextlib.suppress(Damaged, OSError, ValueError):
                seen.update(self.findings(asset, night)["fingerprint"])
        return frozenset(seen)

    def reports(self, asset: str, *, before: str, limit: int) -> Iterator[Report]:
        """Yield up to ``limit`` earlier reports of ``asset``, newest first; damaged ones are passed over."""
        for night in self.nights(asset, before=before)[:limit]:
            with contextlib.suppress(Damaged):
                report = self.load(asset, night)
                if report is not None:
                    yield report

    def _read(self, asset: str, night: str, read: Callable[[Path], T]) -> T | None:
        """Return what ``read`` makes of the present generation once its files are checked, or None without one."""
        folder = self.folder(asset, night)
        manifest = self._manifest(folder)
        while manifest is not None:
            try:
                _check(folder / manifest.generation, manifest, night)
                return read(folder / manifest.generation)
            except (Damaged, FileNotFoundError) as error:
                newer = self._manifest(folder)
                if newer == manifest:
                    raise Damaged(str(error)) from None
                manifest = newer  # a newer report replaced this one, and swept it away, while it was read
        return None

    def _manifest(self, folder: Path) -> Manifest | None:
        try:
            return Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise Damaged(f"{folder / _MANIFEST} is no manifest: run that night again") from None


def _sweep(folder: Path, keep: str) -> None:
    """Remove other generations; what another process is still writing only when it must have died over it."""
    for entry in folder.iterdir():
        being_written = entry.name.startswith(".") and time.time() - entry.stat().st_mtime < _WRITING_S
        if entry.is_dir() and entry.name != keep and not being_written:
            shutil.rmtree(entry, ignore_errors=True)


def _admitted(folder: Path, receipt: Receipt | None) -> AbstractContextManager[None]:
    """Let one writer in, unless it worked under the GPU lease and a later lease has written there.

    Each report has a fence of its own: two steps of one night may hold one lease after the other and store what they
    made in any order.
    """
    return Fence(folder / _FENCE).admit(_DEVICE, receipt.term if receipt is not None else None)


def _check(here: Path, manifest: Manifest, night: str) -> None:
    for name in {*manifest.files, _REPORT, _FINDINGS}:
        if not (here / name).is_file() or _digest(here / name) != manifest.files.get(name):
            raise Damaged(f"{here / name} does not match its manifest: run the night {night} again")


def _report(here: Path) -> Report:
    try:
        return Report.model_validate_json((here / _REPORT).read_bytes())
    except ValidationError as error:
        raise Damaged(f"{here / _REPORT} is no report: {error.errors()[0]['msg']}") from None


def _write_files(report: Report, folder: Path) -> None:
    files.write(folder / _REPORT, report.model_dump_json(indent=1).encode())
    files.write(folder / "report.md", report.markdown.encode("utf-8", "replace"))
    for image in report.images:
        files.write(folder / f"{image.name}.light.svg", image.light_svg.encode())
        files.write(folder / f"{image.name}.dark.svg", image.dark_svg.encode())
    import pandas as pd  # noqa: PLC0415  half a second, and few who open the store write to it

    rows = [_row(finding.model_dump(mode="json")) for finding in report.findings]
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"line": "Int64"})
    table.to_parquet(folder / _FINDINGS, index=False)
    files.sync(folder / _FINDINGS)


def _row(finding: dict[str, object]) -> dict[str, object]:
    evidence = finding["evidence"]
    first = evidence[0] if isinstance(evidence, list) else {}
    return {name: finding.get(name, first.get(name)) for name in _COLUMNS}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
