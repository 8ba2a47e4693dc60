"""Sessions as documents of MongoDB: what connect-mongo stores with `stringify: false`.

A document becomes the text that JSON.stringify makes of it in Node: a date and an ObjectId are strings. When a changed
text is written back, each value whose JSON is still the same stays what it was, so that none of these is lost. Another
value becomes what Node's driver would make of it. A string that spells a date, in the place of a date, is one again.
"""

from __future__ import annotations

import base64
import math
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import bson
import orjson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from ..errors import SerializationError, UnsupportedError

CODEC: CodecOptions[Any] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)
"""How documents are decoded: no byte is lost, so that they can be compared and written back, nor any date."""

_LARGEST = 2**53 - 1  # JavaScript's Number.MAX_SAFE_INTEGER
_DEEPEST = 99  # of the 100 levels that MongoDB takes, the record around a session is one
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999  # the years 1 and 9999, which have four digits
_ABSENT = object()

_is_date = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII).fullmatch


def to_text(document: RawBSONDocument) -> str:
    """Write a document as JSON.

    Raises:
        UnsupportedError: It has a value for which JSON has no form.
    """
    return orjson.dumps(_shown(document, "session")).decode()


def to_document(text: str, before: RawBSONDocument | None) -> RawBSONDocument:
    """Make the document of a session.

    Args:
        text: An object, as JSON.
        before: The document that it replaces; None: there is none.

    Raises:
        SerializationError: BSON has no form for it.
    """
    try:
        session = _stored(orjson.loads(text), {} if before is None else before, _DEEPEST)
        cookie = session.get("cookie")
        if isinstance(cookie, dict) and "expires" in cookie:  # Express keeps a date there, or null
            cookie["expires"] = _as_date(cookie["expires"])
        return RawBSONDocument(bson.encode(session), CODEC)
    except (ValueError, AttributeError, BSONError) as error:
        raise SerializationError(f"cannot store the session as a document of MongoDB: {error}") from None


def _shown(value: Any, path: str) -> Any:
    """Find what JSON shows of a value; `path` is its name in messages."""
    if isinstance(value, RawBSONDocument):
        return {key: _shown(each, f"{path}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each, f"{path}[{number}]") for number, each in enumerate(value)]
    if value is None or type(value) in (bool, str):  # Code is a str as well
        return value
    if isinstance(value, float):
        return _number(value) if math.isfinite(value) else None
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return int(value)
    if isinstance(value, DatetimeMS) and _EARLIEST <= int(value) <= _LATEST:
        moment = _EPOCH + timedelta(milliseconds=int(value))
        return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, ObjectId):
        return str(value)
    if type(value) is bytes:  # a Buffer
        return base64.b64encode(value).decode()
    raise UnsupportedError(
        f"{path} in this session's document is a {type(value).__name__} of BSON, which has no form in JSON that keeps "
        "it: store something else there, or leave out `stringify: false` of connect-mongo"
    )


def _stored(value: Any, before: Any, levels: int) -> Any:
    """Find what to store for a value of JSON.

    Args:
        value: The value.
        before: What was stored in its place.
        levels: How deep it may be nested.
    """
    if levels == 0 and isinstance(value, (dict, list)):
        raise ValueError(f"its values are nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict):
        members = before if isinstance(before, RawBSONDocument) else {}
        return {key: _stored(each, members.get(key, _ABSENT), levels - 1) for key, each in value.items()}
    if isinstance(value, list):
        items = before if isinstance(before, list) else []
        rest = [_ABSENT] * (len(value) - len(items))
        return [_stored(each, was, levels - 1) for each, was in zip(value, [*items, *rest], strict=False)]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = _number(value)
    if before is _ABSENT or isinstance(before, (RawBSONDocument, list, dict)):
        return _plain(value)
    shown = _shown(before, "")
    if type(shown) is type(value) and shown == value:
        return before
    return _as_date(value) if isinstance(before, DatetimeMS) else _plain(value)


def _plain(value: Any) -> Any:
    """Make of a value of JSON what Node's driver makes of it: a whole number of more than 32 bits is a double."""
    is_large = type(value) is int and not -(2**31) <= value < 2**31
    return float(value) if is_large else value


def _number(value: float) -> float:
    """Give a number the type that JSON.stringify shows: one without a fraction is an integer."""
    if not -_LARGEST <= value <= _LARGEST:
        if isinstance(value, int):
            raise ValueError(f"the number {value} is too large for JavaScript: store it as a string")
        return value
    return int(value) if value == int(value) else value


def _as_date(value: Any) -> Any:
    """Make a date of a string that spells one as JavaScript does; any other value stays."""
    if not isinstance(value, str) or _is_date(value) is None:
        return value
    try:
        return DatetimeMS(_ms(datetime.fromisoformat(value[:-1])))
    except ValueError:
        return value


def _ms(moment: datetime) -> int:
    """Milliseconds since 1970 of a time in UTC."""
    return (moment.replace(tzinfo=timezone.utc) - _EPOCH) // timedelta(milliseconds=1)
