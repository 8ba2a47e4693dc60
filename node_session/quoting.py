"""Values and keys in messages: quoted, and cut, since users may send any length.

quote("user.name")                  # "'user.name'"
quote("x" * 500_000)                # "'xxxx…' (500000 characters)"
spell_key(["cart", "[0]", "price"]) # "cart[0].price"
"""

from __future__ import annotations

import json
import re
import reprlib

MOST = 80
"""The maximum number of characters or bytes of a value that a message shows."""

_MOST_OF_A_NAME = 40
_MOST_STEPS = 20

_short = reprlib.Repr()
_short.maxlevel = 3
_short.maxstring = _short.maxlong = _short.maxother = MOST
_is_name = re.compile(r"[^.\[\]]+").fullmatch
_is_index = re.compile(r"\[\d+\]").fullmatch


def cut(text: str, most: int = MOST) -> str:
    """Cut a text to a number of characters; the last one shows that some are missing."""
    return text if len(text) <= most else text[: most - 1] + "…"


def quote_if_long(text: str) -> str:
    """Return a short text as it is, and a long one as `quote` does."""
    return text if len(text) <= MOST else quote(text)


def quote(value: object) -> str:
    """Spell a value as Python does, cut if it is long, and with its length.

    It never raises, and never takes long.
    """
    if isinstance(value, str):
        if len(value) <= MOST:
            return repr(value)
        return f"{cut(value)!r} ({len(value)} characters)"  # cut first: all of it may be megabytes
    if isinstance(value, (bytes, bytearray)):
        return repr(value) if len(value) <= MOST else f"{bytes(value[:MOST])!r}… ({len(value)} bytes)"
    try:
        text = _short.repr(value)
    except Exception:  # an integer of too many digits for Python, or any error of an object's own repr
        return f"<{type(value).__name__}>"
    if isinstance(value, (list, tuple, dict, set, frozenset)) and "..." in text:
        text += f" ({len(value)} items)"
    return text


def spell_key(steps: list[str]) -> str:
    """Spell a key as a program writes it; no step is the session itself.

    Names may come from users: line breaks and the like are escaped, and long names and long keys are cut.

    Args:
        steps: The names of dict entries, and ``[0]`` for the first item of a list.
    """
    names = [cut(step, _MOST_OF_A_NAME) for step in steps[:_MOST_STEPS]]
    rest = "…" if len(steps) > _MOST_STEPS else ""
    return "".join(map(_spell_step, names)).removeprefix(".") + rest or "the session"


def _spell_step(name: str) -> str:
    if _is_index(name):
        return name
    return "." + name if _is_name(name) and name.isprintable() else f"[{json.dumps(name)}]"
