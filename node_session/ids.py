"""Session ids and tokens: 30 random bytes as base64url, 40 characters, as the original makes them."""

from __future__ import annotations

import re
from secrets import token_urlsafe

_matches = re.compile(r"[A-Za-z0-9_-]{40}").fullmatch


def generate() -> str:
    """A new id (or CSRF token): 240 bits from the operating system."""
    return token_urlsafe(30)


def is_valid(id: object) -> bool:
    """Whether `id` has the form of an id. Whatever has not never reaches a path, a query or a log."""
    return isinstance(id, str) and _matches(id) is not None


def shorten(id: str) -> str:
    """The first characters of an id: enough to find it in a log, too little to use it."""
    return id[:6] + "…"
