"""Languages by file name."""

from __future__ import annotations

import pytest

from forge_workers.git import language


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.py", "Python"), ("b.pyi", "Python"), ("x.tsx", "TypeScript"), ("x.ts", "TypeScript"),
        ("Makefile", "Makefile"),
        ("Dockerfile", "Dockerfile"), ("a.h", "C++"), ("a.c", "C"), ("a.ipynb", "Jupyter"), ("pyproject.toml", "TOML"),
        ("run.sh", "Shell"), ("a.bin", None), ("LICENSE", None), ("", None), ("x/", None),
    ],
)  # fmt: skip
def test_languages_go_by_the_file_name(path: str, name: str | None) -> None:
    """One display name each; a name that tells nothing has none."""
    assert language(path) == name
