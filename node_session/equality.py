"""The equality of values as stored, at a cost that depends on their size only.

    Comparison().is_same({"pair": (1, 2)}, {"pair": [1.0, 2]}, 0)   # True

Values are compared by what would be stored: a tuple equals a list and 1 equals 1.0, but True does not equal 1. Two
rules keep a hostile session as cheap as any other of its size:

- Near the root, orjson's texts of whole values are compared, once for each level, which takes next to no time. From
  `_TEXT_DEPTH` on, a container is compared by its form, which is made once, of the forms of its items.
- Forms are looked up by their text. Python salts the hash of a text. It does not salt those of numbers and tuples, so
  that a client could send values with equal hashes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import orjson

from . import serializer
from .depth import is_safe_for_orjson
from .errors import SerializationError
from .paths import MISSING

_TEXT_DEPTH = 8  # nearly all sessions end above it
_CHUNK = 500  # items of two lists that are compared together, before they are compared one by one
_FEW = 8  # items that are compared one by one in any case

# The argument `usual` of `is_safe_for_orjson`. Parsed JSON refers to nothing but its contents; a live value may be an
# object that refers to half of the program.
_USUAL_VALUES = 10_000
_PARSED_VALUES = 10_000_000

_TEXTS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
SCALARS = frozenset({str, bool, type(None), int, float})
_INTEGERS = SCALARS - {float}
_PLAIN = _INTEGERS - {int}


class Forms:
    """Texts that are equal if and only if values are stored alike.

    The values must not change while their forms are in use.

    Args:
        exact: Also tell 1 from 1.0, and one order of keys from another. For parsed JSON only.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact
        self._options = _TEXTS if exact else _TEXTS | orjson.OPT_SORT_KEYS
        self._flat = SCALARS if exact else _INTEGERS  # types whose form is orjson's text
        # A number stands for a container, in a list, so that it is no scalar. By the container's id: the container
        # itself, or another one could get its id; and the number.
        self._known: dict[int, tuple[Any, list[int]]] = {}
        self._numbers: dict[bytes, list[int]] = {}

    def of(self, value: Any) -> bytes:
        """Return the form of a value. A value that cannot be stored is like no other."""
        return self._text(self._plain(value))

    def _plain(self, value: Any) -> Any:
        """Make a value whose form is orjson's text."""
        if type(value) in _PLAIN:
            return value
        if not isinstance(value, (dict, list, tuple)):
            if self._exact:
                return value
            try:
                scalar = canonical(value)
            except SerializationError:  # saving will name the problem
                return self._number(value, b"%d" % id(value))
            return self._plain(scalar) if isinstance(scalar, (dict, list)) else scalar
        known = self._known.get(id(value))
        return self._number(value, self._container(value)) if known is None else known[1]

    def _number(self, value: Any, text: bytes) -> list[int]:
        number = self._numbers.setdefault(text, [len(self._numbers)])
        self._known[id(value)] = (value, number)
        return number

    def _container(self, value: Any) -> bytes:
        if self._flat.issuperset(map(type, value.values() if isinstance(value, dict) else value)):
            try:
                return orjson.dumps(value, None, self._options)
            except TypeError:  # a large integer, a lone surrogate, a key that is a number
                pass
        if isinstance(value, dict):
            return self._text({str(key): self._plain(each) for key, each in value.items()})
        return self._text([self._plain(each) for each in value])

    def _text(self, plain: Any) -> bytes:
        try:
            return orjson.dumps(plain, None, self._options)
        except TypeError:
            return json.dumps(plain, sort_keys=not self._exact).encode()


class Comparison:
    """The comparison of the values of one merge, which must not change meanwhile.

    In all methods, `depth` is how deep in a session the values are.
    """

    def __init__(self) -> None:
        self.form = Forms().of
        self._exact = Forms(exact=True).of

    def is_copy(self, one: Any, other: Any, depth: int) -> bool:
        """Whether two parsed values are the same JSON, the order of keys included."""
        if type(one) is not type(other):
            return False
        if not isinstance(one, (dict, list)):
            return bool(one == other)
        if len(one) != len(other):
            return False
        if depth < _TEXT_DEPTH:
            if one != other:  # fast, but True equals 1
                return False
            text = _text(one, _PARSED_VALUES)
            if text is not None:
                return text == _text(other, _PARSED_VALUES)
        return self._exact(one) == self._exact(other)

    def is_same(self, live: Any, parsed: Any, depth: int) -> bool:
        """Whether a live value and a parsed one are stored alike."""
        if live is MISSING or parsed is MISSING:
            return live is parsed
        if depth < _TEXT_DEPTH:
            if _are_alike(live, parsed):
                return True
            if isinstance(live, dict) and isinstance(parsed, dict) and all(isinstance(key, str) for key in live):
                if live.keys() != parsed.keys():
                    return False
                return all(self.is_same(each, parsed[key], depth + 1) for key, each in live.items())
        return self.form(live) == self.form(parsed)

    def differences(self, before: Sequence[Any], after: Sequence[Any], depth: int, *, is_live: bool) -> list[int]:
        """List the places of two lists whose items are not the same JSON.

        Items beyond the shorter list do not count. If `after` is live, the items of some places may be stored alike.
        """
        length = min(len(before), len(after))
        places: list[int] = []
        for start in range(0, length, _CHUNK):
            chunk = range(start, min(start + _CHUNK, length))
            if depth < _TEXT_DEPTH and len(chunk) > _FEW:
                old, new = before[start : chunk.stop], after[start : chunk.stop]
                if _are_alike(old, new) if is_live else self.is_copy(old, new, depth):
                    continue
            if not is_live:
                places += [place for place in chunk if not self.is_copy(before[place], after[place], depth + 1)]
            elif depth < _TEXT_DEPTH:
                places += [place for place in chunk if not _are_alike(before[place], after[place])]
            else:
                places += chunk
        return places


def canonical(value: Any) -> Any:
    """Return a scalar as it is read after it was stored.

    Raises:
        SerializationError: It cannot be stored.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        number = float_of(value) if isinstance(value, float) or not -(2**63) <= value < 2**64 else value
        if isinstance(number, int):
            return int(number)
        if not math.isfinite(number):
            return None
        return int(number) if number.is_integer() and -(2**63) <= number < 2**64 else number
    # A date, for example: live it is an object, in a record it is a text.
    return serializer.loads(serializer.dumps({"value": value}))["value"]


def float_of(number: float) -> float:
    """Convert a number to a float; a huge integer becomes infinite, as in JavaScript."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _are_alike(one: Any, other: Any) -> bool:
    """Whether two values, parsed or live, are certainly stored alike: a fast look."""
    if type(one) in SCALARS and type(other) in SCALARS:
        return type(one) is type(other) and bool(one == other)
    if not isinstance(one, (dict, list, tuple)) or not isinstance(other, (dict, list, tuple)) or len(one) != len(other):
        return False
    text = _text(one, _USUAL_VALUES)
    return text is not None and text == _text(other, _USUAL_VALUES)


def _text(value: Any, usual: int) -> bytes | None:
    if not is_safe_for_orjson(value, usual):
        return None
    try:
        return orjson.dumps(value, None, _TEXTS)
    except TypeError:  # of a lone surrogate, for example
        return None
