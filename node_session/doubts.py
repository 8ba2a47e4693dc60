"""Doubts about valid config values: value → a warning with the cure, or None.

    in_seconds(3600)         # 'is in milliseconds; did you mean 3600 seconds? That is 3600000'
    in_seconds(3_600_000)    # None

`Config.from_dict` warns of each, with the option's name before it. An option's doubts stand on its field, after its
check.
"""

from __future__ import annotations

import difflib

from .quoting import quote

# In seconds.
_QUARTER = 15 * 60
_DAY = 24 * 60 * 60

# From node-session's README, and from ours.
_DOCUMENTED_SECRETS = frozenset(
    {
        "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD",
        "replace this by a random string of 32 or more",
        "replace this by the secret that your Node program has",
        "replace this by the secret that your Express application has",
    }
)
_RANDOM_SECRET = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105


def short(secrets: tuple[str, ...]) -> str | None:
    """A secret that is easily guessed."""
    if min(map(len, secrets)) < 32:
        return f"is short; use a random string of 32 characters or more, as {_RANDOM_SECRET} prints"
    return None


def documented(secrets: tuple[str, ...]) -> str | None:
    """A secret that everybody can read."""
    if not _DOCUMENTED_SECRETS.isdisjoint(secrets):
        return f"everybody can read this one in the documentation; use one that {_RANDOM_SECRET} prints"
    return None


def endless(milliseconds: float) -> str | None:
    """A lifetime of 0, which looks like "until the browser is closed"."""
    if milliseconds == 0:
        return "0 keeps every session for ever; for a cookie that ends with the browser use expireOnClose"
    return None


def in_seconds(milliseconds: float) -> str | None:
    """A lifetime that looks like a number of seconds."""
    if 0 < milliseconds < 1000:
        return f"is in milliseconds; {milliseconds:g} of them are hardly a session (five minutes are 300000)"
    return _say_seconds(milliseconds) if milliseconds and _is_round_in_seconds(milliseconds) else None


def a_few_seconds(milliseconds: float) -> str | None:
    """A wait of so few milliseconds that seconds were meant."""
    return _say_seconds(milliseconds) if 0 < milliseconds <= 30 else None


def in_megabytes(size: int) -> str | None:
    """A size that holds no session in bytes."""
    if 0 < size < 1000:
        return f"is in bytes; {size} of them are hardly a session (4 MB are 4000000)"
    return None


# Options of express-session and its stores, by what they are here.
_OF_EXPRESS = {
    "name": "did you mean 'cookie'?",
    "maxAge": "did you mean 'lifetime'?",
    "ttl": "did you mean 'lifetime' (1000 times as much, as it is in milliseconds), with 'expireOnClose'?",
    "store": "did you mean 'driver'?",
    "tableName": "did you mean 'table'?",
    "collectionName": "did you mean 'table'?",
    "schemaName": "did you mean 'table', as 'schema.table'?",
    "stringify": "did you mean 'connection', with this key in it?",
    **dict.fromkeys(("resave", "rolling", "unset", "genid"), "Express needs it, and nothing here does"),
}


def unknown_option(name: object, known: list[str]) -> str:
    """The warning about an option that does not exist: the one that is meant, or the nearest."""
    if isinstance(name, str) and name in _OF_EXPRESS:
        return f"unknown session option {name!r} is ignored: {_OF_EXPRESS[name]}"
    spelling = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.replace("_", "").lower(), spelling, n=1) if isinstance(name, str) else []
    advice = f"did you mean {spelling[near[0]]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown session option {quote(name)} is ignored: {advice}"


def _is_round_in_seconds(value: float) -> bool:
    """Whether a number is odd in milliseconds and round in seconds, such as 3600.

    No limit separates the two: three seconds are a lifetime for a test, while two weeks in seconds are twenty minutes
    in milliseconds. But nobody chooses 3.6 seconds, or 43.2 minutes.
    """
    return (value % _QUARTER == 0 and value % 1000 != 0) or (value % _DAY == 0 and value % 60_000 != 0)


def _say_seconds(value: float) -> str:
    return f"is in milliseconds; did you mean {value:.15g} seconds? That is {value * 1000:.15g}"
