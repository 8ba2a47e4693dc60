"""Attributes to stored text and back, as JSON.stringify and JSON.parse would.

    dumps({"n": 1.0, "on": date(2026, 11, 22)})   # '{"n":1,"on":"2026-11-22T00:00:00.000Z"}'

orjson does it ten times as fast as the standard library, and writes what JavaScript writes but for some numbers; where
there may be one, its text is gone through once more. What orjson refuses is either a value that JSON has a form for
after all, such as a date, and is written here; or it is an error that names the key. What is nested deep is written
here, too, as orjson cannot be trusted with it.

A key ``__proto__``, at any depth, is neither stored nor read. The npm original merges a record into an object of its
own (lodash 3), and such a key leads there to the prototype of every object in its process. ``constructor`` and
``prototype`` do not: that merge does not enter functions.
"""

from __future__ import annotations

import enum
import gc
import json
import logging
import math
import re
import sys
import time as clock
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import orjson

from .errors import DamagedError, SerializationError
from .quoting import cut

logger = logging.getLogger("node_session")

MAX_DEPTH = 253
"""How deep stored values may be nested, as deep as orjson goes."""

WRITABLE_DEPTH = 64
"""How deep a session may nest values. No form or document of people's needs as much, and what is nested deeper than
`_TRUSTED_DEPTH` is written in Python, at a hundred times the cost. A session that was stored deeper, by a Node program,
may stay as deep as it is."""

LARGE = 64 * 1024
"""From how many characters of text on work on a session is left to a thread. At this size nearly all sessions are
parsed, written or merged in 2 ms, and one made up to be expensive in 30; the way to a thread and back takes 0.1 ms."""

_MOST_QUICK = 3000  # values that are written in Python in the event loop, in some 5 ms

# Deeper than this orjson is not given anything. When it closes lists and dicts, it does not look whether there is room
# left in its buffer, so that it may write past the end, and the process dies, where more than 60 of them end at once
# (in 3.10 and 3.11; more than 200 in 3.12 and 3.13). And it does not count tuples, of which there may be more than can
# be read again.
_TRUSTED_DEPTH = 50
_USUAL_DEPTH = 6  # of nearly all sessions; within it a look takes no line of Python for each value
_ENDS = frozenset({str, int, float, bool, type(None), UUID})
_CONTAINERS = frozenset({dict, list, tuple})
_PARSED_ENDS = _ENDS - {UUID}  # they refer to nothing
_PARSED = _PARSED_ENDS | _CONTAINERS
_MOST_CONTAINERS = 1_000_000  # side by side: of what contains itself twice, each level has twice as many

_PROTO = "__proto__"
_PROTO_KEY = f'"{_PROTO}":'  # as dumps() writes it. No string value has it in it, as there quotes are escaped

_OPTIONS = orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_MAX_SAFE_INTEGER = 2**53 - 1

# Strings are matched only to be stepped over.
_strings_and_floats = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?')
_surrogates = re.compile("[\ud800-\udfff]")
_is_name = re.compile(r"[^.\[\]]+").fullmatch
_LONGEST_NAME = 40
_MOST_STEPS = 20
_is_index = re.compile(r"\[\d+\]").fullmatch

_CURES = {
    set: "store a list",
    frozenset: "store a list",
    bytes: "store text, such as base64.b64encode(value).decode()",
    bytearray: "store text, such as base64.b64encode(value).decode()",
    Decimal: "store text, such as str(value)",
}


class TakesLong(Exception):  # noqa: N818 - it is no error
    """`dumps_quickly` would take long.

    Attributes:
        rest: Gives the text, as `dumps` does. It may be called in another thread while the session is changed; orjson
            may not, as a value might become too deep for it just after that was looked at.
    """

    def __init__(self, rest: Callable[[], str]) -> None:
        super().__init__("this session is for a thread to write")
        self.rest = rest


def dumps(attributes: dict[str, Any], known: str | None = None, *, depth: int = MAX_DEPTH) -> str:
    """The stored text of a session.

    Args:
        attributes: Of the session.
        known: The text that is stored, or was. Where it is still the same, it is not searched for numbers again,
            which takes longer than making it.
        depth: How deep values may be nested, unless `known` is nested deeper.

    NaN and infinities become null. A datetime becomes text in UTC; one without a zone is local time, as Python takes
    it. A date becomes its midnight in UTC, as JavaScript takes it. Tuples become lists, enums their values, UUIDs text,
    and keys that are numbers text. Integers beyond 2^53 are written as they are, with a warning: JavaScript would round
    them.

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
    """`dumps`, as far as that takes no longer than an event loop can wait.

    Raises:
        TakesLong: It would take longer.
        SerializationError: As `dumps`.
    """
    text: bytes | None = None
    if is_shallow(attributes, 50 + len(known or "") // 2):  # a value takes two characters at least
        try:
            text = orjson.dumps(attributes, None, _OPTIONS)
        except TypeError:
            text = None  # the writer says what is wrong, but not in here: this error would be shown as its context
    if text is None:
        return _Writer(attributes, known, depth, most=_MOST_QUICK).text()
    written = text.decode()
    if written.rfind(_PROTO_KEY) >= 0:
        _refuse_proto(written)
    if written == known or not _has_other_numbers(text):
        return written
    if len(text) >= LARGE:
        raise TakesLong(lambda: _as_javascript_all(text))
    return _as_javascript_all(text)


def largest_key(text: str) -> tuple[str, int]:
    """The key that takes most of a stored text, and how many bytes of it, for a message."""
    sizes = ((len(dumps({key: value}).encode()), key) for key, value in loads(text).items())
    size, key = max(sizes, default=(0, ""))
    return _spell([key]), size


def size_of(text: str) -> int:
    """How many bytes a text takes when stored."""
    return len(text) if text.isascii() else len(text.encode())


def loads(text: str) -> dict[str, Any]:
    """The attributes in a stored text.

    Keys ``__proto__``, which a Node program has written, are left out, with a warning: the session stays usable, and
    its next change removes them from the record.

    Raises:
        DamagedError: The text is not a JSON object, or one that could not be saved again.
    """
    try:
        try:
            attributes = orjson.loads(text)
        except ValueError:
            attributes = _parse_leniently(text)
    except (ValueError, RecursionError):
        raise DamagedError("its text is not JSON" if text else "its text is empty") from None
    if not isinstance(attributes, dict):
        raise DamagedError("its text is JSON, but not an object")
    # Nothing here is an object's __dict__ yet, so the collector's referents will do on each Python.
    if len(text) > 2 * MAX_DEPTH and not _ends_within(MAX_DEPTH + 2, attributes, len(text), gc.get_referents):
        raise DamagedError(f"it is nested more than {MAX_DEPTH} deep")
    # "_" and the letters may be escaped; JSON.stringify escapes none of them, but the text may be somebody else's.
    if text.rfind(_PROTO) >= 0 or text.rfind("\\u00") >= 0:
        _drop_protos(attributes)
    return attributes


def _parse_leniently(text: str) -> Any:
    """What JSON.parse takes and orjson does not: escapes of lone surrogates, and numbers too large for a float."""
    return json.loads(text, parse_constant=_refuse)


def _drop_protos(attributes: dict[str, Any]) -> None:
    found = list(_protos(attributes))
    for parent, _ in found:
        del parent[_PROTO]
    if found:
        key = _spell(_steps(found[0][1]))
        logger.warning("a stored session has the key %s, which Node must not read: it is left out", key)


def _refuse_proto(text: str) -> None:
    for _, way in _protos(_parse_leniently(text)):
        raise SerializationError(
            f"cannot store the session: {_spell(_steps(way))} would pollute every object of a Node program that reads "
            f"it; use another key than {_PROTO}"
        )


def _protos(attributes: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each dict in parsed attributes that has a key ``__proto__``, and the way to that key.

    A way is a pair, the way to the parent and a step, so that one more level costs no copy of all above it.
    """
    pending: list[tuple[Any, Any]] = [(attributes, None)]
    while pending:
        value, way = pending.pop()
        if isinstance(value, dict):
            if _PROTO in value:
                yield value, (way, _PROTO)
            children: Iterable[tuple[str, Any]] = value.items()
        else:
            children = ((f"[{number}]", each) for number, each in enumerate(value))
        pending += [(each, (way, step)) for step, each in children if isinstance(each, (dict, list))]


def _steps(way: Any) -> list[str]:
    steps = []
    while way is not None:
        way, step = way
        steps.append(step)
    return steps[::-1]


def _has_other_numbers(text: bytes) -> bool:
    """Whether there may be numbers that orjson writes in another way than JavaScript: 1.0, -0.0, 1e+16 to 1e+20, 1e-6.

    To look for one byte is fifty times as fast as to look for two, and for two it is three times as fast from the end.
    """
    if b"." in text and text.rfind(b".0") >= 0 and any(text.rfind(end) >= 0 for end in (b".0,", b".0]", b".0}")):
        return True
    return (b"+" in text and b"e+" in text) or text.rfind(b"e-6") >= 0


def _values(*containers: Any) -> list[Any]:
    """What is in containers, and in whatever else refers to something."""
    found: list[Any] = []
    for each in containers:
        if type(each) is dict:
            found += each.values()
        elif type(each) not in _ENDS:
            found += gc.get_referents(each)
    return found


# From 3.13 on the collector does not see what is in the dict that is an object's __dict__: the object itself has it.
_referents = gc.get_referents if sys.version_info < (3, 13) else _values


def _depth_of(attributes: dict[str, Any]) -> int:
    """How deep the values of parsed attributes are nested, as the writer counts."""
    depth, level = -1, [*attributes.values()]
    while level:
        depth, level = depth + 1, gc.get_referents(*level)
    return depth


def _ends_within(depth: int, value: Any, most: int, referents: Callable[..., list[Any]] = _referents) -> bool:
    """Whether containers are nested no deeper than that; with the collector's referents no line is run for each value.

    Of what `loads` has made, this is exact. Other values refer to more, such as their class, and that is followed, too;
    it gives up, saying no, where there are more than `most` objects side by side.
    """
    level: list[Any] = [value]
    for _ in range(depth):
        level = referents(*level)
        if not level:
            return True
        if len(level) > most:
            return False
    return False


def is_shallow(value: Any, usual: int) -> bool:
    """Whether orjson can be trusted with a value: it is nested not too deep, and of types of which that is easily told.

    Where there are no more than `usual` values side by side, it is told in less time.
    """
    if _ends_within(_USUAL_DEPTH, value, most=usual):
        return True
    level: list[Any] = [value]
    for _ in range(_TRUSTED_DEPTH):
        level = _referents(*level)
        kinds = set(map(type, level))
        if kinds <= _PARSED_ENDS:
            return True
        if len(level) <= _MOST_CONTAINERS and kinds <= _PARSED:  # the usual ones, without a line for each value
            continue
        level = [each for each in level if type(each) not in _ENDS and not _is_plain_enum(each)]
        if not level:
            return True
        if len(level) > _MOST_CONTAINERS or not _CONTAINERS.issuperset(map(type, level)):
            return False
    return False


def _is_plain_enum(value: Any) -> bool:
    return isinstance(value, enum.Enum) and type(value.value) in _ENDS


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _as_javascript_all(text: bytes) -> str:
    return _strings_and_floats.sub(_as_javascript, text).decode()


def _as_javascript(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if token[0] == 0x22 or token.isdigit():
        return token
    return _number(float(token)).encode() if b"." in token or b"e" in token else token


def _number(value: float) -> str:
    """A float as JavaScript spells it: the shortest digits, with an exponent only from 1e21 on and below 1e-6."""
    if value != value or value in (float("inf"), float("-inf")):
        return "null"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))  # where it is, after so many digits
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        text = digits.ljust(point, "0") if len(digits) <= point else digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + f"e{point - 1:+d}"
    return sign + text


# ------------------------------------------------------------ what orjson is not to write


class _Writer:
    """Writes what orjson refuses, or is not given.

    A generator would read better, but each part would pass through as many of them as values are nested: seconds for
    a megabyte that somebody has nested on purpose.

    Args:
        attributes: Of the session.
        known, depth: As for `dumps`.
        most: How many values may be written before `TakesLong`.
    """

    def __init__(self, attributes: dict[str, Any], known: str | None, depth: int, most: float = math.inf) -> None:
        self._attributes, self._known, self._depth, self._most = attributes, known, depth, most
        self._limit = depth
        self._parts: list[str] = []
        self._path: list[str] = []
        self._has_warned = False

    def text(self) -> str:
        """The text.

        Raises:
            TakesLong: Of more than `most` values.
            SerializationError: As `dumps`.
        """
        try:
            self._write(self._attributes)
        except SerializationError as error:
            # Without the frames it has passed through: a line in the log for each level of the value.
            raise error.with_traceback(None) from None
        written = "".join(self._parts)
        if written.rfind(_PROTO_KEY) >= 0:
            _refuse_proto(written)
        return written

    def _write(self, value: Any) -> None:
        # Items are copied, so that they can change while another thread writes them.
        if isinstance(value, dict):
            self._container("{", ((self._key(key), each) for key, each in list(value.items())), "}")
        elif isinstance(value, (list, tuple)):
            self._container("[", ((None, each) for each in list(value)), "]")
        elif isinstance(value, enum.Enum):
            self._write(value.value)
        else:
            self._parts.append(self._scalar(value))

    def _container(self, opening: str, items: Iterable[tuple[str | None, Any]], closing: str) -> None:
        self._parts.append(opening)
        for number, (key, each) in enumerate(items):
            if len(self._path) > self._limit:
                self._allow_deeper()
            self._parts.append(("," if number else "") + ("" if key is None else _string(key) + ":"))
            self._path.append(f"[{number}]" if key is None else key)
            self._write(each)
            self._path.pop()
        self._parts.append(closing)
        if len(self._parts) > 3 * self._most:
            raise TakesLong(_Writer(self._attributes, self._known, self._depth).text)

    def _allow_deeper(self) -> None:
        """Go on where the stored text is as deep as this."""
        if self._known is not None and self._limit == self._depth < MAX_DEPTH:
            self._limit = max(self._depth, _depth_of(loads(self._known)))
        if len(self._path) > self._limit:
            raise SerializationError(
                f"cannot store the session: {_spell(self._path[:3])}… is nested more than {self._limit} deep, "
                "or contains itself; make it flatter, or store it as text, such as json.dumps(value)"
            )

    def _scalar(self, value: Any) -> str:
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, str):
            return _string(value)
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, float):
            return _number(value)
        if isinstance(value, date):
            return f'"{self._date(value)}"'
        if isinstance(value, UUID):
            return f'"{value}"'
        cures = (cure for type, cure in _CURES.items() if isinstance(value, type))
        cure = next(cures, "store text, numbers, lists, dicts")
        raise SerializationError(
            f"cannot store the session: {_spell(self._path)} is of type {type(value).__name__}, which JSON has no form "
            f"for; {cure}"
        )

    def _integer(self, value: int) -> str:
        try:
            text = int.__repr__(value)
        except ValueError:  # Python's limit, as this takes time that grows with the square
            raise SerializationError(
                f"cannot store the session: {_spell(self._path)} is an integer of thousands of digits; store it as text"
            ) from None
        if abs(value) > _MAX_SAFE_INTEGER and not self._has_warned:  # once: a list of them must not fill the log
            self._has_warned = True
            logger.warning(
                "%s is an integer beyond 2^53, which JavaScript rounds; store it as text", _spell(self._path)
            )
        return text

    def _date(self, value: date) -> str:
        try:
            return _date(value)
        except (OverflowError, ValueError):
            raise SerializationError(
                f"cannot store the session: {_spell(self._path)} is a date that UTC has no year for; store it as text"
            ) from None

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        if key is None or isinstance(key, (bool, int, float)):
            return self._scalar(key)
        raise SerializationError(
            f"cannot store the session: {_spell(self._path)} has a key of type {type(key).__name__}; make it text"
        )


def _string(text: str) -> str:
    if _surrogates.search(text):  # two that make a pair are one character to JavaScript, and one alone is escaped
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    quoted = json.dumps(text, ensure_ascii=False)
    return _surrogates.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _date(value: date) -> str:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), timezone.utc)
    try:
        moment = value.astimezone(timezone.utc)  # without a zone it is local time
    except (OverflowError, ValueError, OSError):
        if value.utcoffset() is not None:
            raise
        # Python must look a day around, and some platforms know local time of few years only: it is standard time then.
        zone = timezone(timedelta(seconds=-clock.timezone))
        moment = value.replace(tzinfo=zone).astimezone(timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".rjust(24, "0")


def _is_plain(name: str) -> bool:
    return _is_name(name) is not None and name.isprintable()


def _spell(path: list[str]) -> str:
    """A value's key, as it is written to get it: ``cart[0].price``.

    It is for messages, and names may come from users: line breaks and the like are escaped, what is long is cut off.
    """
    names = (cut(step, _LONGEST_NAME) for step in path[:_MOST_STEPS])
    steps = (name if _is_index(name) else "." + name if _is_plain(name) else f"[{json.dumps(name)}]" for name in names)
    rest = "…" if len(path) > _MOST_STEPS else ""
    return "".join(steps).removeprefix(".") + rest or "the session"
