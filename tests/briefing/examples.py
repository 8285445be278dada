"""Realistic nights to look at and to test with.

``python -m tests.briefing.examples OUT_DIR`` writes, for each of them, ``briefing.html``, ``.md``, ``.txt`` and the
Slack messages as JSON.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from rich.console import Console

from forge_workers.briefing import html, markdown, slack, terminal, timeline
from forge_workers.briefing.model import Briefing
from forge_workers.night import STEPS, Step
from forge_workers.report import Effect, Gap, Outcome, Severity, Usage
from tests.briefing.parts import (
    COMMIT,
    DAY,
    briefing,
    check,
    commit,
    commit_log,
    file,
    finding,
    health,
    pull,
    receipt,
    step,
    threat,
)

NO_MODEL = "no model: Ollama does not answer at 127.0.0.1:11434"


def busy() -> tuple[Step, ...]:
    """A full working day: findings, commits, pull requests, one gap, no model."""
    commits = [
        commit(
            "orchard",
            "Fix the deploy when the target has a blank in its name",
            "Mara Lindqvist",
            15.2,
            [file("orchard/deploy/shell.py", 31, 12), file("tests/test_shell.py", 44, 0)],
        ),
        commit(
            "orchard",
            "Serve the catalogue from the cache while it is rebuilt",
            "Jon Abiola",
            14.6,
            [
                file("orchard/catalogue.py", 120, 38),
                file("orchard/cache.py", 64, 9),
                file("README.md", 6, 1, "markdown"),
            ],
        ),
        commit(
            "orchard",
            "Read the seasons from one table",
            "Mara Lindqvist",
            11.9,
            [file("orchard/seasons.py", 22, 97), file("migrations/0042_seasons.sql", 18, 0, "sql")],
        ),
        commit("orchard", "Merge branch 'pruning'", "Jon Abiola", 10.4, [], parents=["0" * 40, "1" * 40]),
        commit("orchard", "Drop the second pruning pass", "Ines Roth", 10.1, [file("orchard/prune.py", 3, 51)]),
        commit("orchard", "Name the rootstock in every export", "Ines Roth", 9.4, [file("orchard/export.py", 12, 4)]),
        commit("orchard", "Say which tree a label belongs to", "Ines Roth", 9.1, [file("orchard/labels.py", 9, 2)]),
        commit(
            "press",
            "Add a juicer profile for quinces",
            "Jon Abiola",
            17.8,
            [file("press/profiles/quince.toml", 41, 0, "toml"), file("press/profiles.py", 7, 1)],
        ),
        commit(
            "press",
            "Fix the pressure shown in bar instead of kPa",
            "Mara Lindqvist",
            16.3,
            [file("press/gauge.py", 5, 5)],
        ),
    ]
    security = [
        finding(
            "An AWS access key is committed in deploy/staging.env",
            Severity.CRITICAL,
            "secret:AWS Access Key",
            source="detect-secrets",
            path="deploy/staging.env",
            line=3,
            quote="AWS_ACCESS_KEY_ID=[redacted: AWS Access Key]",
            detail="Revoke the key at AWS, then take it out of the history. Whoever can read the repository has it.",
        ),
        finding(
            "A shell command is built from variables",
            Severity.HIGH,
            detail="Give subprocess.run a list of arguments and leave shell=True out.",
        ),
        finding(
            "pickle.loads reads what a worker sent",
            Severity.MEDIUM,
            "bandit:B301",
            path="orchard/cache.py",
            line=41,
            quote="        return pickle.loads(blob)",
            detail="Use JSON: whoever can write to the cache runs code here.",
        ),
        finding(
            "A dependency moved by a major version: httpx 0.28 → 1.0",
            Severity.LOW,
            "dependency:major",
            source="git",
            path="pyproject.toml",
            line=19,
            quote='  "httpx>=1.0",',
        ),
    ]
    review = [
        finding(
            "The cache is read again after it was dropped, so a rebuild can serve an empty catalogue",
            Severity.MEDIUM,
            "review:logic",
            source="code_review",
            path="orchard/catalogue.py",
            line=133,
            quote="        return self._cache.get(key) or self._rebuild(key)",
            detail="Between drop() and _rebuild() another request sees None.",
        ),
    ]
    disk = check(
        "disk_free",
        "Free disk space",
        "warn",
        value=38.2,
        unit="GB",
        threshold="at least 50 GB",
        detail="38.2 GB of 494 GB are free",
    )
    return (
        step("gpu_readiness", "No model server answers", Outcome.SKIPPED, NO_MODEL),
        health(check("memory", "Free memory"), disk),
        threat(
            "YELLOW",
            ("disk_low", "38.2 GB of disk are free, 50 GB are wanted", 2),
            ("disk_shrinking", "free disk fell on each of the last four nights", 1),
            outcome=Outcome.DEGRADED,
            reasons=(NO_MODEL,),
            explanation="38.2 GB of disk are free",
        ),
        commit_log(commits, gaps=(Gap(what="repository cellar", why="it is missing: /src/cellar does not exist"),)),
        step(
            "security_review",
            "4 new findings",
            findings=tuple(security),
            known=12,
            dismissed=3,
            numbers={"scanned_files": 14.0, "new_findings": 4.0},
        ),
        step(
            "code_review",
            "1 new finding, 3 of 11 changes reviewed",
            Outcome.DEGRADED,
            NO_MODEL,
            findings=tuple(review),
            data={
                "reviewed": [],
                "not_reviewed": [
                    *(
                        {
                            "repository": "orchard",
                            "commit": COMMIT,
                            "path": f"a{n}.py",
                            "risk": 0.2,
                            "reason": "its risk is below the night's budget",
                        }
                        for n in range(7)
                    ),
                    {
                        "repository": "orchard",
                        "commit": COMMIT,
                        "path": "yarn.lock",
                        "risk": 0.1,
                        "reason": "a lock file is not read line by line",
                    },
                ],
            },
            numbers={"reviewed_diffs": 3.0},
            usage=Usage(saved_by_rules=8),
        ),
        step(
            "pr_digest",
            "2 wait for you",
            data={
                "waiting": [
                    pull(412, "Prune in one pass", 6.2, "your review is requested"),
                    pull(407, "Move the labels to a worker", 1.3, "you are assigned", "jon"),
                ],
                "opened": [pull(415, "Quince profile", 0.4, author="jon")],
                "merged": [pull(409, "Serve the catalogue from the cache", 3.1)],
            },
            numbers={"waiting": 2.0, "opened": 1.0, "merged": 1.0},
        ),
        step(
            "evolution_report",
            "The code grew by 201 lines",
            numbers={"lines": 48_211.0, "files": 612.0, "test_ratio": 0.412},
        ),
    )


def calm() -> tuple[Step, ...]:
    """A day on which nothing changed and all is well."""
    return (
        step("gpu_readiness", "qwen3:8b answers at 41 tokens/s", numbers={"load_s": 4.2, "tokens_per_s": 41.3}),
        health(check("memory", "Free memory"), check("disk_free", "Free disk space")),
        threat("GREEN"),
        commit_log([]),
        step("security_review", "Nothing new", known=12, dismissed=3),
        step("code_review", "No change to review", data={"reviewed": [], "not_reviewed": []}),
        step("pr_digest", "No token", Outcome.SKIPPED, "no token: set github.token to have pull requests digested"),
        step("evolution_report", "The code did not move", numbers={"lines": 48_010.0}),
    )


def broken() -> tuple[Step, ...]:
    """A night on which steps failed, one never ran, and the machine is red."""
    given = {s.asset: s for s in busy()}
    failed = receipt("security_review", Outcome.FAILED, ("the disk is full: /home/mara/.forge/nights",))
    given["security_review"] = Step(asset="security_review", failure=failed)
    given["code_review"] = Step(asset="code_review", missing="it did not finish")
    disk = check(
        "disk_free",
        "Free disk space",
        "fail",
        value=0.2,
        unit="GB",
        threshold="at least 10 GB",
        detail="0.2 GB of 494 GB are free",
    )
    given["health_snapshot"] = health(disk)
    given["threat_assessment"] = threat(
        "RED",
        ("disk_full", "0.2 GB of disk are free, 10 GB are needed", 5),
        explanation="The disk filled up during the night.",
        usage=Usage(model="qwen3:8b", calls=1, prompt_tokens=600, output_tokens=80, gpu_s=6.0),
        effects=(Effect(name="model loaded", target="qwen3:8b", verified=True),),
    )
    return tuple(given[asset] for asset in STEPS)


def text(told: Briefing, width: int = 100) -> str:
    """Return the terminal's view of a briefing as it is when piped into a file."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    console.print(terminal.render(told))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def main(out: Path) -> None:
    """Write every example in every form below ``out``."""
    nights = {"busy": briefing(busy()), "calm": briefing(calm()), "broken": briefing(broken())}
    nights["early"] = briefing(busy(), now=DAY.end_at - 6 * 3600)
    for name, told in nights.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        page = html.render(told, (timeline.picture(told),))
        (folder / "briefing.html").write_text(page, encoding="utf-8")
        (folder / "briefing.md").write_text(markdown.render(told), encoding="utf-8")
        (folder / "briefing.txt").write_text(text(told), encoding="utf-8")
        messages = [message.model_dump(mode="json") for message in slack.render(told)]
        (folder / "slack.json").write_text(json.dumps(messages, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
