"""What became of a job, as it is kept, told to Dagster and told to Slack; and what a person asks of Dagster.

Belongs here: those values and which outcomes are told. Does not belong here: deciding an outcome (``retry.py``),
or how a notice looks (``forge_workers/notices``).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from forge_workers.catalog import Worker
from forge_workers.jobs.job import Job, new_job
from forge_workers.plain import plain

#: Most characters of a traceback that are kept: its end, where the reason stands.
MOST_TRACEBACK = 16_000


def record(job: Job, *, now: float, seconds: float, summary: Mapping[str, Any]) -> str:
    """Return what is kept of a job that was done: id, when, how long, and the report's summary."""
    return json.dumps({"id": job.id, "at": now, "seconds": round(seconds, 6), "attempt": job.attempt, **summary})


def letter(raw: bytes, job_id: str, *, now: float, reason: str, traceback: str) -> str:
    """Return the dead letter of a job: id, when, why, and the job's own bytes to requeue it from."""
    try:
        job = {"job": raw.decode()}
    except UnicodeDecodeError:
        job = {"job_base64": base64.b64encode(raw).decode()}
    kept = {"id": job_id, "at": now, "reason": reason, "traceback": traceback[-MOST_TRACEBACK:], **job}
    return json.dumps(kept)


def raw_of(found: Mapping[str, Any]) -> bytes:
    """Return the bytes of the job in a dead letter that was read as JSON."""
    if "job_base64" in found:
        return base64.b64decode(found["job_base64"])
    return str(found["job"]).encode()


def told(job: Job, *, kind: str, now: float, summary: Mapping[str, Any]) -> str:
    """Return the event for Dagster.

    Fields: ``id`` of the job, ``worker``, ``kind`` (``done`` or ``buried``), ``at`` (UTC unix seconds), ``by``, and the
    report's summary: ``asset``, ``night``, ``outcome``, ``headline``, ``findings``, ``new``, ``numbers``, ``level``.
    """
    return json.dumps({"id": job.id, "worker": job.worker, "kind": kind, "at": now, "by": job.by, **summary})


def asked(ask_id: str, *, night: str, asset: str | None, by: str, now: float) -> str:
    """Return the event for Dagster that asks it to run a night again.

    Fields: ``id`` of the ask, ``worker``, ``kind`` (``asked``), ``at`` (UTC unix seconds), ``by``, ``night``, and
    ``asset`` when only that step is meant.
    """
    told = {"id": ask_id, "worker": "slack_gateway", "kind": "asked", "at": now, "by": by, "night": night}
    return json.dumps(told if asset is None else {**told, "asset": asset})


def notice_of_done(notifier: Worker, job: Job, summary: Mapping[str, Any], *, now: float) -> bytes:
    """Return the job for ``slack_notifier`` that tells of a done job; empty when nobody waits for it.

    Told is what a person asked for, and what found something urgent. The notifier's own jobs never are.
    """
    urgent = int(summary.get("urgent") or 0) > 0 or summary.get("level") == "RED"
    if job.worker == notifier.name or not (urgent or job.by == "person"):
        return b""
    title = f"{job.worker}: {summary.get('headline') or 'done'}"
    detail, red = "; ".join(summary.get("reasons") or ()), summary.get("level") == "RED"
    same = f"{job.worker} RED" if red else title  # its figures differ each time, and it is one trouble
    return _notice(notifier, job, "done", title, detail, reason=same, urgent=urgent, now=now)


def notice_of_buried(notifier: Worker, job: Job, reason: str, *, now: float) -> bytes:
    """Return the job for ``slack_notifier`` that tells of a buried job; empty for the notifier's own."""
    if job.worker == notifier.name:
        return b""
    detail = f"forge jobs show {job.id[:8]} tells more, forge jobs requeue {job.id[:8]} tries it again"
    title = f"{job.worker} gave up a job: {reason}"
    return _notice(notifier, job, "buried", title, detail, reason=title, urgent=False, now=now)


def _notice(
    notifier: Worker, job: Job, kind: str, title: str, detail: str, *, reason: str, urgent: bool, now: float
) -> bytes:
    """Return a notice's job, named after the job it tells of and when, so that each outcome is told once."""
    args = {
        "kind": kind,
        "title": plain(title, 300),
        "worker": job.worker,
        "detail": plain(detail, 1_000),
        "reason": plain(reason, 100),
        "urgent": urgent,
    }
    name = hashlib.sha1(f"{job.id} {kind} {now!r}".encode(), usedforsecurity=False).hexdigest()[:32]
    return new_job(notifier, args, now=now, by=job.worker, job_id=name).raw
