"""The layout of MongoDB's documents: their fields, and how these keep a record.

The original's is here; see `express_mongo` for another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions

from ..errors import DamagedError, UnsupportedError
from .payload import decode, encode


class MongoLayout:
    """The original's documents: `_id`, `payload` (see `payload`) and `lastActivity`, in milliseconds since 1970.

    Args:
        lifetime: Milliseconds a record may be idle; 0: for ever.

    Attributes:
        payload: Name of the field whose value is the payload, and the version.
        last: Name of the field for the time.
        earliest: A value of `last` that is no later than any other.
        index: Options of the index on `last`.
        codec: How PyMongo decodes documents; None: as the client does.
    """

    payload = "payload"
    last = "lastActivity"
    earliest: Any = 0
    index: Mapping[str, Any] = {}
    codec: CodecOptions[Any] | None = None

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime

    def encode(self, payload: str, version: Any) -> Any:
        """Make the value to store for a payload.

        Args:
            payload: The text.
            version: The value that it replaces; None: it is a new record.

        Raises:
            SerializationError: MongoDB cannot hold it in this form.
        """
        return encode(payload)

    def decode(self, document: Mapping[str, Any]) -> str:
        """Find the payload of a document.

        Raises:
            DamagedError: It has none.
            UnsupportedError: It has one that no text can say.
        """
        return decode(document.get(self.payload))

    def decode_leniently(self, document: Mapping[str, Any]) -> str:
        """Find the payload of a document; an empty text if there is none."""
        try:
            return self.decode(document)
        except (DamagedError, UnsupportedError):
            return ""

    def size(self, stored: Any) -> int:
        """Tell about how large a stored value is, in bytes."""
        return len(str(stored))

    def is_version(self, version: Any) -> dict[str, Any]:
        """Make the filter that finds this version."""
        return {self.payload: version}

    def renewed(self, idle: float, now: int) -> dict[str, Any]:
        """Make the fields of a record that has been idle for so many milliseconds; `now` in milliseconds since 1970."""
        # As a double, since JavaScript's driver makes one of a number of this size.
        return {self.last: float(int(now - idle))}

    def last_activity(self, document: Mapping[str, Any], now: int) -> float:
        """Find the last activity of a document, in milliseconds since 1970."""
        return float(document.get(self.last) or 0)

    def alive(self, now: int) -> dict[str, Any]:
        """Make the filter that finds only records that have not expired."""
        return {self.last: {"$gte": now - self.lifetime}} if self.lifetime else {}

    def expired(self, now: int) -> dict[str, Any]:
        """Make the filter that finds only records that have expired."""
        return {self.last: {"$lt": self.oldest(self.lifetime, now) if self.lifetime else 0}}

    def oldest(self, lifetime: float, now: int) -> Any:
        """Make the value that `last` is less than if a record has been idle for longer than this lifetime."""
        return now - lifetime
