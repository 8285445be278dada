"""The code desk: what was committed, what is dangerous in it, what deserves a second look.

Belongs here: the Dagster face of ``forge_workers/code/``.
"""

import dagster as dg

from forge_assets.assets.readiness import gpu_readiness
from forge_assets.checks import Checked, checked
from forge_assets.nights import NIGHTS
from forge_assets.shown import about
from forge_assets.steps import GPU_TAG, Steps
from forge_workers.code import commits, pulls, review, security
from forge_workers.report import Report


@dg.asset(
    partitions_def=NIGHTS,
    group_name="code",
    kinds={"git"},
    owners=["team:forge"],
    tags={"forge/desk": "code"},
    metadata=about("commit_log", commits.commit_log),
)
def commit_log(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps]) -> Checked:
    """List every commit of the night's day over all watched repositories and branches."""
    yield from checked(context, steps, commits.commit_log)


@dg.asset(
    partitions_def=NIGHTS,
    group_name="code",
    kinds={"git", "python"},
    owners=["team:forge"],
    tags={"forge/desk": "code"},
    metadata=about("security_review", security.security_review),
)
def security_review(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Checked:
    """Scan the files of the day's commits with bandit and detect-secrets; what is new comes first."""
    yield from checked(context, steps, security.security_review, commit_log=commit_log)


@dg.asset(
    partitions_def=NIGHTS,
    group_name="code",
    kinds={"git", "ollama"},
    owners=["team:forge"],
    pool="gpu",
    op_tags={GPU_TAG: "1"},
    deps=[gpu_readiness],
    tags={"forge/desk": "code"},
    metadata=about("code_review", review.code_review),
)
def code_review(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Checked:
    """Rank the day's diffs by risk and let the model review the top ones; what it quotes must exist."""
    yield from checked(context, steps, review.code_review, commit_log=commit_log)


@dg.asset(
    partitions_def=NIGHTS,
    group_name="code",
    kinds={"github"},
    owners=["team:forge"],
    tags={"forge/desk": "code"},
    metadata=about("pr_digest", pulls.pr_digest),
)
def pr_digest(context: dg.AssetExecutionContext, steps: dg.ResourceParam[Steps], commit_log: Report) -> Checked:
    """List pull requests opened, merged, and waiting for you, with their age."""
    yield from checked(context, steps, pulls.pr_digest, commit_log=commit_log)
