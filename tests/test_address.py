"""What a daemon must know before it has settings: the same as the settings say, or one line that names the mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.address import home_of, model_of, redis_url_of, short_socket, socket_path
from forge_workers.errors import ConfigError
from forge_workers.settings import load


@pytest.mark.parametrize(
    ("toml", "environ"),
    [
        ("", {}),
        ('redis_url = "redis://127.0.0.1:7000/2"\n[models]\ngenerate = "small:1b"\n', {}),
        ('redis_url = "redis://127.0.0.1:7000/2"\n', {"FORGE_REDIS_URL": "unix:///x.sock"}),
        ('[models]\ngenerate = "small:1b"\n', {"FORGE_MODELS_GENERATE": "other:2b"}),
    ],
)
def test_it_finds_what_the_settings_say(tmp_path: Path, toml: str, environ: dict[str, str]) -> None:
    """A variable wins over the file, the file over the default, here as there."""
    (tmp_path / "forge.toml").write_text(toml, encoding="utf-8")
    environ = {**environ, "FORGE_HOME": str(tmp_path)}
    settings = load(environ, cwd=tmp_path)
    chosen = settings.redis_url.get_secret_value() if settings.redis_url else f"unix://{socket_path(tmp_path)}"

    assert home_of(environ) == settings.home
    assert redis_url_of(environ, tmp_path) == chosen
    assert model_of(environ, tmp_path) == settings.models.generate


def test_a_secret_url_may_stand_in_a_file(tmp_path: Path) -> None:
    """As for the settings."""
    (tmp_path / "url").write_text("redis://:secret@127.0.0.1/0\n", encoding="utf-8")

    assert redis_url_of({"FORGE_REDIS_URL_FILE": str(tmp_path / "url")}, tmp_path) == "redis://:secret@127.0.0.1/0"


@pytest.mark.parametrize(
    ("toml", "environ", "said"),
    [
        ("redis_url = [", {}, "forge.toml cannot be read"),
        ("", {"FORGE_REDIS_URL": "http://x"}, "redis_url: write redis://"),
        ("", {"FORGE_REDIS_URL_FILE": "/none"}, "FORGE_REDIS_URL_FILE: cannot read /none"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, toml: str, environ: dict[str, str], said: str) -> None:
    """It names where to correct it."""
    (tmp_path / "forge.toml").write_text(toml, encoding="utf-8")

    with pytest.raises(ConfigError, match=said):
        redis_url_of(environ, tmp_path)


def test_a_socket_s_path_always_fits(tmp_path: Path) -> None:
    """Two long homes do not share one."""
    deep = [tmp_path / (name * 90) / "run" for name in "ab"]
    short = [short_socket(folder, "x.sock") for folder in deep]

    assert all(len(str(path).encode()) <= 103 for path in short)
    assert short[0] != short[1]
    assert short_socket(Path("/run/f"), "x.sock") == Path("/run/f/x.sock")
