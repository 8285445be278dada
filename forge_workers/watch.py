"""Starting a night in its own process and showing how it goes.

Belongs here: the child process, its progress lines, and the signals passed on to it. Does not belong here: anything
the night does.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from forge_workers.progress import Progress
from forge_workers.report import Outcome

#: A night's console output is kept up to this size, and the one before it.
_LOG_BYTES = 5_000_000
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS = {
    Outcome.RAN: ("✓", "green"),
    Outcome.SKIPPED: ("–", "dim"),
    Outcome.DEGRADED: ("!", "yellow"),
    Outcome.FAILED: ("✗", "red"),
}


@dataclass
class Watched:
    """What the night has told so far.

    Attributes:
        steps: The night's steps in order.
        ended: How each ended step ended.
        working: The step at work and since when, UTC unix seconds.
        last: The final word: ``done``, ``stopped`` or ``refused``; None while it runs or when it died.
    """

    steps: tuple[str, ...] = ()
    ended: dict[str, Progress] = field(default_factory=dict)
    working: tuple[str, float] | None = None
    last: Progress | None = None

    def hear(self, told: Progress) -> None:
        """Take in one line."""
        if told.kind == "plan":
            self.steps = told.assets
        elif told.kind == "started":
            self.working = (told.asset, told.at)
        elif told.kind == "ended":
            self.ended[told.asset], self.working = told, None
        else:
            self.last, self.working = told, None


def run(night: str, console: Console, *, home: Path, environ: Mapping[str, str]) -> tuple[int, Watched]:
    """Run ``night`` in a process of its own and show its progress until it ends.

    Ctrl-C and SIGTERM are passed on once; the night then stops after cleaning up, and a repeat goes on.

    Args:
        night: The night's key.
        console: Where progress is shown: live on a terminal, else one line per ended step.
        home: ``FORGE_HOME``; the night's own output goes to ``logs/night.log`` under it.
        environ: The child's environment.

    Returns:
        The process's exit code, negative when a signal killed it, and what it told.
    """
    watched = Watched()
    with _log(home).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "forge_assets.run", night],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(environ),
            start_new_session=True,
        )
    previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        _follow(child, watched, console)
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        console.print("Stopping after what is at work is put away …", style="dim")
        try:
            _follow(child, watched, console)
        except KeyboardInterrupt:
            console.print(f"It goes on stopping as process {child.pid}: `forge status` shows it.", style="dim")
            raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    return child.wait(), watched


def log_path(home: Path) -> Path:
    """Return where the night's own output goes."""
    return home / "logs" / "night.log"


def _log(home: Path) -> Path:
    path = log_path(home)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def _follow(child: subprocess.Popen[bytes], watched: Watched, console: Console) -> None:
    if child.stdout is None:
        return

    def draw() -> RenderableType:
        return board(watched, time.time())

    live = Live(get_renderable=draw, console=console, refresh_per_second=8, transient=True)
    if console.is_terminal:
        live.start()
    try:
        for line in child.stdout:
            try:
                told = Progress.model_validate_json(line)
            except ValidationError:
                continue  # no line of ours: a library printed before the night took its output over
            watched.hear(told)
            if told.kind == "ended" and not console.is_terminal:
                console.print(_ended(told), soft_wrap=True)
    finally:
        if console.is_terminal:
            live.stop()
            console.print(draw())


def board(watched: Watched, now: float) -> RenderableType:
    """Draw every step with its state, one line each, the one at work with a spinner."""
    return Group(*(_line(step, watched, now) for step in watched.steps))


def _line(step: str, watched: Watched, now: float) -> Text:
    told = watched.ended.get(step)
    if told is not None and told.outcome is not None:
        return _ended(told)
    if watched.working is not None and watched.working[0] == step:
        mark, seconds, text = (_SPINNER[int(now * 10) % len(_SPINNER)], "cyan"), now - watched.working[1], "at work"
    else:
        mark, seconds, text = ("·", "dim"), None, ""
    return _assembled(mark, step, seconds, text)


def _ended(told: Progress) -> Text:
    return _assembled(_MARKS[told.outcome or Outcome.RAN], told.asset, told.seconds, told.text)


def _assembled(mark: tuple[str, str], step: str, seconds: float | None, text: str) -> Text:
    took = "" if seconds is None else f"{max(0.0, seconds):.1f} s"
    line = Text.assemble(mark, f" {step:<18} {took:>8}  ", (text, "dim"))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
