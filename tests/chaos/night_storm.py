"""Whole nights under fault: ``python -m tests.chaos.night_storm [--sample N] [--seed S]``.

Twenty kinds of fault strike at five steps each: a hundred nights, each a real process on a real repository, Redis,
model server and Slack. What the night tells then is held against the facts; after that the fault is taken away, the
night is run again, and it must end as the undisturbed one did, with nothing done twice.

Belongs here: running one such night, and the command. Does not belong here: the faults (``night_faults.py``) or the
rules (``night_judge.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from forge_workers.briefing.model import Briefing
from forge_workers.briefing.morning import briefing_of
from forge_workers.errors import Damaged
from forge_workers.night import BRIEFING
from forge_workers.report import Outcome, Report
from forge_workers.store import NightStore
from tests.chaos.night_faults import FAULTS, Stage
from tests.chaos.night_judge import DETERMINISTIC, Facts, differing, doubled, gist, lies
from tests.standins.forge import Forge, forge_in, told
from tests.standins.nights import SUNDAY, answered, git_log_count
from tests.standins.ollama import OllamaStandIn
from tests.standins.repositories import HOUR, MONDAY, Repo, synthetic
from tests.standins.slack import CHANNEL, TOKEN, SlackServer, slack_server

#: The steps at whose beginning a fault strikes: the first, those with the code, the model's longest, and the last.
POINTS = ("gpu_readiness", "commit_log", "security_review", "code_review", BRIEFING)
#: A key of the kind that `detect-secrets` knows, made up; put together here so that no scan finds it in this file.
_SECRET = "AKIA" + "Q3EXAMPLE7STORMS"
PLANTED = "AWS"
#: Longest a night may take, in seconds, before it is killed, and how often it is run again after its fault.
_NIGHT_S, _AGAIN = 180.0, 3


@dataclass(frozen=True)
class Case:
    """One night: which fault, and the step at whose beginning it strikes."""

    fault: str
    point: str

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.fault} at {self.point}"


CASES = tuple(itertools.starmap(Case, itertools.product(FAULTS, POINTS)))


@dataclass(frozen=True)
class Result:
    """What came of one night.

    Attributes:
        case: The fault and its moment.
        struck: Whether the fault met the night at all.
        briefed: Whether the disturbed night told itself, in the store or on its standard output.
        findings: What was wrong, empty when all is well.
        seconds: What both runs took.
    """

    case: Case
    struck: bool
    briefed: bool
    findings: tuple[str, ...]
    seconds: float


class Scene:
    """The repository, and what an undisturbed night makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        repo = synthetic(folder / "app", commits=60, until=MONDAY - HOUR, days=3)
        repo.commit({"deploy/settings.py": f'KEY = "{_SECRET}"\n'}, "Deploy", at=MONDAY - HOUR)
        self.repo: Repo = repo
        self.commits = git_log_count(repo.path, SUNDAY)
        with self._servers("undisturbed") as (forge, _, _):
            done = forge.run("night", "--date", SUNDAY)
            if done.returncode:
                raise RuntimeError(f"the undisturbed night failed: {done.stderr}")
            self.undisturbed: Mapping[str, bytes] = {
                asset: gist(forge.report(asset, SUNDAY)) for asset in DETERMINISTIC
            }

    @contextlib.contextmanager
    def _servers(self, name: str) -> Iterator[tuple[Forge, OllamaStandIn, SlackServer]]:
        folder = self.folder / name
        folder.mkdir()
        with slack_server() as slack, OllamaStandIn(answer=answered) as ollama:
            environ = {
                "FORGE_MODELS_OLLAMA_URL": ollama.url,
                "FORGE_MODELS_TIMEOUT_S": "2",
                "FORGE_MODELS_LOAD_TIMEOUT_S": "2",
                "FORGE_SLACK_TOKEN": TOKEN,
                "FORGE_SLACK_CHANNEL": CHANNEL,
                "FORGE_SLACK_API_URL": slack.url,
                "FORGE_SLACK_TIMEOUT_S": "1",
            }
            with forge_in(folder, self.repo.path, **environ) as forge:
                yield forge, ollama, slack

    def disturbed(self, case: Case) -> Result:
        """Run one night under its fault, judge what it tells, take the fault away, and run it to its end."""
        began = time.monotonic()
        with self._servers(str(case).replace(" ", "_").replace("'", "")) as (forge, ollama, slack):
            process = forge.start_night(SUNDAY)
            stage = Stage(forge, ollama, slack, self.repo.path, SUNDAY, process)
            try:
                briefing, struck = _watched(stage, case)
                findings = list(lies(briefing, self._facts(forge))) if briefing else []
                findings += [] if briefing or process.returncode else ["it ended well and told nothing"]
            finally:
                process.kill()
                for undo in reversed(stage.undo):
                    undo()
            findings += self._mended(forge, slack)
        return Result(case, struck, briefing is not None, tuple(findings), time.monotonic() - began)

    def _mended(self, forge: Forge, slack: SlackServer) -> Iterator[str]:
        """Yield what is wrong after the night was run again without its fault."""
        for _ in range(_AGAIN):
            done = forge.run("night", "--date", SUNDAY)
            if done.returncode == 0:
                break
        else:
            yield f"without the fault it still ends with {done.returncode}: {done.stderr[-300:]}"
            return
        briefing = briefing_of(forge.report(BRIEFING, SUNDAY))
        yield from lies(briefing, self._facts(forge)) if briefing else ("the last run told nothing",)
        yield from differing(NightStore(forge.home / "nights"), SUNDAY, self.undisturbed)
        yield from doubled(slack.parts(SUNDAY))

    def _facts(self, forge: Forge) -> Facts:
        return Facts(NightStore(forge.home / "nights"), SUNDAY, self.commits, PLANTED)


def _watched(stage: Stage, case: Case) -> tuple[Briefing | None, bool]:
    """Follow the night, bring the fault at its moment, and return what the night told."""
    unsaved: Report | None = None
    struck, stored = False, False
    watchdog = threading.Timer(_NIGHT_S, stage.process.kill)
    watchdog.start()
    try:
        for progress in told(stage.process):
            if progress.kind == "started" and progress.asset == case.point and not struck:
                struck = True
                FAULTS[case.fault](stage)
            if progress.kind == "ended" and progress.asset == BRIEFING:
                unsaved = progress.report
                stored = progress.outcome is not Outcome.FAILED or progress.report is None
        stage.process.wait()
    finally:
        watchdog.cancel()
    if unsaved is None and stored:
        with contextlib.suppress(Damaged, OSError):
            unsaved = NightStore(stage.forge.home / "nights").load(BRIEFING, stage.night)
    return (None if unsaved is None else briefing_of(unsaved)), struck


def run(cases: Iterable[Case], folder: Path, *, tell: bool = False) -> list[Result]:
    """Run the nights of ``cases`` one after the other in ``folder``."""
    scene = Scene(folder)
    results = []
    for number, case in enumerate(cases, 1):
        result = scene.disturbed(case)
        results.append(result)
        if tell:
            said = "; ".join(result.findings) or "fine"
            sys.stderr.write(f"{number:3} {case}: {said} ({result.seconds:.0f} s)\n")
    return results


def table(results: list[Result], seed: str) -> str:
    """Return the figures for people."""
    rows = {
        "nights": len(results),
        "met by their fault": sum(result.struck for result in results),
        "briefed under it": sum(result.briefed for result in results),
        "with a finding": sum(bool(result.findings) for result in results),
        "seconds": round(sum(result.seconds for result in results)),
        "seed": seed,
    }
    return "\n".join(f"{name:<20}{value}" for name, value in rows.items())


def main() -> int:
    """Run all nights or a sample from the command line; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="only so many nights, chosen by the seed")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    chosen = parser.parse_args()
    cases = list(CASES)
    random.Random(chosen.seed).shuffle(cases)
    with tempfile.TemporaryDirectory(prefix="nights-") as folder:
        results = run(cases[: chosen.sample], Path(folder), tell=True)
    sys.stdout.write(table(results, chosen.seed) + "\n")
    for result in results:
        for finding in result.findings:
            sys.stdout.write(f"FOUND: {result.case}: {finding}\n")
    return int(any(result.findings for result in results))


if __name__ == "__main__":
    sys.exit(main())
