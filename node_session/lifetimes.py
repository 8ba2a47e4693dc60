"""The lifetime that a session has of its own, in place of the option `lifetime`.

    {"_lifetime": 2592000000, "name": "Ann"}    # thirty days, in milliseconds

A store expires all records alike. So the last activity of such a record is stored as that much later, or earlier, that
it expires at its time for every reader and every gc, the npm original's too (`Records.shift`).
"""

from __future__ import annotations

from typing import Any

from .policy import is_number
from .quoting import quote

KEY = "_lifetime"
"""The key of the lifetime in a session's content, reserved in sessions."""

_LONGEST = 100 * 365 * 24 * 60 * 60 * 1000  # a century, as for the options


def own_lifetime(attributes: dict[str, Any]) -> float | None:
    """The session's own lifetime in milliseconds; None without one, or if it is none that `check` allows."""
    value = attributes.get(KEY)
    return value if _is_valid(value) else None


def check(value: object) -> float:
    """Check a lifetime that a program gives.

    Raises:
        ValueError: It is none.
    """
    if _is_valid(value):
        return value  # type: ignore[return-value]
    cure = "; None gives back the option's lifetime"
    if is_number(value) and value == 0:
        cure += ", and to end the cookie with the browser, override ends_with_browser()"
    raise ValueError(
        f"a session's lifetime must be a number of milliseconds above 0 and up to {_LONGEST} (a century), "
        f"not {quote(value)}{cure}"
    )


def _is_valid(value: Any) -> bool:
    return is_number(value) and 0 < value <= _LONGEST
