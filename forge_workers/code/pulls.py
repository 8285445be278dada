"""The pull request digest: what was opened, what was merged, and what waits for the token's owner.

GitHub answers for the present only. So for a night long past the merged and opened ones are right, but what waited then
can no longer be asked, and a gap says so. Belongs here: the report. Does not belong here: asking GitHub
(``github_pulls.py``), or any write; nothing is commented on, approved or closed.
"""

from __future__ import annotations

from forge_workers.code.commits import log_of
from forge_workers.code.github_pulls import Pull, PullDigest, ask_all, connect, web_of
from forge_workers.plain import markdown
from forge_workers.report import Gap, Outcome, Report
from forge_workers.tools import Request, Tools

_DAY_S = 86_400.0
#: Pull requests shown of one kind; the data holds all.
_SHOWN = 30
_HOW_TO_ENABLE = (
    "no GitHub token is set: put one that may read pull requests into FORGE_GITHUB_TOKEN, or into github.token "
    "in forge.toml"
)
_NO_REPOSITORY = "no watched repository has a remote at GitHub: name some in github.repositories in forge.toml"


def pr_digest(request: Request, tools: Tools) -> Report:
    """Digest the pull requests of the configured repositories, or of the watched ones' GitHub remotes.

    Returns:
        A report whose data is a :class:`PullDigest`; skipped without a token or a repository, degraded when GitHub does
        not answer for one of them. It has no findings.
    """
    settings = tools.settings.github
    if settings.token is None:
        return _skipped(request, _HOW_TO_ENABLE)
    names = settings.repositories or _remotes(request)
    if not names:
        return _skipped(request, _NO_REPOSITORY)
    host = connect(settings, settings.token.get_secret_value())
    try:
        digest, gaps = ask_all(host, names, request.window, web_of(settings.api_url))
    finally:
        host.close()
    notes = [_past()] if tools.now() - request.window.end_at > _DAY_S else []
    return Report(
        asset="pr_digest",
        night=request.night,
        outcome=Outcome.DEGRADED if gaps else Outcome.RAN,
        reasons=tuple(f"{gap.what} is missing: {gap.why}" for gap in gaps),
        headline=_headline(digest, gaps),
        markdown=_markdown(digest, gaps),
        numbers={name: float(len(getattr(digest, name))) for name in PullDigest.model_fields},
        gaps=(*gaps, *notes),
        data=digest.model_dump(mode="json"),
    )


def _remotes(request: Request) -> tuple[str, ...]:
    log = log_of(request)
    return tuple(sorted({name for repository in log.repositories for name in repository.remotes})) if log else ()


def _skipped(request: Request, why: str) -> Report:
    headline = "Pull requests were not looked at."
    text = f"## Pull requests\n\nNot looked at: {markdown(why, 300)}.\n"
    return Report(
        asset="pr_digest",
        night=request.night,
        outcome=Outcome.SKIPPED,
        reasons=(why,),
        headline=headline,
        markdown=text,
    )


def _past() -> Gap:
    why = "GitHub tells only what waits now; of that, what was opened by the window's end is shown"
    return Gap(what="pull requests that waited on that night", why=why)


def _headline(digest: PullDigest, gaps: tuple[Gap, ...]) -> str:
    counts = f"{len(digest.waiting)} waiting for you, {len(digest.opened)} opened, {len(digest.merged)} merged"
    return f"Pull requests: {counts}{'; some could not be looked at' if gaps else ''}."


def _markdown(digest: PullDigest, gaps: tuple[Gap, ...]) -> str:
    parts = ["## Pull requests", _headline(digest, gaps)]
    for title, pulls in (("Waiting for you", digest.waiting), ("Opened", digest.opened), ("Merged", digest.merged)):
        if pulls:
            lines = [_line(pull) for pull in pulls[:_SHOWN]]
            more = [f"- … and {len(pulls) - _SHOWN:,} more"] if len(pulls) > _SHOWN else []
            parts += [f"### {title}", "\n".join((*lines, *more))]
    if gaps:
        parts += ["### Not looked at", "\n".join(f"- {markdown(gap.what)}: {markdown(gap.why)}" for gap in gaps)]
    return "\n\n".join(parts) + "\n"


def _line(pull: Pull) -> str:
    name = f"[{markdown(pull.repository)} \\#{pull.number}]({pull.url})"
    return f"- {name} {markdown(pull.title, 120)} ({markdown(pull.author, 40)}, {pull.age_days:.0f} days, {pull.why})"
