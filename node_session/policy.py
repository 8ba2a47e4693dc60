"""The rules by which a program keeps its sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TRUSTED_FOR = 0.01
"""Seconds for which a request trusts that its session is still there.

A longer request asks the store before it sends the cookie again: otherwise a slow background request that ends after a
login or logout would overwrite the new cookie with the old one. Shorter delays also happen on the way to the client."""


# An unchanged session is renewed when it has been idle for these milliseconds, but for no longer than a twentieth and
# no shorter than a hundredth of its lifetime. It may expire this much too early; in return, not each click writes.
_RENEWED_AFTER = 15_000


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules for all sessions of a program, named as in `Config`; times in ms."""

    lifetime: float = 0
    """Time for which a session may be idle, if it has no lifetime of its own; 0: for ever."""

    strict: bool = False
    """Replace an id that has no record by a fresh one when the session starts."""

    save_timeout: float = 5_000
    """Time limit for merging during a save, before `UnavailableError`."""

    save_uninitialized: bool = True
    """Store a new session even if it is empty, and make its CSRF token when it starts."""

    absolute_lifetime: float = 0
    """Time after which a session ends, however active it is; 0: never."""

    regenerate_grace: float = 0
    """Time for which the destroyed old record of a regenerated session can be read; 0: never.

    If clocks differ by less than this, it can be read for at least this time and at most twice this time."""

    renew_after: float = 0
    """Idle time after which a session is renewed."""

    max_size: int = 0
    """The maximum number of bytes of a stored text; 0: no limit."""

    max_devices: int = 0
    """The maximum number of devices on which an owner is logged in; 0: no limit."""

    device_details: tuple[str, ...] = ("address", "userAgent")
    """What the list of an owner's devices says about each client."""

    def renew_own_after(self, own: float) -> float:
        """`renew_after` for a session with a lifetime of its own.

        With a longer one than others it is renewed as often as they are, since its browser may still have a cookie that
        ends with the option's lifetime: from a WebSocket, which sends none, or from the npm original.
        """
        due = renew_after(own)
        return min(due, self.renew_after) if self.lifetime else due

    def is_over(self, attributes: dict[str, Any], now: float) -> bool:
        """Whether a session has reached its absolute lifetime.

        Args:
            attributes: The session's.
            now: Seconds since 1970.
        """
        if not self.absolute_lifetime or not is_number(attributes.get("_created")):
            return False
        return bool(now * 1000 - attributes["_created"] > self.absolute_lifetime)


def renew_after(lifetime: float) -> float:
    """The idle time after which a session with this lifetime is renewed; both in ms."""
    return max(lifetime / 100, min(lifetime / 20, _RENEWED_AFTER))


def is_number(value: object) -> bool:
    """Whether a value is a number; a bool is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
