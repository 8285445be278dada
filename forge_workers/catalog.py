"""Every always-on worker and every service beside them, one frozen row each.

Belongs here: facts about a row that hold on every machine: its name, purpose, function or module, arguments and limits.
Queue, heartbeat, log and label derive from the name. Does not belong here: what a user may choose (``settings.py``) or
any work. To add a worker, write its function and add its row.

Kept free of heavy imports: every daemon and every producer loads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from forge_workers.errors import BadArgs, ConfigError

#: A night's key, as ``windows.check_night`` reads it.
_NIGHT = r"\d{4}-\d{2}-\d{2}"
#: A whole or abbreviated commit id; seven characters are what git shows.
_COMMIT = r"[0-9a-f]{7,64}"


@dataclass(frozen=True)
class Arg:
    """One argument of a job.

    Attributes:
        help: What it is, for ``forge enqueue --help`` and for refusals.
        kind: ``str``, ``int``, ``float`` or ``bool``.
        required: The job makes no sense without it.
        pattern: Of a text: what all of it must match.
        most: Of a text: the most characters.
    """

    help: str
    kind: type = str
    required: bool = False
    pattern: str | None = None
    most: int = 1_000

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with ``value``, or None."""
        wanted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, wanted) or (isinstance(value, bool) and self.kind is not bool):
            return f"must be {_KINDS[self.kind]}"
        if isinstance(value, str):
            if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                return "is no text that can be written as UTF-8"
            if len(value) > self.most:
                return f"has {len(value)} characters, at most {self.most} are taken"
            if self.pattern is not None and not re.fullmatch(self.pattern, value):
                return f"must be {self.help}"
        return None


_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Worker:
    """One row.

    Attributes:
        name: Names the queue, the heartbeat, the log and the label.
        purpose: What it is for, one sentence for people.
        function: ``module:name`` of the desk's function ``(request, tools) -> Report``.
        args: The arguments its jobs take.
        upstream: Reports the desk needs, by asset, with the function that makes each.
        gpu: A job runs only under the GPU lease.
        gpu_wait_s: Longest wait in line for the lease; then the job is snoozed and the wait is told.
        timeout_s: Hard limit of one attempt, seconds.
        max_attempts: Attempts after which a job that failed for a passing reason is buried.
        backoff_s: First delay before another attempt; doubles each time, with full jitter.
        backoff_cap_s: Longest such delay.
        max_deaths: Processes that may die with the same job before it is buried.
        concurrency: Processes of this worker.
        grace_s: Seconds a job may still take after SIGTERM before it is handed back.
        every_s: It gives itself a job this often, None for never.
        watch: ``module:name`` of a light function ``(home) -> iterable of arguments`` that is asked every ``every_s``
            whether there is anything to do; None gives itself a job without asking.
        inline: The function runs in the daemon itself and takes its context; only for light ones that never hang.
    """

    name: str
    purpose: str
    function: str
    args: Mapping[str, Arg] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False
    gpu_wait_s: float = 600.0
    timeout_s: float = 900.0
    max_attempts: int = 4
    backoff_s: float = 15.0
    backoff_cap_s: float = 900.0
    max_deaths: int = 3
    concurrency: int = 1
    grace_s: float = 20.0
    every_s: float | None = None
    watch: str | None = None
    inline: bool = False

    def check(self, args: Mapping[str, Any]) -> None:
        """Accept the arguments of a job.

        Raises:
            BadArgs: One is missing, unknown or of a wrong kind; the message names it and the worker.
        """
        for name in args:
            if name not in self.args:
                takes = f"it takes {', '.join(self.args)}" if self.args else "it takes none"
                raise BadArgs(f"{self.name} knows no argument {str(name)!r:.60}: {takes}")
        for name, arg in self.args.items():
            problem = arg.problem(args[name]) if name in args else ("is missing" if arg.required else None)
            if problem is not None:
                raise BadArgs(f"{self.name}: {name} {problem}")


_REPOSITORY = Arg("the absolute path of a watched repository", pattern=r"/[^\0\n]*")
_CODE = {
    "repository": _REPOSITORY,
    "commit": Arg("a commit's id, at least 7 hexadecimal digits", pattern=_COMMIT),
    "night": Arg("a day as YYYY-MM-DD", pattern=_NIGHT),
}
_DAY = {"night": _CODE["night"]}
_COMMITS = {"commit_log": "forge_workers.code.commits:commit_log"}

_ROWS = (
    Worker(
        "repo_watch",
        "Notices new commits in the watched repositories within seconds and has them reviewed.",
        "forge_workers.code.arrivals:repo_watch",
        args={"repository": _REPOSITORY},
        every_s=2.0,
        watch="forge_workers.code.refs:moved",
    ),
    Worker(
        "security_review",
        "Scans what a commit or a day changed for secrets and dangerous code.",
        "forge_workers.code.security:security_review",
        args=_CODE,
        upstream=_COMMITS,
    ),
    Worker(
        "code_review",
        "Ranks what a commit or a day changed by risk and lets the model review the top of it.",
        "forge_workers.code.review:code_review",
        args=_CODE,
        upstream=_COMMITS,
        gpu=True,
        timeout_s=3_600.0,
    ),
    Worker(
        "pr_digest",
        "Lists pull requests opened, merged and waiting.",
        "forge_workers.code.pulls:pr_digest",
        args=_DAY,
        upstream=_COMMITS,
    ),
    Worker(
        "evolution_monitor",
        "Compares the watched code with a week and four weeks ago.",
        "forge_workers.ecosystem.evolution:evolution_report",
        args=_DAY,
        upstream=_COMMITS,
    ),
    Worker(
        "gpu_warmup",
        "Loads the model and measures it.",
        "forge_workers.readiness:gpu_readiness",
        gpu=True,
    ),
    Worker(
        "gpu_coordinator",
        "Watches the GPU and its lease, and reports who uses one without the other.",
        "forge_workers.gpu.coordinator:gpu_coordinator",
        every_s=180.0,
    ),
    Worker(
        "queue_janitor",
        "Takes jobs back from processes that died, and sends what was spooled while Redis was away.",
        "forge_workers.jobs.janitor:tidy",
        inline=True,
        every_s=5.0,
    ),
    Worker(
        "slack_notifier",
        "The one door to Slack for every worker: collapses, waits for quiet hours to end, posts once.",
        "forge_workers.notices.desk:slack_notifier",
        args={
            "kind": Arg("done, failed, contention, buried or alarm", pattern="done|failed|contention|buried|alarm"),
            "title": Arg("one plain sentence"),
            "worker": Arg("the worker it is about, needed with a title", most=100),
            "detail": Arg("more of it, plain text", most=4_000),
            "reason": Arg("what makes two notices the same", most=200),
            "urgent": Arg("whether it may break the quiet hours", kind=bool),
            "link": Arg("an https address that code produced", pattern=r"https://\S+"),
        },
        every_s=30.0,
        watch="forge_workers.notices.watch:waiting",
    ),
    Worker(
        "morning_briefing",
        "Composes the briefing of a night again and delivers it.",
        "forge_workers.briefing.morning:told_again",
        args={"night": Arg("a day as YYYY-MM-DD", required=True, pattern=_NIGHT)},
    ),
    Worker(
        "health_check",
        "Checks disk, memory, load, Redis, the model server, repositories and Dagster.",
        "forge_workers.health.snapshot:health_snapshot",
        every_s=600.0,
    ),
    Worker(
        "amygdala",
        "Judges the machine by rules: GREEN, YELLOW or RED.",
        "forge_workers.health.assessment:threat_assessment",
        upstream={"health_snapshot": "forge_workers.health.snapshot:health_snapshot"},
        every_s=300.0,
    ),
)

WORKERS: Mapping[str, Worker] = {row.name: row for row in _ROWS}


@dataclass(frozen=True)
class Service:
    """A process that runs beside the workers and takes no jobs.

    Attributes:
        name: Names the process and the log.
        purpose: What it is for, one sentence for people.
        module: What ``python -m`` runs.
        words: What follows it on the command line.
        stop_s: Seconds it may take to leave after SIGTERM; then it is killed with all it started.
        needs: Settings without which it is not run, dotted.
        unless: Settings with which it is not run, dotted.
        tells: Whether it says in its place (``fleet/place.py``) that it is ready, and where it listens.
    """

    name: str
    purpose: str
    module: str
    words: tuple[str, ...] = ()
    stop_s: float = 30.0
    needs: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    tells: bool = False


#: In the order of their start. A code server that is told to stop finishes its runs first, and a night is never cut by
#: a stop: its time is that after which a run is ended anyway (``max_runtime_seconds`` in ``forge_assets/instance.py``).
_SERVICES = (
    Service(
        "redis",
        "Keeps the queues, the GPU's lease and the heartbeats.",
        "forge_workers.fleet.redis",
        stop_s=60.0,
        unless=("redis_url",),
    ),
    Service(
        "dagster_code_server",
        "Holds Forge's definitions and starts the runs.",
        "forge_assets.services",
        words=("dagster_code_server",),
        stop_s=43_200.0,
        needs=("dagster.services",),
        tells=True,
    ),
    Service(
        "dagster_daemon",
        "Fires schedules and sensors, starts queued runs and watches over those at work.",
        "forge_assets.services",
        words=("dagster_daemon",),
        stop_s=60.0,
        needs=("dagster.services",),
        tells=True,
    ),
    Service(
        "dagster_webserver",
        "Dagster's web pages, on loopback.",
        "forge_assets.services",
        words=("dagster_webserver",),
        needs=("dagster.services",),
        tells=True,
    ),
    Service(
        "slack_gateway",
        "Takes clicks and slash commands from Slack over Socket Mode.",
        "forge_workers.slack_gateway",
        needs=("slack.token", "slack.app_token", "slack.channel"),
    ),
)

SERVICES: Mapping[str, Service] = {row.name: row for row in _SERVICES}


def worker(name: str) -> Worker:
    """Return the row called ``name``.

    Raises:
        BadArgs: There is none; the message names the ones there are.
    """
    if name not in WORKERS:
        raise BadArgs(f"there is no worker {name!r:.60}: choose one of {', '.join(sorted(WORKERS))}")
    return WORKERS[name]


def resolve(path: str) -> Any:
    """Import what ``module:name`` names.

    Raises:
        ConfigError: There is no such module or name in it.
    """
    from importlib import import_module  # noqa: PLC0415  producers never call a function

    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be loaded: {error}") from error
