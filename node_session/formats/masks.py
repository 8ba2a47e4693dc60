"""Masks of ids of any length: only a reader who knows the other id can take one off.

masked(id, other)               # 'mJ3…', base64url
unmasked("mJ3…", other)         # the id again
"""

from __future__ import annotations

import base64
import hashlib
import re

from .. import ids

_is_base64 = re.compile(r"[A-Za-z0-9_-]+").fullmatch


def masked(id: str, other: str) -> str:
    """Mask an id."""
    return base64.urlsafe_b64encode(_crossed(id.encode(), other)).decode().rstrip("=")


def is_mask(value: object) -> bool:
    """Whether a value may be a masked id."""
    return isinstance(value, str) and len(value) <= 2 * ids.LONGEST and _is_base64(value) is not None


def unmasked(mask: str, other: str) -> str | None:
    """Take the mask off; None if that gives no text."""
    try:
        return _crossed(base64.urlsafe_b64decode(mask + "=" * (-len(mask) % 4)), other).decode()
    except ValueError:
        return None


def _crossed(id: bytes, other: str) -> bytes:
    pad = hashlib.shake_256(b"left:" + other.encode()).digest(len(id))
    return bytes(a ^ b for a, b in zip(id, pad, strict=True))
