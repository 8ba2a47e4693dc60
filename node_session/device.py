"""A device of an owner, as programs see it and as the list takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

from .owners import Owned
from .roster import Entry


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device on which an owner is logged in.

    Attributes:
        id: Its id, which stays the same until the owner logs out; no secret.
        owner: Its owner.
        began: When the owner logged in there, in UTC.
        used: When its session was last used, in UTC; some seconds may be missing.
        address: The client's address when its session got its id; None if it is not known or not kept.
        user_agent: What the browser said about itself then, cut to 300 characters: escape it, it may be anything.
        is_this: Whether it is that of the session given to `NodeSession.devices`.
    """

    id: str
    owner: str
    began: datetime
    used: datetime
    address: str | None
    user_agent: str | None
    is_this: bool


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A session that is in its owner's list, or is entered there.

    Attributes:
        owned: Its owner and device.
        ids: The ids under which the store keeps it, the latest first.
        is_new: Whether the device logs in just now, so that no earlier log-out meant it.
        address: The client's address; None: unknown, or not kept.
        user_agent: What the browser says about itself.
        lifetime: The lifetime of its own that the session has, in milliseconds; None without one.
    """

    owned: Owned
    ids: list[str]
    is_new: bool
    address: str | None = None
    user_agent: str | None = None
    lifetime: float | None = None


def describe(owned: Owned, entry: Entry, idle: float, now: float, *, is_this: bool) -> Device:
    """Describe a device.

    Args:
        owned: Its owner and id.
        entry: Its entry in the list.
        idle: Milliseconds since its session was used; infinite if the driver cannot tell.
        now: Milliseconds since 1970.
        is_this: Whether it is that of the caller.
    """
    used = entry.at if math.isinf(idle) else min(now, now - idle)
    return Device(
        id=owned.device,
        owner=owned.owner,
        began=_as_time(owned.began),
        used=_as_time(max(owned.began, used)),
        address=entry.address,
        user_agent=entry.user_agent,
        is_this=is_this,
    )


def _as_time(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
