"""The ``forge`` command as a user types it: one clear line for wrong input, and the right exit code."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.standins.forge import Forge, forge_in
from tests.standins.repositories import Repo, bare, empty

TOMORROW = (date.today() + timedelta(days=2)).isoformat()  # noqa: DTZ011  two days: no time zone is further ahead


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    """A Forge on one small repository, never asked to do anything."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"})
    return Forge(tmp_path / "forge", repo.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["night", "--date", "yesterday"], "forge: night 'yesterday' is not a day: write it as YYYY-MM-DD"),
        (["night", "--date", TOMORROW], f"forge: the night {TOMORROW} has not begun: today is "),
        (["night", "--date", "2014-12-31"], "forge: the night 2014-12-31 lies before the first night Forge knows"),
        (["night", "--date", "2026-02-30"], "forge: night '2026-02-30' is not a day"),
        (["night", "--date", "../../etc"], "forge: night '../../etc' is not a day"),
        (["night", "--repo", "/nowhere/at/all"], "forge: --repo /nowhere/at/all: "),
        (["briefing"], "forge: there is no briefing yet: run `forge night`"),
        (
            ["briefing", "--date", "2026-03-01"],
            "forge: there is no briefing of 2026-03-01 yet: run `forge night --date",
        ),
        (["briefing", "--date", "x"], "forge: night 'x' is not a day"),
        (["dismiss", "abcd", "--because", "it is a test"], "forge: no stored night has a finding"),
        (["dismiss", "abcd", "--because", " "], "forge: "),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(forge: Forge, arguments: list[str], said: str) -> None:
    """What is wrong is named, what to write instead is said, and nothing has been done."""
    done = forge.run(*arguments)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(said), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.slow
def test_a_directory_that_is_no_repository_is_refused_by_name(forge: Forge, tmp_path: Path) -> None:
    """A path given on the command line must hold a repository."""
    (tmp_path / "notes").mkdir()

    done = forge.run("night", "--repo", str(tmp_path / "notes"))

    assert done.returncode == 2
    assert done.stderr.startswith(f"forge: --repo {tmp_path / 'notes'}: ")


@pytest.mark.slow
def test_a_wrong_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """Every command names the key, and none shows a traceback."""
    forge = Forge(tmp_path / "forge", FORGE_MODELS_TIMEOUT_S="long")

    for command in (["night"], ["status"], ["doctor"], ["gpu"]):
        done = forge.run(*command)

        assert (done.returncode, done.stderr) == (2, "forge: FORGE_MODELS_TIMEOUT_S must be a number, not 'long'\n")


@pytest.mark.slow
def test_a_home_that_cannot_be_made_is_one_line_that_names_it(tmp_path: Path) -> None:
    """Nobody can make a directory in /proc, and macOS has no such directory: no command shows a traceback."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"})
    forge = Forge(Path("/proc/forge"), repo.path)

    for command in (["night", "--date", "2026-03-01"], ["gpu"]):
        done = forge.run(*command)

        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("forge: /proc/forge")
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_redis_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    """The address that was set is told; the password in it is not."""
    forge = Forge(tmp_path / "forge", FORGE_REDIS_URL="redis://:hush-hush@127.0.0.1:9/0")

    done = forge.run("gpu")

    assert done.returncode == 2
    assert "127.0.0.1:9" in done.stderr
    assert "hush" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_gpu_doctor_and_down_on_a_fresh_home(tmp_path: Path) -> None:
    """The lease is free, the doctor names the server and its settings, and down stops it once."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"})
    with forge_in(tmp_path, repo.path) as forge:
        gpu, doctor = forge.run("gpu"), forge.run("doctor")
        downs = [forge.run("down").stdout for _ in range(2)]

    assert (gpu.returncode, gpu.stdout) == (0, "GPU local:0 is free\n")
    assert "valkey" in doctor.stdout.lower()
    assert "noeviction" in doctor.stdout
    assert downs == ["Redis is stopped.\n", "Redis was not running.\n"]


@pytest.mark.slow
def test_help_names_every_exit_code(forge: Forge) -> None:
    """A script that calls forge can look up what its codes mean."""
    shown = " ".join(forge.run("--help").stdout.split())

    for meaning in ("0 fine; 1 a step of the night failed", "2 wrong usage or settings; 130 stopped"):
        assert meaning in shown


@pytest.mark.slow
@pytest.mark.parametrize("make", [empty, bare], ids=["empty", "bare"])
def test_a_repository_that_cannot_be_digested_is_told_before_the_night(forge: Forge, tmp_path: Path, make) -> None:
    """A repository without a commit or without a work tree is refused by name when it was asked for by name."""
    made = make(tmp_path / "odd")
    path = made if isinstance(made, Path) else made.path

    done = forge.run("night", "--repo", str(path), "--date", "2026-03-01")

    assert done.returncode == 2
    assert done.stderr.startswith(f"forge: --repo {path}: ")
