"""Leases that are broken on purpose: the controls that prove a check sees what it claims to see."""

from __future__ import annotations

from forge_workers.gpu.held import Lease
from forge_workers.gpu.lease import Leases
from forge_workers.wire import Script

Change = tuple[str, str]

PLAIN_DELETE = (
    "if not is_mine() then return 0 end\n  redis.call('DEL', lease, holder)",
    "redis.call('DEL', lease, holder)",
)
RECREATE = ("if not is_mine() then return 0 end\n  extend()", "redis.call('SET', lease, token, 'PX', ttl_ms)")
LAST_COME_FIRST = ("for _, one in ipairs(line) do", "for at = #line, 1, -1 do local one = line[at]")
FORGETFUL = ("redis.call('INCR', term)", "redis.call('INCRBY', term, 0) + 1")
GRANT_THE_DEAD = ("if facts[1] then", "if not facts[1] then facts = {at, 0, '', 0} end if true then")
REVIVE = (
    "redis.call('RENAME', waiter(chosen), holder)",
    "redis.call('HSET', holder, 'class', 0, 'purpose', '', 'pid', 0, 'host', '', 'model', '', 'overtaken', 0)",
)
BARGE = ("redis.call('RPUSH', queue, token) end", "redis.call('LPUSH', queue, token) end")
JOIN_TWICE = (
    "if not redis.call('LPOS', queue, token) then redis.call('RPUSH', queue, token) end",
    "redis.call('RPUSH', queue, token)",
)
NO_PRIORITIES = ("if one.class == lowest then", "if true then")
NO_AGEING = ("math.max(0, facts[2] - fallen)", "tonumber(facts[2])")
NO_AFFINITY = ("if not loaded or one.model == loaded then", "if true then")
UNLIMITED_AFFINITY = ("if one.overtaken >= tonumber(k) then break end", "")
GRANT_AT_ONCE = ("return math.max(0, quiet_ms + 1000 - 1000 * up)", "return 0")
BELIEVE_NO_PROOF = ("back_ms = proof and 0 or held_back_ms()", "back_ms = held_back_ms()")


def break_script(leases: Leases, *changes: Change) -> Leases:
    """Return ``leases`` working with a script in which ``changes`` were made."""
    text = leases.script.script.text
    for change in changes:
        assert text.count(change[0]) == 1, change
        text = text.replace(*change)
    leases.script.script = Script(text)
    return leases


def trust_from_the_reply(lease: Lease) -> Lease:
    """Make ``lease`` count its time from now instead of from its request, as most lock libraries do."""
    lease.trust_from(lease._leases.clock(), lease._leases.ttl_s)
    return lease
