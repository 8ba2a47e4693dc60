"""AttributeErrors that name the Python way, for those who know the original or another library.

    session.getToken     # … has no attribute 'getToken': use get_token()
    session.destroy      # … has no attribute 'destroy': use invalidate()
    session.user         # … has no attribute 'user': read it by session.get("user"), store it by session.put("user", …)

Nothing here runs before an attribute is missing.
"""

from __future__ import annotations

import json
import re
from typing import Any

_capitals = re.compile("(?<=[a-z])(?=[A-Z])")

# As express-session, Laravel, Django and others call it, where the name here is not the same in snake_case.
_ALSO_KNOWN_AS = {
    "append": "push",
    "csrf_token": "get_token",
    "cycle_key": "regenerate",
    "delete": "forget",
    "destroy": "invalidate",
    "regenerate_id": "regenerate",
    "remove": "forget",
    "session_id": "get_id",
    "session_key": "get_id",
    "sid": "get_id",
    "unset": "forget",
}


def _find_method(cls: type, name: str) -> str | None:
    """What this package calls the method that somebody has called `name`; None if it has none like that."""
    name = _capitals.sub("_", name).lower()
    for each in (name, "get_" + name, _ALSO_KNOWN_AS.get(name, "")):
        if hasattr(cls, each):
            return f"{each}()" if callable(getattr(cls, each)) else each
    return None


def look_up(owner: Any, name: str, *, has_keys: bool) -> Any:
    """What ``owner.__getattr__(name)`` does: raise the error for an attribute that is not there.

    Args:
        owner: The object that has no such attribute.
        name: Of the attribute.
        has_keys: Whether what was meant may be a key of a session.

    Raises:
        AttributeError: Always.
    """
    cls = type(owner)
    if hasattr(cls, name):  # Python has swallowed the AttributeError of a property: it is to be seen
        return object.__getattribute__(owner, name)
    text = f"{cls.__name__!r} object has no attribute {name!r}"
    if name.startswith("_"):  # protocols of Python and of libraries ask for many of these
        raise AttributeError(text)
    method = _find_method(cls, name)
    if method is not None:
        text += f": use {method}"
    elif has_keys:
        key = json.dumps(name)
        text += f": read it by session.get({key}), store it by session.put({key}, …)"
    raise AttributeError(text)
