"""What `Records.load` finds under an id: a session, or the reason why there is none."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Loaded:
    """A record that is a session.

    Attributes:
        attributes: Its content.
        text: Its content as JSON.
        version: The driver's version of it.
        idle: Milliseconds since its last activity.
        is_outdated: Whether it is encrypted in an older way, and should be written again.
        own_lifetime: The lifetime of its own, in milliseconds; None without one.
        envelope: What else is in the record; see `Format.open`.
    """

    attributes: dict[str, Any]
    text: str
    version: object
    idle: float
    is_outdated: bool = False
    own_lifetime: float | None = None
    envelope: Any = None


class Lack(enum.Enum):
    """The reasons why there is no session under an id."""

    ABSENT = "there is no record"
    DAMAGED = "the record is not a session, or this config cannot read it"
    OVER = "the session has reached its absolute lifetime or one of its own, and was destroyed"
