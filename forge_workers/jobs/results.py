"""What jobs returned, by worker and job: the whole report, which the night's store never sees.

Layout below ``$FORGE_HOME``: ``results/<worker>/<job id>.json``, the newest 200 of each worker, and ``fence.json``
beside them, the highest term of a GPU lease that wrote there. A job that is done twice writes the same name twice, each
time whole. Belongs here: those files. Does not belong here: the reports of
nights (``store.py``), which a job by day must not replace.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

from pydantic import ValidationError

from forge_workers import files
from forge_workers.errors import BadArgs, Damaged
from forge_workers.fence import Fence
from forge_workers.report import Report

#: Reports kept of each worker; as many as outcomes are kept in Redis.
MOST_KEPT = 200
_ID = re.compile(r"[0-9a-f]{32}")


class Results:
    """The results in one home.

    Args:
        home: ``FORGE_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self._root = home / "results"

    def path(self, worker: str, job_id: str) -> Path:
        """Return where the result of a job is, or would be.

        Raises:
            BadArgs: The worker's or the job's name is none.
        """
        if not worker.isidentifier():
            raise BadArgs(f"{worker!r:.60} is no worker's name")
        if not _ID.fullmatch(job_id):
            raise BadArgs(f"{job_id!r:.60} is no job's id: it has 32 hexadecimal digits")
        return self._root / worker / f"{job_id}.json"

    def save(
        self, worker: str, job_id: str, report: Report, *, device: str | None = None, term: int | None = None
    ) -> Path:
        """Keep what a job returned, and let the oldest go.

        Args:
            worker: Whose job it was.
            job_id: The job's id.
            report: What it returned.
            device: The device that was leased for it, None without a lease.
            term: Of that lease.

        Raises:
            LeaseLost: This worker has written under a later lease; what is there is untouched.
            OSError: The disk is full or refuses; what was there is untouched.
        """
        path = self.path(worker, job_id)
        fence = Fence(path.with_name("fence.json"))
        with nullcontext() if device is None or term is None else fence.admit(device, term):
            files.replace(path, report.model_dump_json(indent=1))
        for old in self._newest(worker)[MOST_KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def load(self, worker: str, job_id: str) -> Report | None:
        """Return what a job returned, or None when it is not kept.

        Raises:
            Damaged: The file holds no report.
        """
        path = self.path(worker, job_id)
        try:
            return Report.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise Damaged(f"{path} holds no report: enqueue the job again") from None

    def jobs(self, worker: str) -> tuple[str, ...]:
        """Return the ids of the jobs whose results are kept, newest first."""
        return tuple(path.stem for path in self._newest(worker))

    def _newest(self, worker: str) -> list[Path]:
        dated: list[tuple[int, Path]] = []
        for path in (self._root / worker).glob("*.json"):
            try:
                dated.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:  # another process of this worker let it go
                continue
        return [path for _, path in sorted(dated, reverse=True) if _ID.fullmatch(path.stem)]
