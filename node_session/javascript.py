"""Numbers, text and dates as JavaScript spells them in JSON.

    spell_number(1e16)   # "10000000000000000", where Python and orjson write 1e+16

orjson writes what JSON.stringify writes, except for a few floats. `may_differ` tells whether a text may contain one,
and `respell` corrects it.
"""

from __future__ import annotations

import json
import math
import re
import time as clock
from datetime import date, datetime, time, timedelta, timezone

MAX_SAFE_INTEGER = 2**53 - 1
"""JavaScript rounds larger integers."""

# Strings are matched only to skip them.
_strings_and_numbers = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?')
_surrogates = re.compile("[\ud800-\udfff]")


def may_differ(text: bytes) -> bool:
    """Whether orjson may have spelled a number otherwise than JavaScript.

    These are 1.0, -0.0, 1e+16 to 1e+20 and 1e-6 to 9e-6.

    To look for one byte is fifty times as fast as to look for two, and for two it is three times as fast from the end.
    """
    if b"." in text and text.rfind(b".0") >= 0 and any(text.rfind(end) >= 0 for end in (b".0,", b".0]", b".0}")):
        return True
    return (b"+" in text and b"e+" in text) or text.rfind(b"e-6") >= 0


def respell(text: bytes) -> str:
    """Spell all floats in a JSON text as JavaScript does."""
    return _strings_and_numbers.sub(_respell_token, text).decode()


def _respell_token(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if token[0] == 0x22 or token.isdigit():
        return token
    return spell_number(float(token)).encode() if b"." in token or b"e" in token else token


def spell_number(value: float) -> str:
    """Spell a float with as few digits as possible.

    It has an exponent only from 1e21 on and below 1e-6.
    """
    if not math.isfinite(value):
        return "null"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))  # the number of digits before it
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        text = digits.ljust(point, "0") if len(digits) <= point else digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + f"e{point - 1:+d}"
    return sign + text


def quote(text: str) -> str:
    """Quote a text.

    Two halves of a surrogate pair are joined, and one alone is escaped.
    """
    if _surrogates.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    quoted = json.dumps(text, ensure_ascii=False)
    return _surrogates.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def spell_date(value: date) -> str:
    """Spell a date as toISOString does: in UTC, with milliseconds.

    A datetime without a zone is local time.

    Raises:
        ValueError, OverflowError: In UTC its year is not one of 1 to 9999.
    """
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), timezone.utc)
    try:
        moment = value.astimezone(timezone.utc)
    except (OverflowError, ValueError, OSError):
        if value.utcoffset() is not None:
            raise
        # Python must look a day around, and some platforms know the local time of few years: standard time it is.
        zone = timezone(timedelta(seconds=-clock.timezone))
        moment = value.replace(tzinfo=zone).astimezone(timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".rjust(24, "0")
