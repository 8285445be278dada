"""Leases that are broken on purpose: the controls that prove a check sees what it claims to see."""

from __future__ import annotations

from forge_workers.gpu.lease import _SCRIPT, Lease, Leases

PLAIN_DELETE = (
    "if not is_mine() then return 0 end\n  redis.call('DEL', lease, holder)",
    "redis.call('DEL', lease, holder)",
)
RECREATE = ("if not is_mine() then return 0 end\n  extend(ARGV[3])", "redis.call('SET', lease, token, 'PX', ARGV[3])")
LAST_COME_FIRST = ("redis.call('LPOP', queue)", "redis.call('RPOP', queue)")
FORGETFUL = ("redis.call('INCR', term)", "redis.call('INCRBY', term, 0) + 1")
GRANT_THE_DEAD = (
    "if redis.call('EXISTS', waiter(next_token)) == 1 then",
    "if true then redis.call('HSET', waiter(next_token), 'purpose', '', 'pid', 0, 'host', '')",
)
BARGE = (
    "redis.call('RPUSH', queue, token) end",
    "redis.call('LPUSH', queue, token) end",
)
JOIN_TWICE = (
    "if not redis.call('LPOS', queue, token) then redis.call('RPUSH', queue, token) end",
    "redis.call('RPUSH', queue, token)",
)


def break_script(leases: Leases, change: tuple[str, str]) -> Leases:
    """Return ``leases`` working with a script in which ``change`` was made."""
    script = _SCRIPT.read_text(encoding="utf-8")
    assert script.count(change[0]) == 1, change
    leases._script = leases._client.register_script(script.replace(*change))
    return leases


def trust_from_the_reply(lease: Lease) -> Lease:
    """Make ``lease`` count its time from now instead of from its request, as most lock libraries do."""
    lease._trust_from(lease._leases.clock())
    return lease
