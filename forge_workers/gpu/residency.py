"""What sits in the GPU's memory: who put it there without the lease, and seeing it really go.

An unloaded model is not gone when its server says so: the answer comes before the unloading, and a runner may keep its
gigabytes after it has vanished from the list (ollama/ollama#17792). So the memory in use is measured before and after.

Belongs here: those two decisions, pure, and the thin doing around the second. Does not belong here: asking a server
(``ollama_memory.py``), or what is told about it (``coordinator.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

#: Part of what the models claimed that must come back: the list counts what a runner asked for, and the rest of the
#: machine goes on taking and giving memory meanwhile.
_SHARE = 0.8
#: Looks in a row that must show it, so that a dip in somebody else's use does not pass for a release.
_STEADY = 3
#: Seconds between two looks; macOS takes one to hand back what a process wired.
_LOOK_S = 0.5
#: Longest wait in seconds: a server waits for its last answer first, and then up to 5 s for the memory.
_DEADLINE_S = 60.0
#: Seconds by which two readings of the same moment may differ.
_JITTER_S = 2.0


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Attributes:
        name: Its name with its tag.
        size_bytes: The memory it takes.
        expires_at: When it goes unless it is used, UTC unix seconds. A use moves it once it has ended.
    """

    name: str
    size_bytes: int
    expires_at: float


@dataclass(frozen=True)
class Look:
    """Lease and memory at one moment.

    Attributes:
        at: UTC unix seconds.
        term: Number of the newest grant.
        is_held: Whether somebody holds the lease.
        model: The model the holder works with, None when it did not say.
        models: What is in memory.
    """

    at: float
    term: int
    is_held: bool
    model: str | None
    models: tuple[Loaded, ...]


@dataclass(frozen=True)
class Release:
    """What came of unloading everything.

    Attributes:
        unloaded: The models, by name.
        claimed_bytes: Memory they took, as their server listed it.
        released_bytes: By how much the memory in use fell.
        seconds: How long it took.
        verified: The memory came back and stayed back.
        why: The same for people.
    """

    unloaded: tuple[str, ...]
    claimed_bytes: int
    released_bytes: int
    seconds: float
    verified: bool
    why: str


class Memory(Protocol):
    """A model server's memory."""

    def loaded(self) -> tuple[Loaded, ...]:
        """Return every model in it."""

    def unload(self, name: str) -> None:
        """Ask for one to be unloaded; the answer does not wait for it."""


def use_without_lease(before: Look | None, after: Look) -> tuple[str, ...]:
    """Say who used the GPU outside the lease, one sentence each.

    A holder may use what it said, or anything when it said nothing. Otherwise, of each model in memory:

    1. It was not there before, and nobody who may load it came in between: somebody loaded it.
    2. Its expiry has moved on since: somebody used it.
    3. Its expiry has passed and it is still there, with the lease free: it is being used.

    Args:
        before: An earlier look, None when there is none.
        after: The look to judge.
    """
    if after.is_held and after.model is None:
        return ()
    no_turn = before is not None and (before.term, before.is_held) == (after.term, after.is_held)
    earlier = {model.name: model.expires_at for model in before.models} if before is not None and no_turn else None
    found = []
    for model in after.models:
        if after.is_held and model.name == after.model:
            continue
        if earlier is not None and model.name not in earlier:
            found.append(f"{model.name} was loaded without the GPU lease")  # 1
        elif earlier is not None and model.expires_at > earlier[model.name] + _JITTER_S:
            found.append(f"{model.name} was used without the GPU lease")  # 2
        elif not after.is_held and model.expires_at < after.at - _JITTER_S:
            found.append(f"{model.name} is being used without the GPU lease")  # 3
    return tuple(found)


def judge(claimed: int, used: Sequence[int], listed: Sequence[str]) -> tuple[bool, str]:
    """Say whether the memory has come back, and why.

    1. A model is still listed: no.
    2. The last looks all show that enough came back: yes.
    3. Otherwise, also when it came back and was taken again: not yet.

    Args:
        claimed: Bytes that the unloaded models took.
        used: Bytes in use, the first before unloading, the others after.
        listed: Unloaded models that are still listed.
    """
    if listed:
        return False, f"{', '.join(listed)} is still listed"  # 1
    back = [used[0] - reading for reading in used[1:][-_STEADY:]]
    if len(back) == _STEADY and min(back) >= _SHARE * claimed:
        return True, f"{_gb(min(back))} of {_gb(claimed)} came back and stayed back"  # 2
    return False, f"only {_gb(max(0, min(back, default=0)))} of {_gb(claimed)} came back"  # 3


def unload_all(
    memory: Memory, in_use: Callable[[], int], *, clock: Callable[[], float], pause: Callable[[float], None]
) -> Release:
    """Unload every model and wait until its memory is seen to be free, a minute at most.

    Args:
        memory: The server's.
        in_use: Measures the bytes in use on this machine, or on its device.
        clock: Seconds that only rise.
        pause: Waits so many seconds.

    Raises:
        Transient: The server does not answer; some may be unloaded.
    """
    began, used, models = clock(), [in_use()], memory.loaded()
    claimed = sum(model.size_bytes for model in models)
    if not models:
        return Release((), 0, 0, 0.0, verified=True, why="no model was listed, so there was nothing to measure")
    names = tuple(model.name for model in models)
    for name in names:
        memory.unload(name)
    while True:
        pause(_LOOK_S)
        used.append(in_use())
        verified, why = judge(claimed, used, [model.name for model in memory.loaded() if model.name in names])
        if verified or clock() - began >= _DEADLINE_S:
            return Release(names, claimed, max(0, used[0] - used[-1]), clock() - began, verified=verified, why=why)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
