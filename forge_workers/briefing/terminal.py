"""The briefing in the terminal.

Every text of the briefing is put into ``rich.text.Text``, never into markup, so that no bracket in a title is a style;
it holds no control characters (see ``model.py``), so no title moves the cursor. Where the output is no terminal, rich
leaves the colours out and the words say everything the colours do. Belongs here: layout. Does not belong here: what is
said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from forge_workers.briefing import words
from forge_workers.briefing.model import Briefing, Level, NewFinding, Proof, StepLine
from forge_workers.report import Severity

_LEVEL = {Level.GREEN: "green", Level.YELLOW: "yellow", Level.RED: "red", Level.INCOMPLETE: "magenta"}
_SEVERITY = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFO: "dim",
}
_OUTCOME = {
    "ran": ("●", "green"),
    "degraded": ("◐", "yellow"),
    "skipped": ("○", "dim"),
    "failed": ("✗", "bold red"),
    "missing": ("✗", "red"),
}


def render(told: Briefing) -> RenderableType:
    """Return the briefing as something rich can print at any width, with or without colours."""
    sections: tuple[Callable[[Briefing], Iterable[RenderableType]], ...] = (
        _needs, _findings, _why, _code, _pulls, _figures, _shortfalls, _steps)  # fmt: skip
    if told.quiet:
        sections = (_shortfalls, _steps)
    return Group(_verdict(told), *(part for section in sections for part in section(told)))


def _verdict(told: Briefing) -> RenderableType:
    verdict = told.verdict
    colour = _LEVEL[verdict.level]
    body = Text.assemble((f"{verdict.level}  ", f"bold {colour}"), (verdict.sentence, "bold"))
    if not told.day_over:
        body.append(f"\nThe day is not over: this tells it until {words.moment(told.made_at, told.zone)}.", "yellow")
    body.append(f"\n{verdict.proof.where}, {words.moment(verdict.proof.at, told.zone)}", "dim")
    title = Text(f"Morning briefing · {words.day(told.night)}", "bold")
    return Panel(body, title=title, title_align="left", border_style=colour, padding=(0, 1))


def _needs(told: Briefing) -> Iterable[RenderableType]:
    if not told.needs_you:
        return
    yield _heading("Needs you")
    for need in told.needs_you:
        said = Text(need.text)
        if need.act:
            said.append("  ").append(need.act, "bold")
        yield _row(str(need.urgency), _SEVERITY[need.urgency], said, _proofs(told, need.proofs))


def _findings(told: Briefing) -> Iterable[RenderableType]:
    yield _heading("New findings")
    for finding in told.findings:
        yield _row(str(finding.severity), _SEVERITY[finding.severity], *_finding(told, finding))
    if told.findings_more:
        more = words.listed([f"{number} {severity}" for severity, number in told.findings_more])
        yield _note(f"And {more} more, in the reports themselves.")
    if told.findings_note:
        yield _note(told.findings_note)
    if told.findings:
        yield _note('To dismiss one: forge dismiss <fingerprint> --because "…"')


def _finding(told: Briefing, finding: NewFinding) -> Iterable[Text]:
    title = Text(finding.title)
    if finding.mark:
        title.append(f"  {finding.mark}", "yellow")
    yield title
    if finding.detail:
        yield Text(finding.detail)
    for proof in finding.proofs:
        yield _proofs(told, (proof,))
        if proof.quote:
            yield Text(f"| {proof.quote}", "italic")
    yield Text(f"{finding.rule}  {finding.fingerprint}", "dim")


def _why(told: Briefing) -> Iterable[RenderableType]:
    if not told.verdict.why:
        return
    yield _heading(f"The machine is {told.verdict.machine}", told.verdict.mark)
    for line in told.verdict.why:
        yield _indented(Text(line))


def _code(told: Briefing) -> Iterable[RenderableType]:
    yield _heading("Code")
    for change in told.code:
        yield _indented(Text.assemble((change.repository, "bold"), f"  {words.work(change)}"))
        grid = _grid()
        for commit in change.latest:
            size = "merge" if commit.merge else f"+{commit.added:,} -{commit.removed:,}"
            where = Text(commit.proof.where.rpartition("@")[2], "dim")
            said = Text.assemble(commit.subject, (f"  {commit.author}", "dim"))
            grid.add_row(Text(words.clock(commit.proof.at, told.zone), "dim"), said, Text(size, "dim"), where)
        yield _indented(grid, 4)
        if change.more:
            yield _indented(Text(f"and {words.count(change.more, 'earlier commit')}", "dim"), 4)
    if told.code_note:
        yield _note(told.code_note)


def _pulls(told: Briefing) -> Iterable[RenderableType]:
    yield _heading("Pull requests")
    for pull in told.pull_requests:
        facts = [pull.author, words.age(pull.age_days), pull.why]
        said = Text.assemble(pull.title, (f"  {', '.join(filter(None, facts))}", "dim"))
        yield _row(pull.state, "bold" if pull.state == "waiting" else "dim", said, _proofs(told, (pull.proof,)))
    if told.pull_requests_note:
        yield _note(told.pull_requests_note)


def _figures(told: Briefing) -> Iterable[RenderableType]:
    moved = [figure for figure in told.figures if figure.moved]
    if not moved:
        return
    yield _heading("Numbers")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for name in ("tonight", "last night", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("measured", style="dim")
    for figure in moved:
        then = change = ""
        if figure.last_night is not None:
            then = words.amount(figure.name, figure.last_night)
            change = words.change(figure.name, figure.tonight, figure.last_night)
        measured = f"{figure.asset} {words.clock(figure.at, told.zone)}"
        cells = (figure.label, words.amount(figure.name, figure.tonight), then, change, measured)
        table.add_row(*(Text(cell) for cell in cells))
    yield _indented(table)
    nights = sorted({figure.last_is for figure in moved if figure.last_is})
    still = len(told.figures) - len(moved)
    notes = [f"Last night is {words.listed(nights)}." if nights else "",
             f"{words.count(still, 'other number')} did not move." if still else ""]  # fmt: skip
    yield _note(" ".join(filter(None, notes)))


def _shortfalls(told: Briefing) -> Iterable[RenderableType]:
    if not told.shortfalls:
        return
    yield _heading("Gaps and degradations")
    for short in told.shortfalls:
        seen = (f"  {short.asset} {words.clock(short.at, told.zone)}", "dim")
        yield _row(short.kind, "yellow", Text.assemble((short.what, "bold"), f": {short.why}", seen))


def _steps(told: Briefing) -> Iterable[RenderableType]:
    yield _heading("The night's steps")
    grid = _grid()
    for line in told.steps:
        mark, style = _OUTCOME[line.outcome]
        started = "" if line.started_at is None else words.clock(line.started_at, told.zone)
        took = "" if line.seconds is None else words.duration(line.seconds)
        cells = (Text(mark, style), Text(line.asset), Text(line.outcome, style), Text(started, "dim"))
        grid.add_row(*cells, Text(took, "dim", justify="right"), Text(_what(line), "dim"))
    yield _indented(grid)


def _what(line: StepLine) -> str:
    cost = (
        [f"{line.model or 'a model'}: {words.count(line.calls, 'call')}, {line.tokens:,} tokens"] if line.calls else []
    )
    unsure = [f"{effect.name} {effect.target} (not verified)" for effect in line.effects if not effect.verified]
    return "; ".join([*line.reasons, *cost, *unsure]) or line.headline


def _heading(text: str, mark: str = "") -> RenderableType:
    return Text.assemble("\n", (text, "bold"), (f"  {mark}" if mark else "", "yellow"))


def _grid() -> Table:
    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def _row(word: str, style: str, *lines: Text) -> RenderableType:
    """Put a word into the margin and lines beside it; at any width the lines wrap in their own column."""
    grid = _grid()
    grid.add_column(width=12, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(word, style), Text("\n").join(lines))
    return _indented(grid)


def _note(text: str) -> RenderableType:
    return _indented(Text(text, "dim"))


def _indented(part: RenderableType, by: int = 2) -> RenderableType:
    return Padding(part, (0, 0, 0, by))


def _proofs(told: Briefing, proofs: tuple[Proof, ...]) -> Text:
    shown = (f"{proof.url or proof.where}, {words.moment(proof.at, told.zone)}" for proof in proofs)
    return Text("; ".join(shown), "dim")
