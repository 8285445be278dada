"""The house itself: the documents say what is there, and the lock files pin what is installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from forge_workers.cli import app

ROOT = Path(__file__).parents[1]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def test_the_readme_names_every_command() -> None:
    """A command that the README does not show cannot be found."""
    readme = (ROOT / "README.md").read_text()
    commands = get_command(app).commands  # type: ignore[attr-defined]

    assert [name for name in commands if f"forge {name}" not in readme] == []


def test_every_command_the_documents_show_exists() -> None:
    """A document never shows a command or a make target that is gone."""
    text = "\n".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    shown = set(re.findall(r"`forge ([a-z]+)", text)) | set(re.findall(r"^forge ([a-z]+)", text, re.MULTILINE))
    targets = set(re.findall(r"make ([a-z]+)", text))
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert shown <= set(get_command(app).commands)  # type: ignore[attr-defined]
    assert targets <= made


def test_every_file_the_documents_link_to_is_there() -> None:
    """A link inside the repository leads somewhere."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "BENCHMARKS.md"):
        links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / name).read_text())
        links += re.findall(r'(?:src|srcset)="([^"]+)"', (ROOT / name).read_text())

        assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_a_lock_file_pins_every_package_by_hash_and_names_no_index(lock: Path) -> None:
    """What is installed is what was locked, from whatever index the machine is set to."""
    text = lock.read_text()
    packages = re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE)
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]

    assert len(packages) > 5
    assert all("--hash=sha256:" in entry for entry in entries)
    assert re.search(r"https?://|index-url|find-links|trusted-host", text) is None


def test_the_locks_cover_what_the_project_asks_for() -> None:
    """No dependency is left to be resolved on the user's machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(re.findall(r"^(\S+?)==", (ROOT / "requirements.lock").read_text().lower(), re.MULTILINE))
    asked = {re.split(r"[\[<>=~!; ]", d, maxsplit=1)[0].lower().replace("_", "-") for d in project["dependencies"]}

    assert asked <= {name.replace("_", "-").split("[")[0] for name in locked}


def test_a_python_that_is_too_old_gets_one_line(tmp_path: Path) -> None:
    """The set-up says which Python to install instead of failing somewhere inside."""
    source = (ROOT / ".ci" / "bootstrap.py").read_text().replace("sys.version_info", "(3, 9, 2)")

    done = subprocess.run(
        [sys.executable, "-c", source, "requirements.lock"], capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert done.returncode == 2
    assert re.match(r"Forge needs Python 3.11 to 3.1\d and found 3.9.2: install one and run make PYTHON=", done.stderr)
    assert done.stderr.count("\n") == 1


def test_every_test_states_its_rule() -> None:
    """Each test function carries one sentence that says what it holds."""
    tests = [
        node
        for path in ROOT.glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]

    assert [test.name for test in tests if not ast.get_docstring(test)] == []


def test_no_file_outgrows_its_room() -> None:
    """Past 500 lines a file is split."""
    sources = [p for d in ("forge_assets", "forge_workers", "tests") for p in (ROOT / d).rglob("*.py")]

    assert [p.name for p in sources if len(p.read_text().splitlines()) > 500] == []
