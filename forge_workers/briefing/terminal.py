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

from forge_workers.briefing import findings, words
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
_DISMISS = 'To dismiss one: forge dismiss <fingerprint> --because "…"'
#: Places named of many findings that are told as one.
_PLACES = 3


def render(told: Briefing) -> RenderableType:
    """Return the briefing as something rich can print at any width, with or without colours."""
    sections: tuple[Callable[[Briefing], Iterable[RenderableType]], ...] = (
        _needs, _findings, _why, _code, _pulls, _figures, _shortfalls, _earlier, _steps)  # fmt: skip
    if told.quiet:
        sections = (_shortfalls, _earlier, _steps)
    return Group(_verdict(told), *(part for section in sections for part in section(told)))


def _verdict(told: Briefing) -> RenderableType:
    verdict = told.verdict
    colour = _LEVEL[verdict.level]
    body = Text.assemble((f"{verdict.level}  ", f"bold {colour}"), (verdict.sentence, "bold"))
    if told.edition > 1:
        body = Text.assemble((words.edition(told), "bold yellow"), "\n", body)
    for said in filter(None, (words.late(told), words.at_work(told))):
        body.append(f"\n{said}", "yellow")
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
        lines = [said, *([Text(need.advice)] if need.advice else []), _proofs(told, need.proofs)]
        if need.fingerprint:
            lines[-1].append(f"  {need.fingerprint}")
        yield _row(str(need.urgency), _SEVERITY[need.urgency], *lines)
    if any(need.fingerprint for need in told.needs_you):
        yield _note(_DISMISS)


def _findings(told: Briefing) -> Iterable[RenderableType]:
    yield _heading("New findings")
    for some in findings.together(told.findings):
        first = some[0]
        lines = _alike(some) if len(some) > 1 else _finding(told, first) if findings.in_full(first) else _brief(first)
        yield _row(str(first.severity), _SEVERITY[first.severity], *lines)
    if told.findings_more:
        more = words.listed([f"{number} {severity}" for severity, number in told.findings_more])
        yield _note(f"And {more} more, in the reports themselves.")
    if told.findings_note:
        yield _note(told.findings_note)
    if told.findings:
        yield _note(_DISMISS)


def _alike(some: tuple[NewFinding, ...]) -> Iterable[Text]:
    """Tell many possible secrets in tests as one, with the advice once and the first of the places."""
    yield Text(f"{len(some)} possible secrets in tests")
    for detail in dict.fromkeys(finding.detail for finding in some if finding.detail):
        yield Text(detail)
    for finding in some[:_PLACES]:
        yield Text.assemble(*(proof.where for proof in finding.proofs[:1]), f"  {finding.fingerprint}", style="dim")
    if some[_PLACES:]:
        yield Text(f"and {len(some) - _PLACES} more, each on the page of this briefing", "dim")


def _brief(finding: NewFinding) -> Iterable[RenderableType]:
    """Tell a finding on two lines at any width: what gives way is the title, and the beginning of the place."""
    yield _fitted(Text(finding.title), Text(finding.mark, "yellow"))
    where = Text(finding.proofs[0].where if finding.proofs else finding.rule, "dim")
    yield _fitted(where, Text(finding.fingerprint, "dim"))


def _fitted(left: Text, right: Text) -> RenderableType:
    """Put two texts on one line and cut the left one where both do not fit."""
    left.no_wrap, left.overflow = True, "ellipsis"
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(no_wrap=True)
    grid.add_row(left, right)
    return grid


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
    table.add_column("measured", style="dim", no_wrap=True)
    for figure in moved:
        then = "" if figure.last_night is None else words.amount(figure.name, figure.last_night)
        tonight, measured = words.amount(figure.name, figure.tonight), words.clock(figure.at, told.zone)
        cells = (figure.label, tonight, then, words.change(figure), measured)
        table.add_row(*(Text(cell) for cell in cells))
    yield _indented(table)
    nights = sorted({figure.last_is for figure in moved if figure.last_is})
    still = len(told.figures) - len(moved)
    notes = [f"Last night is {words.listed(nights)}." if nights else "",
             f"{words.count(still, 'other number')} did not move." if still else ""]  # fmt: skip
    if any(notes):
        yield _note(" ".join(filter(None, notes)))


def _shortfalls(told: Briefing) -> Iterable[RenderableType]:
    if not told.shortfalls:
        return
    yield _heading("Gaps and degradations")
    for short in told.shortfalls:
        lead, rest = words.shortfall(short)
        seen = " ".join(filter(None, (words.seen_in(short), words.clock(short.at, told.zone))))
        style = "dim" if short.kind == "chosen" else "yellow"
        yield _row(short.kind, style, Text.assemble((lead, "bold"), f" {rest}", (f"  {seen}", "dim")))


def _earlier(told: Briefing) -> Iterable[RenderableType]:
    if told.caught_up:
        yield _heading("Earlier nights")
        for line in told.caught_up:
            yield _indented(Text(line))


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
    return "; ".join(part.rstrip(".") for part in (*words.step(line), *cost, *unsure))


def _heading(text: str, mark: str = "") -> RenderableType:
    return Text.assemble("\n", (text, "bold"), (f"  {mark}" if mark else "", "yellow"))


def _grid() -> Table:
    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def _row(word: str, style: str, *lines: RenderableType) -> RenderableType:
    """Put a word into the margin and lines beside it; at any width the lines wrap in their own column."""
    grid = _grid()
    grid.add_column(width=12, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(word, style), Group(*lines))
    return _indented(grid)


def _note(text: str) -> RenderableType:
    return _indented(Text(text, "dim"))


def _indented(part: RenderableType, by: int = 2) -> RenderableType:
    return Padding(part, (0, 0, 0, by))


def _proofs(told: Briefing, proofs: tuple[Proof, ...]) -> Text:
    shown = (f"{proof.url or proof.where}, {words.moment(proof.at, told.zone)}" for proof in proofs)
    return Text("; ".join(shown), "dim")
