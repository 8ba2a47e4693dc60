"""The equality of values as stored, at a cost that depends on their size only.

    Comparison().is_same({"pair": (1, 2)}, {"pair": [1.0, 2]}, 0)   # True

Values are compared by what would be stored: a tuple equals a list and 1 equals 1.0, but True does not equal 1.

Near the root, whole values are compared as bytes, once for each level, which takes next to no time. From `_TEXT_DEPTH`
on, two containers are compared item by item, and the answer is kept. So a hostile session is as cheap as any other of
its size.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any

import orjson

from .depth import is_safe_for_orjson
from .forms import SCALARS, TEXTS, Forms
from .paths import MISSING

_TEXT_DEPTH = 8  # nearly all sessions end above it
_CHUNK = 500  # items of two lists that are compared together, before they are compared one by one
_FEW = 8  # items that are compared one by one in any case
_USUAL_VALUES = 10_000  # see `is_safe_for_orjson`; a live value may be an object that refers to half of the program


class Comparison:
    """The comparison of the values of one merge, which must not change meanwhile.

    In all methods, `depth` is how deep in a session the values are.
    """

    def __init__(self) -> None:
        forms = Forms()
        self.form = forms.of
        self.forms = forms.of_all
        # Answers by the ids of the two containers, so that each pair is looked into once, however deep it is.
        self._copies: dict[tuple[int, int], bool] = {}
        self._alike: dict[tuple[int, int], bool] = {}

    def is_copy(self, one: Any, other: Any, depth: int) -> bool:
        """Whether two parsed values are the same JSON, the order of keys included."""
        kind = type(one)
        if kind is not type(other):
            return False
        if kind is not dict and kind is not list:
            return bool(one == other)
        if not one or len(one) != len(other):
            return len(one) == len(other)
        if depth < _TEXT_DEPTH:
            return one == other and _has_same_bytes(one, other)  # == is fast, but True equals 1
        pair = id(one), id(other)
        known = self._copies.get(pair)
        if known is None:
            known = self._copies[pair] = self._are_copies(one, other, depth + 1)
        return known

    def _are_copies(self, one: Any, other: Any, depth: int) -> bool:
        if type(one) is dict:
            if [*one] != [*other]:
                return False
            one, other = one.values(), other.values()
        for each, counterpart in zip(one, other, strict=True):
            if type(each) in SCALARS:
                if type(each) is not type(counterpart) or each != counterpart:
                    return False
            elif (each or counterpart or type(each) is not type(counterpart)) and not self.is_copy(
                each, counterpart, depth
            ):
                return False
        return True

    def is_same(self, live: Any, parsed: Any, depth: int) -> bool:
        """Whether a live value and a parsed one are stored alike."""
        if live is MISSING or parsed is MISSING:
            return live is parsed
        if type(parsed) in SCALARS:
            if type(live) is type(parsed) and (live == parsed or type(live) is not float):
                return bool(live == parsed)
            return self.form(live) == self.form(parsed)
        if isinstance(live, (list, tuple)) and type(parsed) is list and (not parsed or len(live) != len(parsed)):
            return len(live) == len(parsed)
        if depth < _TEXT_DEPTH and _are_alike(live, parsed):
            return True
        pair = id(live), id(parsed)
        known = self._alike.get(pair)
        if known is None:
            known = self._alike[pair] = self._are_stored_alike(live, parsed, depth + 1)
        return known

    def _are_stored_alike(self, live: Any, parsed: Any, depth: int) -> bool:
        if isinstance(live, dict) and isinstance(parsed, dict):
            if live.keys() == parsed.keys():
                pairs = [(each, parsed[key]) for key, each in live.items()]
            elif {*map(type, live)} <= {str}:
                return False
            else:  # other keys become text, and two of them may become the same
                return self.form(live) == self.form(parsed)
        elif isinstance(live, (list, tuple)) and isinstance(parsed, list):
            pairs = [*zip(live, parsed, strict=True)]
        else:
            return self.form(live) == self.form(parsed)
        for each, counterpart in pairs:  # noqa: SIM110 - a generator would be one more frame for each level
            if not self.is_same(each, counterpart, depth):
                return False
        return True

    def differences(self, before: Sequence[Any], after: Sequence[Any], depth: int, *, is_live: bool) -> list[int]:
        """List the places of two lists whose items are not the same JSON; if `after` is live, not stored alike.

        Items beyond the shorter list do not count.
        """
        length = min(len(before), len(after))
        places: list[int] = []
        for start in range(0, length, _CHUNK):
            chunk = range(start, min(start + _CHUNK, length))
            if depth < _TEXT_DEPTH and len(chunk) > _FEW:
                old, new = before[start : chunk.stop], after[start : chunk.stop]
                if _are_alike(old, new) if is_live else self.is_copy(old, new, depth):
                    continue
            if is_live:
                places += [place for place in chunk if not self.is_same(after[place], before[place], depth + 1)]
            else:
                places += [place for place in chunk if not self.is_copy(before[place], after[place], depth + 1)]
        return places


def _are_alike(live: Any, parsed: Any) -> bool:
    """Whether a live and a parsed container are certainly stored alike: a fast look."""
    if not isinstance(live, (dict, list, tuple)) or not isinstance(parsed, (dict, list)) or len(live) != len(parsed):
        return False
    if not is_safe_for_orjson(live, _USUAL_VALUES):
        return _has_same_bytes(live, parsed)
    try:
        return orjson.dumps(live, None, TEXTS) == orjson.dumps(parsed, None, TEXTS)
    except TypeError:  # of a lone surrogate, for example
        return _has_same_bytes(live, parsed)


def _has_same_bytes(one: Any, other: Any) -> bool:
    """Whether two values have the same types and content, the order of keys included.

    marshal may be given any depth. It refuses what is never parsed, and in this version of its format the bytes do not
    depend on other references to an object.
    """
    try:
        return marshal.dumps(one, 2) == marshal.dumps(other, 2)
    except ValueError:
        return False
