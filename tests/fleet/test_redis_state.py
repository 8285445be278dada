"""A Redis that is away, full, a replica, too old, or refuses a password: each is said so that a person can act."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from forge_workers.catalog import WORKERS
from forge_workers.errors import ConfigError, ForgeError, Transient
from forge_workers.fleet import redis_state
from forge_workers.jobs.spool import Producer
from forge_workers.wire import Wire
from tests.standins.old_redis import server_of_version
from tests.standins.redis import PrivateRedis


def url_of(server: PrivateRedis) -> str:
    """Return where a server listens."""
    return f"unix://{server.socket}"


def test_a_redis_that_fares_well_is_described(redis_server: PrivateRedis) -> None:
    """Which server, which version, how much memory; nothing is wrong."""
    found = redis_state.look(Wire(url_of(redis_server)), "there")

    assert (found.state, found.address, found.server, found.version) == ("up", "there", "valkey", "9.1.2")
    assert found.used_bytes is not None
    assert (found.most_bytes, found.problem) == (None, "")


def test_a_redis_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    """Nothing raises; the reason is kept."""
    found = redis_state.look(Wire(f"unix://{tmp_path}/none"), "there")

    assert found.state == "away"
    assert "no Redis answers at" in found.problem
    with pytest.raises(Transient, match="start Redis or correct FORGE_REDIS_URL"):
        redis_state.require(Wire(f"unix://{tmp_path}/none"))


def test_a_full_redis_says_what_to_raise(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Both the look and a refused job name maxmemory, and nothing is spooled behind the person's back."""
    redis_server.client().config_set("maxmemory", 1)
    wire = Wire(url_of(redis_server))

    found = redis_state.look(wire, "there")

    assert (found.state, found.problem.split(":")[0]) == ("unfit", "Redis is full")
    with pytest.raises(Transient, match="Redis is full: raise its maxmemory"), redis_state.in_plain_words():
        Producer(wire, tmp_path, WORKERS).enqueue("health_check", {})
    assert not (tmp_path / "spool" / "jobs.jsonl").exists()


def test_a_replica_is_named_as_one(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A replica takes no job, and the person is sent to its primary."""
    client = redis_server.client()
    client.replicaof("127.0.0.1", "9")
    wire = Wire(url_of(redis_server))

    try:
        with pytest.raises(ConfigError, match="read-only replica: set FORGE_REDIS_URL to its primary"):
            redis_state.require(wire)
        with pytest.raises(Transient, match="read-only replica"), redis_state.in_plain_words():
            Producer(wire, tmp_path, WORKERS).enqueue("health_check", {})
    finally:
        client.replicaof("NO", "ONE")


def test_a_refused_password_names_the_setting(redis_server: PrivateRedis) -> None:
    """A wrong or missing password is no server that is away, and is never shown."""
    client = redis_server.client()
    client.config_set("requirepass", "right")
    try:
        for login in ("", ":wr0ng@"):
            found = redis_state.look(Wire(f"unix://{login}{redis_server.socket}"), "there")
            assert found.state == "unfit"
            assert "FORGE_REDIS_URL" in found.problem
            assert "wr0ng" not in found.problem
    finally:
        redis.Redis(unix_socket_path=str(redis_server.socket), password="right").config_set("requirepass", "")


@pytest.mark.parametrize(("version", "fits"), [("6.2.14", False), ("5.0.7", False), ("7.0.15", True), ("8.2.1", True)])
def test_a_redis_that_is_too_old_is_refused_by_version(tmp_path: Path, version: str, fits: bool) -> None:
    """The line names the version that is there and the one that is needed."""
    with server_of_version(tmp_path, version) as url:
        found = redis_state.look(Wire(url), "there")

        assert found.state == ("up" if fits else "unfit")
        if not fits:
            assert f"the server is {version}, Forge needs 7.0" in found.problem
            with pytest.raises(ForgeError, match=r"Forge needs 7\.0"):
                redis_state.require(Wire(url))
