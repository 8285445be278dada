"""A whole night as a user starts it, through Dagster, on real repositories."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from forge_workers.night import BRIEFING, STEPS
from forge_workers.report import Outcome
from tests.standins.forge import Forge, forge_in
from tests.standins.nights import SUNDAY, git_log_count, with_model
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo, hostile, synthetic
from tests.standins.slack import CHANNEL, TOKEN, Fault, SlackServer, slack_server

pytestmark = pytest.mark.slow


def test_a_night_without_a_model_tells_the_truth(tmp_path: Path) -> None:
    """Every step leaves a receipt, the briefing is printed, and what had no model says so."""
    repo = synthetic(tmp_path / "app", commits=300, until=MONDAY - HOUR, days=20)
    with forge_in(tmp_path, repo.path) as forge:
        done = forge.run("night", "--date", SUNDAY)
        reports = {asset: forge.report(asset, SUNDAY) for asset in (*STEPS, BRIEFING)}

    assert done.returncode == 0, done.stderr
    assert "no model" in done.stdout
    assert all(r.receipt is not None and r.receipt.outcome is r.outcome for r in reports.values())
    assert reports["gpu_readiness"].outcome is Outcome.SKIPPED
    assert reports["code_review"].outcome is Outcome.DEGRADED
    assert reports["pr_digest"].outcome is Outcome.SKIPPED
    assert reports["commit_log"].numbers["commits"] == git_log_count(repo.path, SUNDAY) > 5
    assert (forge.home / "briefings" / f"{SUNDAY}.html").is_file()


def test_dagster_shows_what_the_night_did(tmp_path: Path) -> None:
    """Each asset is materialised for its partition, with Markdown, counts, seconds and tokens as metadata."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=5)
    with forge_in(tmp_path, repo.path) as forge:
        forge.run("night", "--date", SUNDAY)
        with dg.DagsterInstance.from_config(str(forge.home / "dagster")) as instance:
            made = {a: instance.get_latest_materialization_event(dg.AssetKey(a)) for a in (*STEPS, BRIEFING)}
            runs = instance.get_runs()

    for asset, event in made.items():
        assert event is not None, asset
        assert event.asset_materialization is not None
        assert event.asset_materialization.partition == SUNDAY
        assert {"report", "findings", "seconds", "tokens"} <= set(event.asset_materialization.metadata)
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_a_second_run_of_the_same_night_asks_the_model_nothing(tmp_path: Path) -> None:
    """What was asked once is answered from the cache: same prompt, same model, same parameters."""
    repo = synthetic(tmp_path / "app", commits=60, until=MONDAY - HOUR, days=2)
    with with_model(tmp_path, repo) as (forge, _):
        first = forge.run("night", "--date", SUNDAY)
        calls = [r.usage.calls for r in receipts(forge)]
        second = forge.run("night", "--date", SUNDAY)
        again = [r.usage.calls for r in receipts(forge)]
        saved = sum(r.usage.saved_by_cache for r in receipts(forge))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert sum(calls) > 0
    assert sum(again) == 0
    assert saved > 0
    assert forge.report("code_review", SUNDAY).outcome is Outcome.RAN


def receipts(forge: Forge) -> list:
    """Return every step's receipt."""
    return [receipt for asset in STEPS if (receipt := forge.report(asset, SUNDAY).receipt)]


@pytest.mark.parametrize(("commits", "days", "seed"), [(1200, 90, 1), (2000, 30, 2)])
def test_commit_counts_equal_git_log(tmp_path: Path, commits: int, days: int, seed: int) -> None:
    """On histories with merges and side branches, the night counts what git log counts."""
    repo = synthetic(tmp_path / "app", commits=commits, days=days, seed=seed, until=MONDAY - HOUR)
    with forge_in(tmp_path) as forge:
        done = forge.run("night", "--date", SUNDAY, "--repo", str(repo.path))

    assert done.returncode == 0, done.stderr
    assert forge.report("commit_log", SUNDAY).numbers["commits"] == git_log_count(repo.path, SUNDAY) > 10


def test_a_hostile_repository_harms_nothing(tmp_path: Path) -> None:
    """Odd names, a huge message, wrong encodings, a huge diff and a picture: a full briefing and no file made."""
    repo = hostile(tmp_path / "app", at=MONDAY - DAY)
    with forge_in(tmp_path, repo.path) as forge:
        done = forge.run("night", "--date", SUNDAY)

    assert done.returncode == 0, done.stderr
    assert forge.report("commit_log", SUNDAY).numbers["commits"] == git_log_count(repo.path, SUNDAY) == 6
    assert not list(tmp_path.rglob("*pwned*"))
    assert "\x1b[31m" not in done.stdout


def test_repositories_that_cannot_be_read_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Missing, no repository, empty: each is a named gap in the briefing, and the good one is digested."""
    good, bad = synthetic(tmp_path / "good", commits=30, until=MONDAY - HOUR, days=2), tmp_path / "notes"
    bad.mkdir()
    blank = Repo(tmp_path / "blank")
    with forge_in(tmp_path, good.path, tmp_path / "gone", bad, blank.path) as forge:
        done = forge.run("night", "--date", SUNDAY)
        told = " ".join(done.stdout.split())

    assert done.returncode == 0, done.stderr
    assert all(name in told for name in ("gone", "notes", "blank"))
    assert forge.report("commit_log", SUNDAY).numbers["commits"] == git_log_count(good.path, SUNDAY)


@pytest.mark.parametrize(
    ("night", "zone", "hours"),
    [("2026-03-29", "Europe/Paris", 23), ("2026-10-25", "Europe/Paris", 25), ("2026-03-28", "Europe/Paris", 24)],
)
def test_a_night_holds_each_hour_of_its_local_day_once(tmp_path: Path, night: str, zone: str, hours: int) -> None:
    """With a commit at every hour, a day of 23 hours has 23 and one of 25 has 25."""
    repo = Repo(tmp_path / "app")
    start = 1_774_522_800.0 if night < "2026-06" else 1_792_756_800.0  # two days before, on the hour
    for hour in range(96):
        repo.commit({"a.py": f"{hour}\n"}, f"Hour {hour}", at=start + hour * HOUR)
    with forge_in(tmp_path, repo.path, FORGE_TIMEZONE=zone) as forge:
        done = forge.run("night", "--date", night)

    assert done.returncode == 0, done.stderr
    assert forge.report("commit_log", night).numbers["commits"] == hours


def test_a_night_before_the_first_commit_is_short_and_fine(tmp_path: Path) -> None:
    """Nothing happened is a valid briefing."""
    repo = synthetic(tmp_path / "app", commits=30, until=MONDAY, days=2)
    with forge_in(tmp_path, repo.path) as forge:
        done = forge.run("night", "--date", "2020-01-01")

    assert done.returncode == 0, done.stderr
    assert forge.report("commit_log", "2020-01-01").numbers["commits"] == 0


def test_a_night_is_posted_to_slack_once_and_a_repeat_edits_it(tmp_path: Path) -> None:
    """With a token the briefing is in the channel, each part once, however often the night is run."""
    repo = synthetic(tmp_path / "app", commits=30, until=MONDAY - HOUR, days=2)
    with slack_server() as slack, forge_in(tmp_path, repo.path, **slack_settings(slack)) as forge:
        codes = [forge.run("night", "--date", SUNDAY).returncode for _ in range(2)]
        parts, calls = slack.parts(SUNDAY), slack.calls()

    assert codes == [0, 0]
    assert parts
    assert set(parts.values()) == {1}
    assert calls["chat.postMessage"] == len(parts)
    assert "xoxb-" not in forge.briefing(SUNDAY)


@pytest.mark.parametrize("kind", ["500", "invalid_auth", "hang_before"])
def test_a_slack_that_refuses_degrades_the_briefing_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    """The terminal still shows it, says why Slack has not got it, and the next night delivers both."""
    repo = synthetic(tmp_path / "app", commits=30, until=MONDAY - HOUR, days=2)
    with slack_server() as slack, forge_in(tmp_path, repo.path, **slack_settings(slack)) as forge:
        slack.faults.append(Fault(kind, method="*", times=10_000))
        first = forge.run("night", "--date", SUNDAY)
        outcome = forge.report(BRIEFING, SUNDAY).outcome
        slack.faults.clear()
        forge.run("night", "--date", "2026-02-28")
        parts = (slack.parts(SUNDAY), slack.parts("2026-02-28"))

    assert first.returncode == 0, first.stderr
    assert "Morning briefing" in first.stdout
    assert outcome is Outcome.DEGRADED
    assert all(part and set(part.values()) == {1} for part in parts)


def slack_settings(slack: SlackServer) -> dict[str, str]:
    """Return the variables of a Forge that posts to ``slack``."""
    return {
        "FORGE_SLACK_TOKEN": TOKEN,
        "FORGE_SLACK_CHANNEL": CHANNEL,
        "FORGE_SLACK_API_URL": slack.url,
        "FORGE_SLACK_TIMEOUT_S": "1",
    }
