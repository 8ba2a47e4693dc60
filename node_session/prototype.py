"""Keys ``__proto__``: never stored and never read, at any depth.

The npm original merges a record into an object of its own (lodash 3), and there such a key leads to the prototype of
every object in its process. The keys ``constructor`` and ``prototype`` are harmless: that merge does not enter
functions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import SerializationError
from .quoting import spell_key

logger = logging.getLogger("node_session")

KEY = "__proto__"

WRITTEN_KEY = f'"{KEY}":'
"""The key in a text that this package wrote. No string value contains it, since quotes are escaped there."""


def refuse(text: str) -> None:
    """Raise an error that names the first such key in a text.

    Raises:
        SerializationError: There is one.
    """
    for _, path in _find(json.loads(text)):
        raise SerializationError(
            f"cannot store the session: {spell_key(_steps(path))} would pollute every object of a Node program that "
            f"reads it; use another key than {KEY}"
        )


def drop(attributes: dict[str, Any]) -> None:
    """Remove such keys from parsed attributes, with one warning."""
    found = list(_find(attributes))
    for parent, _ in found:
        del parent[KEY]
    if found:
        key = spell_key(_steps(found[0][1]))
        logger.warning("a stored session has the key %s, which Node must not read: it is left out", key)


def _find(attributes: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each dict in parsed attributes that has such a key, and the path of that key.

    A path is a pair, the path of the parent and a step, so that a level costs no copy of all steps above it.
    """
    pending: list[tuple[Any, Any]] = [(attributes, None)]
    while pending:
        value, path = pending.pop()
        if isinstance(value, dict):
            if KEY in value:
                yield value, (path, KEY)
            children: Iterable[tuple[str, Any]] = value.items()
        else:
            children = ((f"[{number}]", each) for number, each in enumerate(value))
        pending += [(each, (path, step)) for step, each in children if isinstance(each, (dict, list))]


def _steps(path: Any) -> list[str]:
    steps = []
    while path is not None:
        path, step = path
        steps.append(step)
    return steps[::-1]
