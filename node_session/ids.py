"""Session ids and tokens, as in the original: 30 random bytes as base64url."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe

_LENGTH = 40

LONGEST = 200
"""Characters that the id of another program may have."""


def generate() -> str:
    """Make a new id (or CSRF token): 240 bits from the operating system."""
    return token_urlsafe(30)


def is_valid(id: object) -> bool:
    """Whether a value has the form of an id.

    No other value reaches a path, a query or a log.
    """
    # A regular expression takes three times as long, and this is called several times a request.
    return (
        isinstance(id, str)
        and len(id) == _LENGTH
        and id.isascii()
        and (id.isalnum() or id.replace("-", "a").replace("_", "a").isalnum())
    )


def shorten(id: str) -> str:
    """Shorten an id: enough of it to find it in a log, too little to use it."""
    return id[: min(6, len(id) // 2)] + "…"


@dataclass(frozen=True, eq=False)
class Rule:
    """How the ids of a program look."""

    generate: Callable[[], str]
    """Makes a new one."""

    is_valid: Callable[[object], bool]
    """Whether a value has the form of one."""

    shortest: int
    """Characters that it has at least."""

    longest: int
    """Characters that it has at most."""


def _generate_short() -> str:
    return token_urlsafe(24)


def _is_printable(id: object) -> bool:
    return isinstance(id, str) and 0 < len(id) <= LONGEST and id.isprintable()


OWN = Rule(generate, is_valid, _LENGTH, _LENGTH)
"""The original's ids."""

OWN_AND_OTHERS = Rule(generate, _is_printable, 1, LONGEST)
"""New ids are the original's; those of other programs are taken as well."""

ANY = Rule(_generate_short, _is_printable, 1, LONGEST)
"""Those of a program that lets its users make ids (express-session's `genid`): text without control characters.
New ones are 192 bits, 32 characters."""
