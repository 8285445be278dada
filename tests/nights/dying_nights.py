"""A code location of two steps, to kill: the first is quick, the second waits for the file ``go`` in the home.

Each writes into ``marks`` in the home when it begins and when it goes on. The executor is the night's own, a process
per step.
"""

import time
from pathlib import Path

import dagster as dg

from forge_assets.definitions import EXECUTOR, standard_steps
from forge_assets.nights import NIGHTS, SETTINGS
from forge_assets.resources.store import ReportStore
from forge_assets.steps import Steps
from forge_workers.report import Report
from forge_workers.tools import Request, Tools


def _mark(text: str) -> None:
    with (SETTINGS.home / "marks").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def _quick(request: Request, tools: Tools) -> Report:
    _mark("commit_log began")
    return Report(asset="commit_log", night=request.night, headline="quick")


def _slow(request: Request, tools: Tools) -> Report:
    _mark("pr_digest began")
    until = time.monotonic() + 90
    while not Path(SETTINGS.home / "go").exists() and time.monotonic() < until:
        time.sleep(0.05)
    _mark("pr_digest worked on")
    return Report(asset="pr_digest", night=request.night, headline="slow")


@dg.asset(partitions_def=NIGHTS)
def commit_log(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Report:
    """Be quick."""
    return steps.run(context, _quick)


@dg.asset(partitions_def=NIGHTS)
def pr_digest(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Report:
    """Be slow."""
    return steps.run(context, _slow, commit_log=commit_log)


def _all() -> dg.Definitions:
    steps = standard_steps(SETTINGS)
    night = dg.define_asset_job("night", partitions_def=NIGHTS)
    resources = {"steps": steps, "io_manager": ReportStore(steps)}
    return dg.Definitions(assets=[commit_log, pr_digest], jobs=[night], resources=resources, executor=EXECUTOR)


defs = _all()
