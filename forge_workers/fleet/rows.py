"""Whether every row's functions are there, without loading them.

A function's module may cost half a second and 60 MB to import, times twelve; its source says as well whether it is
there. Belongs here: that look. Does not belong here: importing what a row names (``catalog.resolve``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from forge_workers.catalog import Worker
from forge_workers.errors import ConfigError


def check(rows: Iterable[Worker]) -> None:
    """Look for what each row names.

    Raises:
        ConfigError: It is not there; the message names the row and the function.
    """
    for row in rows:
        for path in (row.function, *row.upstream.values(), *filter(None, (row.watch,))):
            missing = _missing(path)
            if missing:
                raise ConfigError(f"worker {row.name}: {missing}: correct its row in forge_workers/catalog.py")


def _missing(path: str) -> str | None:
    """Say what ``module:name`` lacks, None when it is there."""
    module, _, name = path.partition(":")
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return f"there is no module {module}"
    try:
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        return f"{module} cannot be read ({error})"
    return None if name in set(_names(tree.body)) else f"{module} has no {name}"


def _names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield what a module's own statements bind."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id
        elif isinstance(statement, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in statement.names)
