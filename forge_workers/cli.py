"""The ``forge`` command.

Belongs here: reading arguments, choosing what to call, and exit codes. Does not belong here: any work, how a briefing
is drawn, or the commands for what always runs and for many nights (``cli_fleet.py``, ``cli_jobs.py``,
``cli_nights.py``). Dagster is only ever started as another process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import webbrowser
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from forge_workers import cli_fleet, cli_jobs, cli_nights, tables, watch
from forge_workers import settings as chosen
from forge_workers.errors import BadArgs
from forge_workers.night import BRIEFING
from forge_workers.plain import plain
from forge_workers.report import Outcome, Report
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.windows import FIRST_NIGHT, check_night, night_of

app = typer.Typer(
    name="forge",
    epilog="Exit codes: 0 fine; 1 a step of the night failed, a check failed, a worker is not up or a job was buried; "
    "2 wrong usage or settings; 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_nights.app)
app.add_typer(cli_fleet.app)
app.add_typer(cli_jobs.app, name="jobs")

#: What a shell expects of a process stopped by Ctrl-C.
_STOPPED = 130

_DAY = "YYYY-MM-DD"
Repo = Annotated[
    list[str] | None, typer.Option("--repo", metavar="PATH", help="Watch this repository instead; may be repeated.")
]


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"forge {version('forge')}\n")
        raise typer.Exit


@app.callback()
def forge(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")] = False,
) -> None:
    """Runs this machine's night shift and tells the truth about it in the morning."""


@app.command()
def night(
    day: Annotated[str | None, typer.Option("--date", metavar=_DAY, help="The day to digest.")] = None,
    repo: Repo = None,
) -> None:
    """Run one night, by default for yesterday, and print its briefing.

    A night that was stopped goes on where it was; one that was finished runs again and asks the model nothing twice.
    """
    settings = _settings(repo)
    key = _night_to_run(day, settings, time.time())
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    environ = chosen.environment(FORGE_HOME=str(settings.home))
    if repo:
        _refuse_what_is_no_repository(settings.repositories)
        environ["FORGE_REPOSITORIES"] = os.pathsep.join(settings.repositories)
    errors.print(f"The night of {key}", style="bold")
    code, watched = watch.run(key, errors, home=settings.home, environ=environ)
    _after(code, watched, key, settings, console)


@app.command()
def briefing(
    day: Annotated[str | None, typer.Option("--date", metavar=_DAY, help="The day it tells of.")] = None,
    in_browser: Annotated[bool, typer.Option("--open", help="Open it in the web browser.")] = False,
) -> None:
    """Show a briefing, by default the newest; its page links to all nights."""
    settings = _settings()
    store = NightStore(settings.home / "nights")
    key = check_night(day) if day else next(iter(store.nights(BRIEFING)), None)
    if key is None:
        raise BadArgs("there is no briefing yet: run `forge night`")
    if not _show_briefing(key, settings, Console(highlight=False), in_browser=in_browser):
        raise BadArgs(f"there is no briefing of {key} yet: run `forge night --date {key}`")


@app.command()
def doctor() -> None:
    """Check this machine and Forge's settings; exit 1 when something must be mended."""
    from forge_workers.health.doctor import doctor as examine  # noqa: PLC0415  loads every probe: half a second
    from forge_workers.models.gateway import open_gateway  # noqa: PLC0415

    settings = _settings()
    store = NightStore(settings.home / "nights")
    checks = examine(settings, models=open_gateway(settings, lease=None), history=store, now=time.time())
    Console(highlight=False).print(tables.checks(checks))
    sys.exit(int(any(check.status == "fail" for check in checks)))


@app.command()
def gpu() -> None:
    """Show who holds the GPU, for what, since when, which term, and who waits."""
    from forge_workers import redis_server  # noqa: PLC0415  the client is not needed for --help
    from forge_workers.gpu.lease import Leases  # noqa: PLC0415
    from forge_workers.wire import Wire  # noqa: PLC0415

    settings = _settings()
    redis_server.connect(settings).close()  # starts it when nobody has
    status = Leases(Wire(redis_server.url_of(settings)), mutex=None).status(time.time())
    Console(highlight=False).print(tables.lease(status, settings.zone))


@app.command()
def dismiss(
    finding: Annotated[str, typer.Argument(metavar="FINDING", help="Its fingerprint, or the first characters of it.")],
    because: Annotated[str, typer.Option("--because", help="Why it is no problem; kept with it.")],
) -> None:
    """Never report this finding again; it is still counted."""
    from forge_workers.dismissals import Dismissals, resolve  # noqa: PLC0415  pandas is not needed for --help

    settings = _settings()
    found = resolve(finding, NightStore(settings.home / "nights"))
    Dismissals(settings.home).dismiss(found.fingerprint, because=because, now=time.time())
    text = f"Dismissed {found.fingerprint}: {plain(found.title)}. It leaves the briefing when the night is run again."
    Console(highlight=False).print(text, markup=False)


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000) -> None:
    """Start Dagster's web pages and daemon for these nights, on loopback; Ctrl-C ends both."""
    settings = _settings()
    home = settings.home / "dagster"
    arguments = [sys.executable, "-P", "-m", "forge_assets.ui", str(port)]
    os.execve(sys.executable, arguments, chosen.environment(FORGE_HOME=str(settings.home), DAGSTER_HOME=str(home)))  # noqa: S606


def _settings(repositories: list[str] | None = None) -> Settings:
    if not repositories:
        return chosen.load()
    return chosen.load(chosen.environment(FORGE_REPOSITORIES=os.pathsep.join(repositories)))


def _night_to_run(day: str | None, settings: Settings, now: float) -> str:
    """Return the key to run: yesterday's by default.

    Raises:
        BadArgs: It is no day, lies in the future, or before the first night.
    """
    today = night_of(now, settings.zone)
    if day is None:
        return (date.fromisoformat(today) - timedelta(days=1)).isoformat()
    if check_night(day) > today:
        raise BadArgs(f"the night {day} has not begun: today is {today} in {settings.timezone}")
    if day < FIRST_NIGHT:
        raise BadArgs(f"the night {day} lies before the first night Forge knows, {FIRST_NIGHT}")
    return day


def _refuse_what_is_no_repository(paths: tuple[str, ...]) -> None:
    """Open what was asked for by name.

    Raises:
        BadArgs: It holds no repository that can be digested; the message says why.
    """
    from forge_workers.git import Repository, RepositoryUnavailable  # noqa: PLC0415  not needed for --help

    for path in paths:
        try:
            Repository.open(Path(path).expanduser())
        except RepositoryUnavailable as error:
            raise BadArgs(f"--repo {plain(path)}: {error}") from None


def _after(code: int, watched: watch.Watched, key: str, settings: Settings, console: Console) -> None:
    """Say how the night ended, print its briefing, and leave with the exit code."""
    log, errors = watch.log_path(settings.home), Console(stderr=True, highlight=False)
    by_signal = watched.last is None and -code in {signal.SIGINT, signal.SIGTERM}
    if by_signal or (watched.last is not None and watched.last.kind == "stopped"):
        errors.print("Stopped. Run the same command to go on where it was.")
        sys.exit(_STOPPED)
    if watched.last is None:
        errors.print(f"forge: the night's process ended ({_ended(code)}): run the same command to go on; see {log}")
        sys.exit(1)
    if watched.last.kind == "refused":
        raise BadArgs(watched.last.text)
    told = watched.ended.get(BRIEFING)
    if told is not None and told.report is not None:
        _print_briefing(told.report, console)
    elif told is None or told.outcome is Outcome.FAILED or not _show_briefing(key, settings, console):
        errors.print(f"forge: no briefing could be made; the steps are above, the reason is in {log}")
    if code:
        errors.print(f"Some steps failed; their reasons are above, the tracebacks in {log}", style="red")
    sys.exit(min(abs(code), 1))


def _ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _show_briefing(key: str, settings: Settings, console: Console, *, in_browser: bool = False) -> bool:
    """Show a stored briefing, in the browser if one opens; say whether there is one."""
    report = NightStore(settings.home / "nights").load(BRIEFING, key)
    if report is None:
        return False
    page = settings.home / "briefings" / f"{key}.html"
    opened = in_browser and page.is_file() and webbrowser.open(page.as_uri())
    if not opened:
        _print_briefing(report, console)
    errors = Console(stderr=True, highlight=False)
    if page.is_file():
        errors.print(f"Page: {page.as_uri()}", style="dim", soft_wrap=True)
    elif in_browser:
        errors.print(f"There is no page of this night: run `forge night --date {key}` to have one", soft_wrap=True)
    return True


def _print_briefing(report: Report, console: Console) -> None:
    """Print a briefing; one that another version of Forge made is shown as the Markdown it was."""
    from forge_workers.briefing import terminal  # noqa: PLC0415  not needed for --help
    from forge_workers.briefing.morning import briefing_of  # noqa: PLC0415

    told = briefing_of(report)
    console.print(report.markdown if told is None else terminal.render(told), markup=False)
