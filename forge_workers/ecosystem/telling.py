"""The words and the picture of the evolution report.

Belongs here: Markdown and the chart. Does not belong here: any figure that is not in the values already.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from forge_workers.charts import Palette, draw
from forge_workers.ecosystem.states import (
    COMPARED,
    Evolution,
    HotFile,
    RepositoryMoves,
    grown,
    known,
    total,
)
from forge_workers.plain import code, markdown, plain
from forge_workers.plural import count
from forge_workers.report import Image

_LANGUAGES = 8
_CHANGES = 30
_MINUS = "\u2212"


def headline(found: Evolution) -> str:
    """Return the report in one sentence."""
    if not found.repositories:
        return "No watched repository could be read."
    now = total(found)
    spans = known(found.repositories)
    moved = ", ".join(f"{_signed(grown(found.repositories, n))} in {count(n, 'night')}" for n in spans)
    told = "; ".join(filter(None, (moved, _young(found.repositories)))) or "nothing to compare with yet"
    return f"{count(now.lines, 'line')} in {count(now.files, 'file')}: {told}."


def _young(repositories: tuple[RepositoryMoves, ...]) -> str:
    """Say whose history is shorter than the stretches compared: its first lines are no growth."""
    young = [(moves.name, moves.begins) for moves in repositories if moves.begins]
    if len(young) == 1:
        ((name, begins),) = young
        return f"{'' if len(repositories) == 1 else f'{plain(name, 60)}: '}history begins {_day(begins)}"
    return f"{len(young)} of {len(repositories)} repositories have a shorter history" if young else ""


def _day(night: str) -> str:
    day = date.fromisoformat(night)
    return f"{day.day} {day:%b}"


def telling(found: Evolution) -> str:
    """Return the report as Markdown."""
    parts = ["## How the code moves", markdown(headline(found), 400)]
    if not found.repositories:
        return "\n\n".join(parts) + "\n"
    parts += ["\n".join(_table(found)), "Vendored, generated and lock files and binaries are not counted."]
    parts += _languages(found)
    parts += ["### Dependencies", "\n".join(_dependencies(found))]
    parts += ["### Most touched files in 28 nights", "\n".join(_hot(found.hot_files))]
    return "\n\n".join(parts) + "\n"


def _table(found: Evolution) -> Iterator[str]:
    yield "| Repository | Lines | 1 night | 7 nights | 28 nights | Files | Tests | Dependencies |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for moves in found.repositories:
        unknown = f"history begins {_day(moves.begins)}" if moves.begins else "unknown"
        changed = (_signed(grown((moves,), n)) if moves.before.get(n) is not None else unknown for n in COMPARED)
        now = moves.now
        rest = (f"{now.files:,}", f"{now.test_ratio:.0%}", f"{moves.dependencies:,}")
        yield f"| {' | '.join((markdown(moves.name, 60), f'{now.lines:,}', *changed, *rest))} |"


def _languages(found: Evolution) -> Iterator[str]:
    lines = total(found).languages
    ranked = sorted(((name, number) for name, number in lines.items() if number), key=lambda item: (-item[1], item[0]))
    if ranked:
        yield "Lines by language: " + ", ".join(f"{markdown(n)} {number:,}" for n, number in ranked[:_LANGUAGES]) + "."


def _dependencies(found: Evolution) -> Iterator[str]:
    changes, spans = found.changes, known(found.repositories)
    if not changes:
        yield f"None came or went in {count(spans[-1], 'night')}." if spans else "There is no earlier state yet."
    for change in changes[:_CHANGES]:
        where = f"{code(change.manifest)} of {markdown(change.repository, 60)}"
        yield f"- {code(change.name, 80)} {change.change} in {where}, within {count(change.nights, 'night')}"
    if len(changes) > _CHANGES:
        yield f"- … and {len(changes) - _CHANGES:,} more"


def _hot(files: tuple[HotFile, ...]) -> Iterator[str]:
    if not files:
        yield "No file was touched twice."
    for file in files:
        yield f"- {code(file.path)} in {markdown(file.repository, 60)}: {file.commits} commits"


def chart(found: Evolution) -> Image:
    """Draw the commits of each night, the last one set apart."""
    nights, counts = list(found.commits_by_night), list(found.commits_by_night.values())
    busiest = max(range(len(counts)), key=counts.__getitem__)
    alt = (
        f"Bar chart of commits in each of the {COMPARED[-1]} nights to {nights[-1]}: {sum(counts):,} in all, "
        f"{counts[-1]:,} in the last, most in {nights[busiest]} with {counts[busiest]:,}."
    )

    def plot(axes: Axes, palette: Palette) -> None:
        colors = [palette.series[0]] * (len(counts) - 1) + [palette.series[1]]
        axes.bar(range(len(counts)), counts, color=colors)
        ticks = range(len(counts) - 1, -1, -7)
        axes.set_xticks(list(ticks), [nights[tick][5:] for tick in ticks])
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.set_ylim(bottom=0, top=None if any(counts) else 1)
        axes.set_ylabel("commits per night")

    return draw("commits-by-night", alt, plot)


def _signed(number: int) -> str:
    return f"+{number:,}" if number > 0 else f"{number:,}".replace("-", _MINUS)
