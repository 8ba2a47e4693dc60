"""AttributeErrors with a hint, for users of the original or of another library.

    session.getToken     # … has no attribute 'getToken': use get_token()
    session.destroy      # … has no attribute 'destroy': use invalidate()
    session.modified     # … has no attribute 'modified': not needed, every change is noticed, …
    session.user         # … has no attribute 'user': read it by session.get("user"), store it by session.put("user", …)

Nothing here runs before an attribute is missing.
"""

from __future__ import annotations

import json
import re
from typing import Any

_capitals = re.compile("(?<=[a-z])(?=[A-Z])")

# The names in express-session, Laravel, Django and others, unless ours is the same in snake_case.
_ALSO_KNOWN_AS = {
    "append": "push",
    "csrf_token": "get_token",
    "cycle_key": "regenerate",
    "delete": "forget",
    "destroy": "invalidate",
    "has_key": "exists",
    "has_old_input": "get_old_input",
    "identity": "get_id",
    "regenerate_id": "regenerate",
    "remove": "forget",
    "rotate": "regenerate",
    "session_id": "get_id",
    "session_key": "get_id",
    "set_new_identity": "regenerate",
    "sid": "get_id",
    "unset": "forget",
}

_LIFETIME = "set_lifetime() says how long this session lives, and the option `lifetime` how long the others do"
_NOT_NEEDED = "not needed, every change is noticed, also inside a list or dict"
_RENEWED = "not needed, each response renews the session"
_CHANGED = "session.report.changed names the keys that were changed"
_IS_NEW = "session.report.found says whether it was found or is new"
_IS_EMPTY = "len(session) is the number of its keys"

# Attributes of other libraries' sessions that ours do not have, and the replacement.
_ADVICE = {
    "accessed": _NOT_NEEDED,
    "changed": _CHANGED,
    "clear_expired": "use sweep() of the NodeSession",
    "cookie": "the cookie is sent by itself, as the options `cookie`, `path`, `domain`, `secure`, … say",
    "expires": _LIFETIME,
    "get_expire_at_browser_close": _LIFETIME,
    "get_expiry_age": _LIFETIME,
    "get_expiry_date": _LIFETIME,
    "is_changed": _CHANGED,
    "is_empty": _IS_EMPTY,
    "is_new": _IS_NEW,
    "is_populated": _IS_EMPTY,
    "length": _IS_EMPTY,
    "max_age": _LIFETIME,
    "modified": _NOT_NEEDED,
    "new": _IS_NEW,
    "original_max_age": _LIFETIME,
    "permanent": _LIFETIME,
    "reset_max_age": _RENEWED,
    "set_expiry": _LIFETIME,
    "store": "use get_handler() for the driver",
    "touch": _RENEWED,
}


def _snake_case(name: str) -> str:
    return _capitals.sub("_", name).lower()


def _find_method(cls: type, name: str) -> str | None:
    """Find our name of a method with another name elsewhere; None if there is none."""
    for each in (name, "get_" + name, _ALSO_KNOWN_AS.get(name, "")):
        if hasattr(cls, each):
            return f"{each}()" if callable(getattr(cls, each)) else each
    return None


def look_up(owner: Any, name: str, *, has_keys: bool) -> Any:
    """Raise the error for a missing attribute; call this in `__getattr__`.

    Args:
        owner: The object without this attribute.
        name: The attribute's name.
        has_keys: Whether the owner is a session, so that the name may also be one of its keys.

    Raises:
        AttributeError: Always.
    """
    cls = type(owner)
    if hasattr(cls, name):  # a property has raised an AttributeError, and Python swallows it: show it
        return object.__getattribute__(owner, name)
    text = f"{cls.__name__!r} object has no attribute {name!r}"
    if name.startswith("_"):  # protocols of Python and of libraries look up many of these
        raise AttributeError(text)
    known = _snake_case(name)
    method = _find_method(cls, known)
    if method is not None:
        text += f": use {method}"
    elif has_keys and known in _ADVICE:
        text += f": {_ADVICE[known]}"
    elif has_keys:
        key = json.dumps(name)
        text += f": read it by session.get({key}), store it by session.put({key}, …)"
    raise AttributeError(text)
