"""Owners of sessions: whose a session is, and under which id the store lists an owner's devices.

    owned({"_owner": "ann", "_device": "…"})    # Owned("ann", "…")
    Owners(["a secret"]).ids("ann")             # the ids of ann's list, one for each secret

A *device* is a login of an owner: it keeps its id when its session gets a new one. An id begins with the time of the
login, so that a login can be told from one before a log-out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .quoting import quote

OWNER = "_owner"
"""The key of a session's owner."""

DEVICE = "_device"
"""The key of a session's device."""

LONGEST_OWNER = 1000
"""The maximum number of characters of an owner."""

_is_device = re.compile(r"[0-9a-f]{12}[A-Za-z0-9_-]{20}").fullmatch

# The number of sessions of which a process remembers when it has last looked for them in their owners' lists.
_MOST_RECENT = 10_000


class Owned(NamedTuple):
    """A session's owner and device."""

    owner: str
    device: str

    @property
    def began(self) -> float:
        """When the owner has logged in, in milliseconds since 1970."""
        return int(self.device[:12], 16)


class Owners:
    """The owners of a program's sessions.

    Args:
        secrets: The program's. Without one, nobody else can compute the ids.

    Attributes:
        recent: When this process has last looked for a session in its owner's list, by the monotonic clock.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = [each.encode("utf-8", "surrogatepass") for each in secrets] or [_random()]
        self.recent: dict[str, float] = {}

    def ids(self, owner: str) -> list[str]:
        """The ids under which the store may list an owner's devices, that of the first secret first."""
        text = b"owner:" + owner.encode()
        digests = (hmac.digest(secret, text, hashlib.sha256) for secret in self._secrets)
        return list(dict.fromkeys(base64.urlsafe_b64encode(digest[:30]).decode() for digest in digests))

    def is_due(self, id: str, seconds: float) -> bool:
        """Whether this process has not looked for a session for so long."""
        return time.monotonic() - self.recent.get(id, -seconds) >= seconds

    def note(self, id: str) -> None:
        """Note that this process has just looked for a session."""
        self.recent.pop(id, None)  # so that the first one is the oldest
        self.recent[id] = time.monotonic()
        if len(self.recent) > _MOST_RECENT:
            del self.recent[next(iter(self.recent))]


def _random() -> bytes:
    return secrets.token_bytes(32)


def owned(attributes: Mapping[str, Any]) -> Owned | None:
    """The owner and the device of a session with this content; None if it has none."""
    owner, device = attributes.get(OWNER), attributes.get(DEVICE)
    if not isinstance(owner, str) or not isinstance(device, str) or not _is_device(device):
        return None
    return Owned(owner, device) if problem_of(owner) is None else None


def is_device(id: object) -> bool:
    """Whether a value has the form of a device's id."""
    return isinstance(id, str) and _is_device(id) is not None


def make_device() -> str:
    """Make the id of a device whose owner is logging in now."""
    return f"{int(time.time() * 1000):012x}{secrets.token_urlsafe(15)}"


def check_owner(owner: object) -> str:
    """Return a valid owner.

    Raises:
        ValueError: It is none.
    """
    problem = problem_of(owner)
    if problem is not None:
        raise ValueError(f"an owner is {problem}, not {quote(owner)}")
    return str(owner)


def problem_of(owner: object) -> str | None:
    """What an owner must be, if this value is none."""
    if not isinstance(owner, str):
        return "text, such as str(user.id)"
    if not 0 < len(owner) <= LONGEST_OWNER:
        return f"text of 1 to {LONGEST_OWNER} characters, such as a user's name or number"
    try:
        owner.encode()
    except UnicodeEncodeError:
        return "text without halves of surrogate pairs"
    return None
