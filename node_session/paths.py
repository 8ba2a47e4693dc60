r"""The keys of a session: ``user.name``, ``cart[0].qty``, ``prices["eu.de"]``.

    find({"cart": [{"qty": 2}]}, "cart[0].qty")   # 2
    assign(attributes, "user.name", "Ann")        # {"user": {"name": "Ann"}}

A key is a name, then any number of ``.name``, ``[digits]``, ``["…"]`` and ``['…']``; it may begin with ``["…"]`` too. A
name is any run of characters other than ``. [ ]``. Within quotes everything goes; ``\"``, ``\'`` and ``\\`` stand for
the character after the backslash. A string that does not fit, or has more than a thousand steps, is one literal name,
so that any string is a key.

A path goes through dict entries and the items of lists (and of tuples, which are stored as lists), never through
attributes: ``constructor`` and ``__class__`` are names like any other. Keys may come from users. They are data.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import Any, Final

from .errors import PathError
from .quoting import quote

MAX_DEPTH = 64
"""How many steps a key may have when something is stored under it: as deep as a session may be nested."""

MAX_PADDED = 100
"""The maximum length to which a list is filled up with None, as lodash fills it. Some programs number things from 1, or
fill in a form's rows in any order, and need no more. Keys may come from users: a key of 5 characters adds at most 495
bytes to the session, and that once for each existing list, since a path makes no lists (missing parents are dicts)."""

# No stored value is as deep as that. A key of megabytes must not be parsed to learn it.
_MAX_STEPS = 1000

# Longer keys are parsed at each use: in a cache of them, users could store megabytes.
_MAX_CACHED = 200

_name = r"[^.\[\]]+"
_quoted = r""""([^"\\]*(?:\\["'\\][^"\\]*)*)"|'([^'\\]*(?:\\["'\\][^'\\]*)*)'"""
_match_start = re.compile(rf"({_name})|\[(?:{_quoted})\]").match
_match_step = re.compile(rf"\.({_name})|\[(?:{_quoted}|([0-9]+))\]").match
_QUOTED = (2, 3)  # the groups that may contain escapes
_is_index = re.compile(r"0|[1-9][0-9]*").fullmatch
_unescape = re.compile(r"\\(.)").sub


class _Missing(enum.Enum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING
"""Returned by `find` and `remove` if nothing is stored, since None can be stored."""


def parse(key: str) -> tuple[str, ...]:
    """Split a key into its steps: ``("cart", "0", "qty")`` for ``cart[0].qty``.

    Raises:
        TypeError: The key is no string.
    """
    if not isinstance(key, str):
        raise _no_string(key)
    return _parse_cached(key) if len(key) <= _MAX_CACHED else _parse(key)


def find(root: dict[str, Any], key: str) -> Any:
    """Find the value of a key.

    If its path leads nowhere, an entry of `root` of exactly that spelling counts.

    Returns:
        The stored object itself; `MISSING` if there is none.

    Raises:
        TypeError: The key is no string.
    """
    if not isinstance(key, str):
        raise _no_string(key)
    if "." not in key and "[" not in key:  # most keys are plain names; with a stray "]" they are literal
        return root.get(key, MISSING)
    value: Any = root
    for step in parse(key):
        value = _child(value, step)
        if value is MISSING:
            return root.get(key, MISSING)
    return value


def assign(root: dict[str, Any], key: str, value: Any) -> None:
    """Store a value under a key.

    A parent that is missing, or is no container, becomes a dict, whatever the next step looks like. In a list, an
    index in its range replaces, the next one appends, and one a little beyond fills up with None. A tuple becomes a
    list.

    Raises:
        PathError: The key has too many steps, or leads into a list but to no place it can have. `root` is unchanged.
        TypeError: The key is no string.
    """
    steps = parse(key)
    if len(steps) > MAX_DEPTH:
        raise PathError(
            f"cannot store under {quote(key)}: it has {len(steps)} steps, and {MAX_DEPTH} are the most; "
            'if it is meant as one name, write it as ["…"]'
        )
    _assign(root, steps, value, key)


def remove(root: dict[str, Any], key: str) -> Any:
    """Remove the value of a key.

    An entry of `root` of exactly that spelling comes first, otherwise the path counts. In a list, the later items move
    up.

    Returns:
        The removed value; `MISSING` if there was none.

    Raises:
        TypeError: The key is no string.
    """
    *parents, last = steps = parse(key)
    if key in root:
        return root.pop(key)
    container: Any = root
    for step in parents:
        container = _child(container, step)
    removed = _child(container, last)
    if removed is MISSING:
        return MISSING
    if isinstance(container, dict):
        del container[last]
    elif isinstance(container, list):
        del container[int(last)]
    else:
        rest = container[: int(last)] + container[int(last) + 1 :]
        _assign(root, steps[:-1], list(rest), key)
    return removed


def _parse(key: str) -> tuple[str, ...]:
    steps: list[str] = []
    match = _match_start(key)
    while match is not None and len(steps) < _MAX_STEPS:
        group = match.lastindex or 0  # the group that matched; there is always one
        steps.append(_unescape(r"\1", match[group]) if group in _QUOTED else match[group])
        if match.end() == len(key):
            return tuple(steps)
        match = _match_step(key, match.end())
    return (key,)


_parse_cached = lru_cache(maxsize=4096)(_parse)


def _child(container: Any, step: str) -> Any:
    """Find the value under one step; `MISSING` if there is none, or no container."""
    if isinstance(container, dict):
        return container.get(step, MISSING)
    if isinstance(container, (list, tuple)):
        index = _index(step)
        if index is not None and index < len(container):
            return container[index]
    return MISSING


def _index(step: str) -> int | None:
    """Read a step as an index: "0" and "12", but not "01" and "-1"."""
    if _is_index(step) is None:
        return None
    return int(step[:18])  # larger than any list already, and int() refuses thousands of digits


def _assign(container: dict[str, Any] | list[Any], steps: tuple[str, ...], value: Any, key: str) -> None:
    """Store a value under steps. Changes nothing before it is sure to succeed."""
    step, rest = steps[0], steps[1:]
    if rest:
        child = _child(container, step)
        if isinstance(child, (dict, list)):
            _assign(child, rest, value, key)
            return
        child = list(child) if isinstance(child, tuple) else {}
        _assign(child, rest, value, key)
        value = child
    if isinstance(container, dict):
        container[step] = value
        return
    index = _index(step)
    length = len(container)
    if index is None:
        raise PathError(
            f"cannot store under {quote(key)}: it leads into a list of {length} items, and {quote(step)} is no index "
            f"of one; use [{length}] or push() to add an item, or set the list's own key to replace the list"
        )
    if index < length:
        container[index] = value
        return
    if index > length and index >= MAX_PADDED:
        raise PathError(
            f"cannot store under {quote(key)}: the list has {length} items, and is not filled up with None beyond "
            f"{MAX_PADDED}; use [{length}] or push() to add an item"
        )
    container.extend([None] * (index - length))
    container.append(value)


def _no_string(key: object) -> TypeError:
    return TypeError(f"session keys are strings, not {type(key).__name__}: {quote(key)}")
