"""CSRF tokens of Express: those of csurf, made of a secret in the session, and csrf-sync's, which are in it themselves.

    make_token(secret)                 # '3zTVw9kA-8l8S…': another one each time
    is_token("3zTVw9kA-8l8S…", secret) # True

csrf-csrf keeps nothing in the session: its tokens are in a cookie of its own, so they cannot be made or verified here.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from collections.abc import Mapping
from typing import Any

from .node_session import is_same

SECRET = "csrfSecret"  # noqa: S105
"""The key of csurf's secret."""

TOKEN = "csrfToken"  # noqa: S105
"""The key of csrf-sync's token."""

_SALT_LENGTH = 8
_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits


def make_secret() -> str:
    """Make a secret for tokens, as csurf does: 18 random bytes."""
    return secrets.token_urlsafe(18)


def make_token(secret: str) -> str:
    """Make a token of a secret. The salt keeps it from being the same twice, which would help to guess it (BREACH)."""
    return _salted("".join(secrets.choice(_LETTERS) for _ in range(_SALT_LENGTH)), secret)


def is_token(token: str, secret: str) -> bool:
    """Whether a token was made of a secret."""
    salt, _, _ = token.partition("-")
    return is_same(_salted(salt, secret), token)


def make_synchronised() -> str:
    """Make a token as csrf-sync does: 128 random bytes in hexadecimal digits."""
    return secrets.token_hex(128)


def text_at(attributes: Mapping[str, Any], key: str) -> str | None:
    """The text under a key; None if there is something else, or an empty one."""
    value = attributes.get(key)
    return value if isinstance(value, str) and value else None


def _salted(salt: str, secret: str) -> str:
    # Node writes "ascii" as the lower eight bits of each UTF-16 unit.
    units = f"{salt}-{secret}".encode("utf-16-le", "surrogatepass")[::2]
    digest = hashlib.sha1(units, usedforsecurity=False).digest()
    return f"{salt}-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
