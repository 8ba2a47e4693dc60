"""The text of a session, as JSON.stringify writes it and JSON.parse reads it.

    dumps({"n": 1.0, "on": date(2026, 11, 22)})   # '{"n":1,"on":"2026-11-22T00:00:00.000Z"}'
    loads('{"n":1}')                              # {"n": 1}

orjson is ten times as fast as the standard library, so it writes nearly all texts. Four modules help it:
`depth` decides whether it may write a value, `javascript` spells dates and corrects its numbers, `json_writer` writes
the parts that it cannot, and `prototype` keeps out keys ``__proto__``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any, NoReturn

import orjson

from . import javascript, prototype
from .depth import MAX_DEPTH, depth_of, is_safe_for_orjson
from .errors import DamagedError
from .json_writer import JsonWriter, TooManyValues
from .quoting import spell_key

LARGE = 64 * 1024
"""The number of characters from which on work on a session's text is left to a thread. At this size nearly all sessions
are parsed, written or merged in 2 ms, and one made up to be expensive in 30; the way to a thread and back takes 0.1 ms.
"""

_MOST_QUICK = 3000  # values that are written in Python in the event loop, in 5 ms or so
_MOST_DATES = 1000  # that are spelled in the event loop, in 3 ms or so
_OPTIONS = orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class TakesLong(Exception):  # noqa: N818 - it is no error
    """A signal that `dumps_quickly` would take longer than an event loop can wait.

    Attributes:
        rest: Returns the text, as `dumps` does. It may be called in another thread while the session is changed.
            orjson may not: a value could become too deep for it after the check.
    """

    def __init__(self, rest: Callable[[], str]) -> None:
        super().__init__("this session is for a thread to write")
        self.rest = rest


def dumps(attributes: dict[str, Any], known: str | None = None, *, depth: int = MAX_DEPTH) -> str:
    """Write the text of a session.

    NaN and infinities become null. A datetime becomes text in UTC; without a zone it is local time, as in Python. A
    date becomes its midnight in UTC, as in JavaScript. Tuples become lists, enums their values, UUIDs text, and keys
    that are numbers text. Integers beyond 2^53 are written as they are, with a warning, since JavaScript rounds them.

    Args:
        attributes: The session's content.
        known: The text that is stored, or was. If it is still the same, it is not searched for numbers again, which
            takes longer than writing it.
        depth: How deep values may be nested, unless `known` is nested deeper.

    Raises:
        SerializationError: JSON has no form for a value, a key is ``__proto__``, or values are nested too deep. The
            message names the key and the cure.
    """
    try:
        return dumps_quickly(attributes, known, depth=depth)
    except TakesLong as long:
        rest = long.rest
    return rest()


def dumps_quickly(attributes: dict[str, Any], known: str | None = None, *, depth: int = MAX_DEPTH) -> str:
    """Do what `dumps` does, if that takes no longer than an event loop can wait.

    Raises:
        TakesLong: It would take longer.
        SerializationError: As for `dumps`.
    """
    usual = 50 + len(known or "") // 2  # a value takes two characters at least
    text = _write(attributes, usual)
    if text is None:
        quick = partial(_write_part, usual=usual)
        try:
            return _writer(attributes, known, depth, _MOST_QUICK, quick).text()
        except TooManyValues:
            rest = _writer(attributes, known, depth).text
        raise TakesLong(rest)
    written = text.decode()
    if written.rfind(prototype.WRITTEN_KEY) >= 0:
        prototype.refuse(written)
    if written == known or not javascript.may_differ(text):
        return written
    if len(text) >= LARGE:
        raise TakesLong(partial(javascript.respell, text))
    return javascript.respell(text)


def _write(value: Any, usual: int) -> bytes | None:
    """Write a value with orjson; None if it refuses the value, or must not be given it.

    `JsonWriter` then names the key, but not in here: orjson's error would be shown as the context of its own.
    """
    if not is_safe_for_orjson(value, usual):
        return None
    try:
        return orjson.dumps(value, None, _OPTIONS)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, _spell_dates(_MOST_DATES), _OPTIONS)
    except TypeError:
        return None


def _spell_dates(most: int) -> Callable[[Any], str]:
    """Make a function that spells some dates for orjson, which does not write them as JavaScript does."""

    def spell(value: Any) -> str:
        nonlocal most
        most -= 1
        if most < 0 or not isinstance(value, date):
            raise TypeError
        return javascript.spell_date(value)

    return spell


def _write_part(value: Any, usual: int) -> str | None:
    """Write a part of a session, if that takes a moment; None if not."""
    text = _write(value, usual)
    if text is None:
        return None
    if not javascript.may_differ(text):
        return text.decode()
    return javascript.respell(text) if len(text) < LARGE // 4 else None


def _writer(
    attributes: dict[str, Any],
    known: str | None,
    depth: int,
    most: float = math.inf,
    quick: Callable[[Any], str | None] | None = None,
) -> JsonWriter:
    stored_depth = (lambda: depth_of(loads(known))) if known is not None and depth < MAX_DEPTH else None
    return JsonWriter(attributes, depth, stored_depth, most, quick)


def loads(text: str) -> dict[str, Any]:
    """Read the text of a session.

    Keys ``__proto__``, which a Node program has written, are left out, with a warning: the session stays usable, and
    its next change removes them from the record.

    Raises:
        DamagedError: The text is no JSON object, or `dumps` could not write it again.
    """
    try:
        try:
            attributes = orjson.loads(text)
        except ValueError:  # JSON.parse also takes escapes of lone surrogates, and numbers too large for a float
            attributes = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise DamagedError("its text is not JSON" if text else "its text is empty") from None
    if not isinstance(attributes, dict):
        raise DamagedError("its text is JSON, but not an object")
    if len(text) > 2 * MAX_DEPTH and depth_of(attributes) > MAX_DEPTH:
        raise DamagedError(f"it is nested more than {MAX_DEPTH} deep")
    # "_" and the letters may be escaped: JSON.stringify does not, but another program may have written the text.
    if text.rfind(prototype.KEY) >= 0 or text.rfind("\\u00") >= 0:
        prototype.drop(attributes)
    return attributes


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def size_of(text: str) -> int:
    """The number of bytes of a stored text."""
    return len(text) if text.isascii() else len(text.encode())


def largest_key(text: str) -> tuple[str, int]:
    """Find the key that takes most of a text, for a message, and how many bytes of it."""
    sizes = ((len(dumps({key: value}).encode()), key) for key, value in loads(text).items())
    size, key = max(sizes, default=(0, ""))
    return spell_key([key]), size
