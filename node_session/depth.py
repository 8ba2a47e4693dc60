"""The depth of nested values, and whether orjson may write them.

    is_safe_for_orjson({"cart": [{"qty": 2}]}, 50)   # True

orjson must not be given every value. When it closes lists, it does not check whether its buffer has room left. Where
many lists end together, it writes past the end of the buffer, and the process crashes: reproduced from depth 64 on with
orjson 3.11.7, and from depth 210 on with 3.13.0, in both cases with lists only. Nor does it count the depth of tuples,
so that it may write a text that nobody can read again. Values nested deeper than `_TRUSTED_DEPTH` are therefore written
in Python (see `node_session.json_writer`).

`gc.get_referents` lists what all values of a level contain, in one call. Up to Python 3.12 the first look with it takes
4 µs for a session of 4 KB, the second look, which checks types, 11 µs, and a loop over all values 20 µs.
"""

from __future__ import annotations

import enum
import gc
import sys
from datetime import date, datetime
from typing import Any
from uuid import UUID

MAX_DEPTH = 253
"""How deep stored values may be nested: the maximum of orjson."""

WRITABLE_DEPTH = 64
"""How deep a session may nest values. No form or document of a person needs as much, and values nested deeper than
orjson can be trusted with is written in Python, at a hundred times the cost. A session that a Node program stored with
deeper values may stay as deep as it is."""

_TRUSTED_DEPTH = 50
_USUAL_DEPTH = 6  # of nearly all sessions
_FEW = 100  # objects that are looked at one by one in any case
_SCALARS = frozenset({str, int, float, bool, type(None), UUID, date, datetime})
_CONTAINERS = frozenset({dict, list, tuple})
_PLAIN = _SCALARS - {UUID} | _CONTAINERS  # values that refer to nothing but what they contain
_MOST_CONTAINERS = 1_000_000  # side by side: in a list that contains itself twice, each level has twice as many


def is_safe_for_orjson(value: Any, usual: int) -> bool:
    """Whether a value is certainly no deeper than orjson can be trusted with.

    Args:
        value: A live value. An object of an unknown type makes the answer no, since it may hide any depth.
        usual: How many values may be side by side in the first look, which needs no line of Python for each of them.
            It also follows what other objects refer to, such as their classes, and this limit ends that.
    """
    level: list[Any] = [value]
    for _ in range(_USUAL_DEPTH):
        level = _referents(*level)
        if not level:
            return True
        if len(level) > usual:
            break
    level = [value]
    for _ in range(_TRUSTED_DEPTH):  # the second look: deeper, and of known types only
        level = _referents(*level)
        types = set(map(type, level))
        if types <= _SCALARS:
            return True
        if types <= _PLAIN and len(level) <= _MOST_CONTAINERS:
            continue
        level = [each for each in level if type(each) in _CONTAINERS or not _is_plain(each)]
        if not level:
            return True
        if len(level) > _MOST_CONTAINERS or not _CONTAINERS.issuperset(map(type, level)):
            return False
    return False


def depth_of(attributes: dict[str, Any]) -> int:
    """The depth of nesting in parsed attributes: 0 for scalars."""
    depth, level = -1, [*attributes.values()]
    while level:
        # Nothing parsed is an object's __dict__, so that this is right in each version of Python.
        depth, level = depth + 1, gc.get_referents(*level)
    return depth


def _is_plain(value: Any) -> bool:
    if type(value) in _SCALARS:
        return True
    # An enum: orjson writes it, and a session of 4 KB with one takes a fiftieth of the time that `JsonWriter` takes.
    return isinstance(value, enum.Enum) and type(value.value) in _SCALARS


def _values(*objects: Any) -> list[Any]:
    """The items of containers, and the objects that other objects refer to."""
    if len(objects) > _FEW:
        kinds = set(map(type, objects))
        if kinds <= _SCALARS:  # most values of a session are on such a level
            return []
        if dict not in kinds:
            return gc.get_referents(*objects)
    found: list[Any] = []
    for each in objects:
        kind = type(each)
        if kind is dict:
            found += each.values()
        elif kind not in _SCALARS:
            found += gc.get_referents(each)
    return found


# Since 3.13 the collector does not see the values of the dict that is an object's __dict__: the object has them.
_referents = gc.get_referents if sys.version_info < (3, 13) else _values
