"""The code desk: what was committed, what is dangerous in it, what deserves a second look.

Belongs here: the Dagster face of ``forge_workers/code/``.
"""

import dagster as dg

from forge_assets.assets.readiness import gpu_readiness
from forge_assets.nights import NIGHTS
from forge_assets.steps import GPU_TAG, Steps
from forge_workers.code import commits, pulls, review, security
from forge_workers.report import Report


@dg.asset(partitions_def=NIGHTS, group_name="code", kinds={"git"}, owners=["team:forge"])
def commit_log(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Report:
    """List every commit of the night's day over all watched repositories and branches."""
    return steps.run(context, commits.commit_log)


@dg.asset(partitions_def=NIGHTS, group_name="code", kinds={"git", "python"}, owners=["team:forge"])
def security_review(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Report:
    """Scan the files of the day's commits with bandit and detect-secrets; what is new comes first."""
    return steps.run(context, security.security_review, commit_log=commit_log)


@dg.asset(
    partitions_def=NIGHTS,
    group_name="code",
    kinds={"git", "ollama"},
    owners=["team:forge"],
    pool="gpu",
    op_tags={GPU_TAG: "1"},
    deps=[gpu_readiness],
)
def code_review(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Report:
    """Rank the day's diffs by risk and let the model review the top ones; what it quotes must exist."""
    return steps.run(context, review.code_review, commit_log=commit_log)


@dg.asset(partitions_def=NIGHTS, group_name="code", kinds={"github"}, owners=["team:forge"])
def pr_digest(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Report:
    """List pull requests opened, merged, and waiting for you, with their age."""
    return steps.run(context, pulls.pr_digest, commit_log=commit_log)
