"""From a TOML file and ``FORGE_*`` variables to one tree of plain values, with the name of each mistake's source.

Belongs here: where settings come from. Does not belong here: which there are and what they mean, which is
``settings.py``, the only caller.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr

from forge_workers.errors import ConfigError


def from_file(path: Path) -> dict[str, Any]:
    """Return what the file says, nothing when there is none.

    Raises:
        ConfigError: It is not TOML, cannot be read, or holds a secret that others may read.
    """
    try:
        with path.open("rb") as file:
            chosen = tomllib.load(file)
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if mode & 0o077 and any(_holds_secret(key, value) for key, value in leaves(chosen).items()):
        raise ConfigError(f"{path} holds a secret and others may read it: run chmod 600 {path}")
    return chosen


def _holds_secret(key: str, value: Any) -> bool:
    return key.endswith("token") or (key in {"redis_url", "dagster.postgres_url"} and "@" in str(value))


def from_environ(environ: Mapping[str, str], section: type[BaseModel]) -> dict[str, tuple[str, Any]]:
    """Map setting keys to (variable, value); lists are separated as PATH is.

    Args:
        environ: The environment.
        section: The model whose fields may be set.

    Raises:
        ConfigError: A ``FORGE_*`` variable names no field, is set twice, or does not parse.
    """
    fields = _fields(section)
    by_name = {"FORGE_" + key.upper().replace(".", "_"): key for key in fields}
    found: dict[str, tuple[str, Any]] = {}
    for variable in sorted(name for name in environ if name.startswith("FORGE_")):
        base = variable.removesuffix("_FILE")
        if variable in by_name:
            key, text = by_name[variable], environ[variable]
        elif base in by_name and _is_secret(fields[by_name[base]]):
            key, text = by_name[base], _secret_file(variable, environ[variable])
        else:
            guess = meant(base.removeprefix("FORGE_").lower().replace("_", "."), section)
            raise ConfigError(f"{variable} is no setting of Forge: {guess}")
        if key in found:
            raise ConfigError(f"{found[key][0]} and {variable} are both set: keep one")
        found[key] = (variable, _parsed(text, fields[key], variable))
    return found


def meant(key: str, section: type[BaseModel]) -> str:
    """Say which setting may have been meant by ``key``, or where all of them stand."""
    keys = list(_fields(section))
    last = key.rpartition(".")[2]
    near = difflib.get_close_matches(key, keys, n=1) or [k for k in keys if k.rpartition(".")[2] == last]
    return f"did you mean {near[0]}?" if near else "see forge.example.toml for the keys"


def _secret_file(variable: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable}: cannot read {path}: {getattr(error, 'strerror', error)}") from None


def _parsed(text: str, annotation: Any, variable: str) -> Any:
    """Turn a variable's text into what the field's type wants."""
    kind = _core(annotation)
    if get_origin(kind) is tuple:
        separator = "," if variable == "FORGE_GITHUB_REPOSITORIES" else os.pathsep
        return [part for part in text.split(separator) if part]
    if kind in {int, float}:
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{variable} must be a number, not {text!r:.60}") from None
    if kind is bool and text in {"true", "false"}:
        return text == "true"
    return text


def _core(annotation: Any) -> Any:
    """Strip ``Annotated`` and ``| None`` from a type."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif type(None) in get_args(annotation):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        else:
            return annotation


def _is_secret(annotation: Any) -> bool:
    return _core(annotation) is SecretStr


def _fields(section: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Map every dotted key of ``section`` to its type."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        kind = _core(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _fields(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = field.annotation
    return found


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every value of ``tree`` under its dotted key."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key.

    Raises:
        ConfigError: What should be a table is none.
    """
    *path, last = key.split(".")
    for name in path:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key.rpartition('.')[0]} must be a table, as [{key.rpartition('.')[0]}] in forge.toml")
    tree[last] = value


def as_tuples(value: Any) -> Any:
    """Make every list in a tree a tuple: settings are frozen."""
    if isinstance(value, dict):
        return {key: as_tuples(v) for key, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
