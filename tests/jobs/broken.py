"""Queues that are broken on purpose: the controls that prove a check sees what it claims to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forge_workers.wire import Script, Wire

Change = tuple[str, str]

_MOVE = "job = redis.call('LMOVE', waiting, mine, 'LEFT', 'RIGHT')"
_HELD = "if redis.call('LREM', mine, 1, job) == 0 then return {0, false, false} end"
_STILL_HELD = "if not redis.call('LPOS', mine, job) then return {0, false, false} end"
_SILENT = "if redis.call('EXISTS', alive(of)) == 0 then"
#: By age: taken back 0.3 s after it began, as a fixed visibility timeout does.
_BY_AGE = (
    "local facts = cjson.decode(redis.call('HGET', claims, of)) "
    "if facts.job ~= '' and facts.job and now - facts.job_since > 0.3 then"
)

#: What each flaw changes in ``queue.lua``.
FLAWS: Mapping[str, tuple[Change, ...]] = {
    "": (),
    "plain pop": ((_MOVE, "job = redis.call('LPOP', waiting)"), (_HELD, ""), (_STILL_HELD, "")),
    "acknowledged before the effect": ((_HELD, ""), (_STILL_HELD, "")),
    "two-step claim": ((_MOVE, "job = false"),),
    "reaped by age": ((_SILENT, _BY_AGE),),
    "no look at its own list": (("local job = redis.call('LINDEX', mine, 0)", "local job = false"),),
    "acknowledged without the token": ((_HELD, "redis.call('LREM', mine, 1, job)"), (_STILL_HELD, "")),
}

#: Flaws in the script alone, for its model.
SCRIPTS: Mapping[str, Change] = {
    "keys outlive their job": ("if redis.call('HGET', keys, key) == id then redis.call('HDEL', keys, key) end", ""),
    "keys are taken before looking": (
        "if sure == '1' and is_here(job, id) then return",
        "if key ~= '' then redis.call('HSETNX', keys, key, id) end if sure == '1' and is_here(job, id) then return",
    ),
    "forgets who was put back": ("redis.call('HINCRBY', deaths, id, 0)\n      count(how)", "count(how)"),
    "looks only where claims stand": ("redis.call('KEYS', inflight('*'))", "{}"),
    "serves strangers": ("if redis.call('HEXISTS', claims, claim) == 0 then return {false, false} end", ""),
    "reclaims to the tail": (
        "redis.call('LPUSH', waiting, job)\n    end",
        "redis.call('RPUSH', waiting, job)\n    end",
    ),
    "counts no deaths": ("redis.call('HINCRBY', deaths, id, 1)", "1"),
    "reclaims from the living": ("redis.call('EXISTS', alive(of)) == 0", "true"),
    "hands back in reverse": ("waiting, 'RIGHT', 'LEFT')", "waiting, 'LEFT', 'LEFT')"),
    "urgent is not": ("head == '1' and 'LPUSH' or 'RPUSH'", "'RPUSH'"),
    "last in first out": ("'LMOVE', waiting, mine, 'LEFT', 'RIGHT'", "'LMOVE', waiting, mine, 'RIGHT', 'RIGHT'"),
    "buries without bound": ("redis.call('LTRIM', dead, 0, most - 1)", ""),
    "a claim outlives being taken back": (
        "redis.call('HDEL', claims, of)\n  redis.call('DEL', alive(of))\n  while true do",
        "while true do",
    ),
    "no look at its own list": FLAWS["no look at its own list"][0],
    "acknowledged without the token": FLAWS["acknowledged without the token"][0],
}


class ChangedWire(Wire):
    """A way to Redis on which scripts are changed.

    Args:
        url: As of ``Wire``.
        changes: What is changed in every script.
    """

    def __init__(self, url: str, changes: Sequence[Change]) -> None:
        super().__init__(url)
        self._changes = changes
        self._scripts: dict[str, Script] = {}

    def run(self, script: Script, keys: Sequence[Any], *args: Any) -> Any:
        """Run the changed script."""
        if script.digest not in self._scripts:
            self._scripts[script.digest] = changed(script, *self._changes)
        return super().run(self._scripts[script.digest], keys, *args)


class BrokenWire(ChangedWire):
    """A way to Redis on which the queue's script is another, and moves may not be atomic.

    Args:
        url: As of ``Wire``.
        flaw: One of :data:`FLAWS`.
    """

    def __init__(self, url: str, flaw: str) -> None:
        super().__init__(url, FLAWS[flaw])
        self._flaw = flaw

    def call(self, *words: Any, wait_s: float = 0.0) -> Any:
        """Send a command; a blocking move becomes what the flaw makes of it."""
        if words[0] != "BLMOVE" or self._flaw not in {"plain pop", "two-step claim", "acknowledged before the effect"}:
            return super().call(*words, wait_s=wait_s)
        if self._flaw == "acknowledged before the effect":
            return self._acknowledged(words[2], super().call(*words, wait_s=wait_s))
        popped = super().call("BLPOP", words[1], words[5], wait_s=wait_s)
        if popped is not None and self._flaw == "two-step claim":
            super().call("RPUSH", words[2], popped[1])
        return popped and popped[1]

    def run(self, script: Script, keys: Sequence[Any], *args: Any) -> Any:
        """Run the script as the flaw has it, and do in a second step what it does not do in one."""
        reply = super().run(script, keys, *args)
        if args[0] not in {"fetch", "finish"}:
            return reply
        place, mine = len(reply) - 2, f"{keys[0]}:inflight:{args[1]}"
        if self._flaw == "acknowledged before the effect":
            self._acknowledged(mine, reply[place])
        if self._flaw == "two-step claim" and reply[place] is None and (args[0] == "fetch" or args[-1] == 1):
            reply[place] = super().call("LPOP", f"{keys[0]}:waiting")
            if reply[place] is not None:
                super().call("RPUSH", mine, reply[place])
        return reply

    def _acknowledged(self, mine: str, job: bytes | None) -> bytes | None:
        if job is not None:
            super().call("LREM", mine, 1, job)
        return job


def changed(script: Script, *changes: Change) -> Script:
    """Return ``script`` with ``changes`` made.

    Raises:
        LookupError: A change does not find its one place; no AssertionError, which would count as caught.
    """
    text = script.text
    for change in changes:
        if text.count(change[0]) != 1:
            raise LookupError(change)
        text = text.replace(*change)
    return Script(text)


def wire_to(url: str, flaw: str) -> Wire:
    """Return a sound way to Redis, or one with a flaw."""
    return BrokenWire(url, flaw) if flaw else Wire(url)
