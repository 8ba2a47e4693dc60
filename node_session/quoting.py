"""Values in messages and log lines: quoted, and cut, since a key or a value from a user may be of any length.

quote("user.name")      # "'user.name'"
quote("x" * 500_000)    # "'xxxx…' (500000 characters)"
"""

from __future__ import annotations

import reprlib

MOST = 80
"""How many characters or bytes of a text, and of what else is shown, a message has at most."""

_short = reprlib.Repr()
_short.maxlevel = 3
_short.maxstring = _short.maxlong = _short.maxother = MOST


def cut(text: str, most: int = MOST) -> str:
    """A text of so many characters at most; where some are left out, the last one says so."""
    return text if len(text) <= most else text[: most - 1] + "…"


def quote_if_long(text: str) -> str:
    """A text as it is; a long one as `quote` has it."""
    return text if len(text) <= MOST else quote(text)


def quote(value: object) -> str:
    """A value as Python spells it; a long one is cut, and its length named. Never raises, and never takes long."""
    if isinstance(value, str):
        if len(value) <= MOST:
            return repr(value)
        return f"{cut(value)!r} ({len(value)} characters)"  # cut first: all of it may be megabytes
    if isinstance(value, (bytes, bytearray)):
        return repr(value) if len(value) <= MOST else f"{bytes(value[:MOST])!r}… ({len(value)} bytes)"
    try:
        text = _short.repr(value)
    except Exception:  # an integer of more digits than Python spells; whatever an object's own repr raises
        return f"<{type(value).__name__}>"
    if isinstance(value, (list, tuple, dict, set, frozenset)) and "..." in text:
        text += f" ({len(value)} items)"
    return text
