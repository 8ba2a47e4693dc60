"""The forms of values: texts that are equal only if the values are stored alike.

    forms = Forms()
    forms.of((1, 2)) == forms.of([1.0, 2])   # True

The form of a container is made once, of the forms of its items, so that depth costs nothing. Forms are texts because
Python salts the hash of a text, but not those of numbers and tuples: a client could send many values with equal hashes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import orjson

from . import serializer
from .errors import SerializationError

SCALARS = frozenset({str, bool, type(None), int, float})
TEXTS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_SORTED = TEXTS | orjson.OPT_SORT_KEYS
_INTEGERS = SCALARS - {float}  # types whose form is orjson's text
_PLAIN = _INTEGERS - {int}
_CONTAINERS = frozenset({dict, list, tuple})


class Forms:
    """Texts that are equal if and only if values are stored alike.

    The values must not change while their forms are in use.
    """

    def __init__(self) -> None:
        # A number stands for a container, in a list, so that it is no scalar. By the container's id: the container
        # itself, or another one could get its id; and the number.
        self._known: dict[int, tuple[Any, list[int]]] = {}
        self._numbers: dict[str, list[int]] = {}

    def of_all(self, values: Sequence[Any]) -> list[str]:
        """Return the forms of some values; fast if all are containers of scalars."""
        if _CONTAINERS.issuperset(map(type, values)):
            items = itertools.chain.from_iterable(each.values() if type(each) is dict else each for each in values)
            if _INTEGERS.issuperset(map(type, items)):
                with contextlib.suppress(TypeError):  # as in `_container`
                    texts = [_write(each) for each in values]
                    numbers = self._numbers
                    return [self._text(numbers.setdefault(text, [len(numbers)])) for text in texts]
        return [*map(self.of, values)]

    def of(self, value: Any) -> str:
        """Return the form of a value. A value that cannot be stored is like no other."""
        plain = self._plain(value)
        return '"' + plain if type(plain) is str else self._text(plain)

    def _plain(self, value: Any) -> Any:
        """Make a value whose form is orjson's text."""
        if type(value) in _PLAIN:
            return value
        if not isinstance(value, (dict, list, tuple)):
            try:
                scalar = canonical(value)
            except SerializationError:  # saving will name the problem
                return self._number(value, str(id(value)))
            return self._plain(scalar) if isinstance(scalar, (dict, list)) else scalar
        known = self._known.get(id(value))
        return self._number(value, self._container(value)) if known is None else known[1]

    def _number(self, value: Any, text: str) -> list[int]:
        number = self._numbers.setdefault(text, [len(self._numbers)])
        self._known[id(value)] = (value, number)
        return number

    def _container(self, value: Any) -> str:
        if _INTEGERS.issuperset(map(type, value.values() if isinstance(value, dict) else value)):
            try:
                return _write(value)
            except TypeError:  # a large integer, a lone surrogate, a key that is a number
                pass
        if isinstance(value, dict):
            return self._text({str(key): self._plain(each) for key, each in value.items()})
        return self._text([self._plain(each) for each in value])

    def _text(self, plain: Any) -> str:
        try:
            return _write(plain)
        except TypeError:
            return json.dumps(plain, sort_keys=True)


def _write(plain: Any) -> str:
    # Each bytes object of orjson that is kept costs 5 µs, since it was cut from 1 KB. A str of it costs a fortieth.
    return orjson.dumps(plain, None, _SORTED).decode()


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
