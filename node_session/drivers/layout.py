"""The layout of a table: its columns, and how they keep a record.

The drivers' statements are made of one, once; the original's layout is the default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .payload import decode, encode


class Layout(NamedTuple):
    """The columns of a table. The defaults are the original's.

    Attributes:
        id: Name of the column for the id.
        payload: For the text.
        last: For the time.
        text: An expression for the stored text.
        stored: Makes an expression for the value of the column `payload` from one for a text.
        activity: Makes an expression for the last activity, in milliseconds since 1970, from the column `last`.
        time: The reverse: makes an expression for a value of the column `last` from one for a last activity.
        exact: Makes an expression that has the exact value of a column `last`, or of one that was read so.
        encode: Gives the text to store for a record's text.
        decode: The reverse; raises `DamagedError`.
    """

    id: str = "id"
    payload: str = "payload"
    last: str = "lastActivity"
    text: str = "payload"
    stored: Callable[[str], str] = "{}".format
    activity: Callable[[str], str] = "{}".format
    time: Callable[[str], str] = "{}".format
    exact: Callable[[str], str] = "{}".format
    encode: Callable[[str], str] = encode
    decode: Callable[[object], str] = decode


ORIGINAL = Layout()
"""The original's table."""
