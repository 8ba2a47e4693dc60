"""The payload in databases: the stored text, encoded once more as a JSON string.

The original keeps it so.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from ..errors import DamagedError


def encode(payload: str) -> str:
    """Encode a text for a database."""
    return orjson.dumps(payload).decode()


def decode(stored: object) -> str:
    """Decode what a database has stored.

    Raises:
        DamagedError: It is not a JSON string.
    """
    try:
        payload = orjson.loads(stored) if isinstance(stored, (str, bytes)) else stored
    except orjson.JSONDecodeError:
        raise DamagedError("the payload in the database is not JSON") from None
    if not isinstance(payload, str):
        raise DamagedError(f"the payload in the database is not a JSON string, but {type(payload).__name__}")
    return payload


def decode_leniently(stored: object, decode: Callable[[object], str] = decode) -> str:
    """Decode what a database has stored; a damaged payload is an empty text."""
    try:
        return decode(stored)
    except DamagedError:
        return ""
