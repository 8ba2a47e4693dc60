"""JSON written in Python, for values that orjson refuses or must not be given.

    JsonWriter({"on": date(2026, 11, 22)}, 64).text()   # '{"on":"2026-11-22T00:00:00.000Z"}'

It takes a hundred times as long as orjson, but it writes keys that are numbers, and any depth, and its errors name the
key of the value that they are about. The parts of a session that orjson can write are left to orjson.
"""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from . import javascript, prototype
from .errors import SerializationError
from .quoting import spell_key

logger = logging.getLogger("node_session")

_CURES = {
    set: "store a list",
    frozenset: "store a list",
    bytes: "store text, such as base64.b64encode(value).decode()",
    bytearray: "store text, such as base64.b64encode(value).decode()",
    Decimal: "store text, such as str(value)",
}


_PARTS_UNTIL = 3  # how deep parts are that are left to orjson, since each level of them costs one more attempt


class TooManyValues(Exception):  # noqa: N818 - it is no error
    """A session has more values than `JsonWriter` was asked to write."""


class JsonWriter:
    """The writer of one session.

    A generator would be simpler, but each part would pass through one generator for each level: seconds for a megabyte
    that somebody has nested on purpose.

    Args:
        attributes: The session's content. Another thread may change it meanwhile.
        depth: How deep values may be nested.
        stored_depth: Called if a value is deeper; a session may stay as deep as it is stored.
        most: How many values may be written.
        quick: Writes a part of the session; returns None if it cannot. It is tried for a quarter of `most` parts.
    """

    def __init__(
        self,
        attributes: dict[str, Any],
        depth: int,
        stored_depth: Callable[[], int] | None = None,
        most: float = math.inf,
        quick: Callable[[Any], str | None] | None = None,
    ) -> None:
        self._attributes, self._depth, self._stored_depth, self._most = attributes, depth, stored_depth, most
        self._quick, self._tries = quick, most / 4
        self._parts: list[str] = []
        self._path: list[str] = []
        self._has_warned = False

    def text(self) -> str:
        """Write the text.

        Raises:
            TooManyValues: There are more than `most`.
            SerializationError: As for `serializer.dumps`.
        """
        try:
            self._write(self._attributes)
        except SerializationError as error:
            # Without the frames that it passed through: a line in the log for each level of the value.
            raise error.with_traceback(None) from None
        written = "".join(self._parts)
        if written.rfind(prototype.WRITTEN_KEY) >= 0:
            prototype.refuse(written)
        return written

    def _write(self, value: Any) -> None:
        # Items are copied, so that they can change while another thread writes them.
        if self._path and self._is_written_quickly(value):
            return
        if isinstance(value, dict):
            self._container("{", ((self._key(key), each) for key, each in list(value.items())), "}")
        elif isinstance(value, (list, tuple)):
            self._container("[", ((None, each) for each in list(value)), "]")
        elif isinstance(value, enum.Enum):
            self._write(value.value)
        else:
            self._parts.append(self._scalar(value))

    def _is_written_quickly(self, value: Any) -> bool:
        if self._quick is None or self._tries <= 0 or len(self._path) > _PARTS_UNTIL:
            return False
        if not isinstance(value, (dict, list, tuple)):
            return False
        self._tries -= 1
        text = self._quick(value)
        if text is not None:
            self._parts.append(text)
        return text is not None

    def _container(self, opening: str, items: Iterable[tuple[str | None, Any]], closing: str) -> None:
        self._parts.append(opening)
        for number, (key, each) in enumerate(items):
            if len(self._path) > self._depth:
                self._allow_deeper()
            self._parts.append(("," if number else "") + ("" if key is None else javascript.quote(key) + ":"))
            self._path.append(f"[{number}]" if key is None else key)
            self._write(each)
            self._path.pop()
        self._parts.append(closing)
        if len(self._parts) > 3 * self._most:
            raise TooManyValues

    def _allow_deeper(self) -> None:
        """Go on if the stored text is as deep as this."""
        if self._stored_depth is not None:
            self._depth = max(self._depth, self._stored_depth())
            self._stored_depth = None
        if len(self._path) > self._depth:
            raise SerializationError(
                f"cannot store the session: {spell_key(self._path[:3])}… is nested more than {self._depth} deep, "
                "or contains itself; make it flatter, or store it as text, such as json.dumps(value)"
            )

    def _scalar(self, value: Any) -> str:
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, str):
            return javascript.quote(value)
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, float):
            return javascript.spell_number(value)
        if isinstance(value, date):
            return f'"{self._date(value)}"'
        if isinstance(value, UUID):
            return f'"{value}"'
        cures = (cure for type, cure in _CURES.items() if isinstance(value, type))
        cure = next(cures, "store text, numbers, lists, dicts")
        raise SerializationError(
            f"cannot store the session: {spell_key(self._path)} is of type {type(value).__name__}, which JSON has no "
            f"form for; {cure}"
        )

    def _integer(self, value: int) -> str:
        try:
            text = int.__repr__(value)
        except ValueError:  # Python's limit, since the time grows with the square of the digits
            raise SerializationError(
                f"cannot store the session: {spell_key(self._path)} is an integer of thousands of digits; "
                "store it as text"
            ) from None
        if abs(value) > javascript.MAX_SAFE_INTEGER and not self._has_warned:  # a list of them must not fill the log
            self._has_warned = True
            key = spell_key(self._path)
            logger.warning("%s is an integer beyond 2^53, which JavaScript rounds; store it as text", key)
        return text

    def _date(self, value: date) -> str:
        try:
            return javascript.spell_date(value)
        except (OverflowError, ValueError):
            raise SerializationError(
                f"cannot store the session: {spell_key(self._path)} is a date that UTC has no year for; "
                "store it as text"
            ) from None

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        if key is None or isinstance(key, (bool, int, float)):
            return self._scalar(key)
        raise SerializationError(
            f"cannot store the session: {spell_key(self._path)} has a key of type {type(key).__name__}; make it text"
        )
