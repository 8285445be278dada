"""The one error tree of Forge. A class's docstring is its default message.

Belongs here: errors that a caller handles differently from others. Does not belong here: an error with one
raiser and one handler in the same module.
"""

from __future__ import annotations


class ForgeError(Exception):
    """Something in Forge failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class Transient(ForgeError):
    """A passing fault; another attempt is worth making."""


class Permanent(ForgeError):
    """Another attempt would end the same way."""


class Snooze(ForgeError):
    """Not our turn yet; come back later without counting an attempt."""

    def __init__(self, delay_s: float, message: str | None = None) -> None:
        super().__init__(message)
        self.delay_s = delay_s


class LeaseLost(ForgeError):
    """The GPU lease is no longer held; stop using the device now."""


class BadArgs(ForgeError):
    """The arguments do not fit; nothing was done."""


class ConfigError(ForgeError):
    """A setting is wrong; the message names its key."""


class Damaged(Permanent):
    """A stored file does not match its manifest."""
