"""The settings of Dagster's part: what is accepted, what is refused, and that the secret is never quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.errors import ConfigError
from forge_workers.settings import load


def loaded(tmp_path: Path, **environ: str) -> object:
    """Return the section."""
    return load({"FORGE_HOME": str(tmp_path), "FORGE_TIMEZONE": "UTC", **environ}, cwd=tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://forge:pass%2Fword@db.example:5432/dagster",
        "postgres://forge@/dagster?host=/run/postgresql",
        "postgresql+psycopg2://forge:p@127.0.0.1/dagster",
        "postgresql://forge:p@[::1]:5432/dagster?sslmode=require",
    ],
)
def test_an_address_is_taken_as_people_write_it(tmp_path: Path, url: str) -> None:
    """The bare scheme means a driver that is not installed, so the driver is named."""
    settings = load(
        {"FORGE_HOME": str(tmp_path), "FORGE_TIMEZONE": "UTC", "FORGE_DAGSTER_POSTGRES_URL": url}, cwd=tmp_path
    )

    assert settings.dagster.postgres_url is not None
    kept = settings.dagster.postgres_url.get_secret_value()
    assert kept == f"postgresql+psycopg2://{url.split('://')[1]}"
    assert kept in settings.secrets
    assert kept not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "planted",
        "mysql://forge:planted@db/dagster",
        "postgresql+psycopg://forge:planted@db/dagster",
        "postgresql://forge:planted@db",
        "postgresql://forge:planted@db/",
        "postgresql://forge:plan/planted@db:5432/dagster",
        "postgresql://forge:[planted@db/dagster",
        "postgresql:forge:planted@db/dagster",
    ],
)
def test_an_address_that_cannot_work_is_refused_without_quoting_it(tmp_path: Path, url: str) -> None:
    """One line with what to write instead."""
    with pytest.raises(
        ConfigError, match="postgres_url in FORGE_DAGSTER_POSTGRES_URL: write postgresql://user"
    ) as caught:
        loaded(tmp_path, FORGE_DAGSTER_POSTGRES_URL=url)

    assert "planted" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "0"), ("PORT", "65536"), ("KEEP_DAYS", "0"), ("SERVICES", "maybe"), ("SERVICES", "1")],
)
def test_a_value_out_of_its_range_is_named(tmp_path: Path, variable: str, value: str) -> None:
    """With the variable it was set by."""
    with pytest.raises(ConfigError, match=f"in FORGE_DAGSTER_{variable}:"):
        loaded(tmp_path, **{f"FORGE_DAGSTER_{variable}": value})


def test_a_file_with_a_password_must_be_its_owners_alone(tmp_path: Path) -> None:
    """As for every other secret; the address may also come from a file of its own."""
    (tmp_path / "forge.toml").write_text('[dagster]\npostgres_url = "postgresql://u:planted@h/d"\n')
    (tmp_path / "forge.toml").chmod(0o644)
    with pytest.raises(ConfigError, match="holds a secret and others may read it: run chmod 600"):
        loaded(tmp_path)
    (tmp_path / "forge.toml").unlink()
    (tmp_path / "secret").write_text("postgresql://u:planted@h/d\n")
    loaded(tmp_path, FORGE_DAGSTER_POSTGRES_URL_FILE=str(tmp_path / "secret"))
