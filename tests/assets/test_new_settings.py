"""New settings under a running daemon and code server: used from the next run on, told once, and never fatal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from forge_assets.instance import prepare
from tests.standins.dagster import code_server, daemon, wait_until
from tests.standins.forge import ROOT, Forge, forge_in
from tests.standins.repositories import HOUR, MONDAY, synthetic

NIGHT = "2026-03-01"


def configure(forge: Forge, *repositories: str) -> None:
    """Write the settings as a user does, while everything runs."""
    forge.home.mkdir(exist_ok=True)
    (forge.home / "forge.toml").write_text(f"repositories = {json.dumps(repositories)}\n")


def told(instance: dg.DagsterInstance) -> list[list[str]]:
    """Return what each observation on ``commit_log`` says is new, oldest first, as the last part of each path."""
    found = instance.fetch_observations(dg.AssetKey("commit_log"), limit=50).records
    metadata = [record.asset_observation.metadata for record in found if record.asset_observation]
    return [[Path(path).name for path in each["new"].value] for each in reversed(metadata)]


def ticks(instance: dg.DagsterInstance) -> list[str]:
    """Return what the newest looks said."""
    (state,) = instance.all_instigator_state()
    return [
        tick.skip_reason or "" for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=3)
    ]


def watched_by_a_run(forge: Forge, instance: dg.DagsterInstance, workspace: Path, environ: dict[str, str]) -> set[str]:
    """Run the step that reads the repositories and return which it read."""
    tags = f'{{"dagster/partition": "{NIGHT}"}}'
    before = len(instance.get_runs())
    command = [sys.executable, "-m", "dagster", "job", "launch", "-w", str(workspace), "-l", "forge", "-j", "commits"]
    subprocess.run([*command, "--tags", tags], cwd=ROOT, env=environ, check=True, capture_output=True, timeout=120)
    wait_until(lambda: [run for run in instance.get_runs() if run.is_success][before:], 90)
    rows = forge.report("commit_log", NIGHT).data["repositories"]
    return {row["name"] for row in rows}  # type: ignore[union-attr, call-overload, index]


@pytest.mark.slow
def test_a_new_repository_is_picked_up_without_a_restart(tmp_path: Path) -> None:
    """Under a pattern and in the file: the next run reads it, one observation tells it, broken settings only say so."""
    for name in ("one", "two"):
        synthetic(tmp_path / name, commits=3, until=MONDAY - HOUR, days=1)
    (tmp_path / "code").mkdir()
    (tmp_path / "one").rename(tmp_path / "code" / "one")
    pattern, beside = f"{tmp_path}/code/*", str(tmp_path / "two")
    with forge_in(tmp_path) as forge:
        configure(forge, pattern)
        environ = {**forge.environ, "DAGSTER_HOME": str(prepare(forge.settings))}
        with (
            dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance,
            code_server(tmp_path, environ, "tests.assets.watching_location") as workspace,
            daemon(tmp_path, environ, workspace),
        ):
            wait_until(lambda: told(instance))
            first = watched_by_a_run(forge, instance, workspace, environ)
            synthetic(tmp_path / "code" / "three", commits=3, until=MONDAY - HOUR, days=1)
            wait_until(lambda: len(told(instance)) == 2)
            (forge.home / "forge.toml").write_text("repositories = [not TOML\n")
            wait_until(lambda: any("the settings cannot be used" in text for text in ticks(instance)))
            configure(forge, pattern, beside)
            wait_until(lambda: len(told(instance)) == 3)
            wait_until(lambda: all("3 repositories watched, as before" in text for text in ticks(instance)))
            second = watched_by_a_run(forge, instance, workspace, environ)
            new = told(instance)

    assert new == [["one"], ["three"], ["two"]]
    assert first == {"one"}
    assert second == {"one", "two", "three"}
