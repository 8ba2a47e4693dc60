"""MongoDB with the collection of connect-mongo, which Express programs keep their sessions in.

    {_id: "…", expires: ISODate("2026-12-10T21:35:04.000Z"), session: '{"cookie":{…},"passport":{"user":7}}'}

`expires` is the time at which a record expires, and not that of its last activity: the one is the other plus the
lifetime. A record that expires earlier or later than others has been idle for longer or shorter. One without this field
never expires. Other fields (`createdAt`, `updatedAt`) stay as they are.

- `session` is the record's text, or with connect-mongo's `stringify: false` a document (see `mongo_documents`). A
  record keeps the form that it has; the value as it was read is the version.
- With connect-mongo's `touchAfter`, records have a field `lastModified`, by which it knows when a renewal is due. As
  soon as one of them was read, we keep it as well.
- The index on `expires` must be connect-mongo's, with which MongoDB removes expired records: there can be only one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from ..errors import DamagedError
from . import mongo_documents
from .connection import Connection
from .mongo import MongoDriver
from .mongo_layout import MongoLayout
from .options import Options

logger = logging.getLogger("node_session")

_DAY = 24 * 60 * 60 * 1000
_FOR_EVER = 100 * 365 * _DAY


def create(options: Options, connection: Connection) -> ExpressMongoDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    return ExpressMongoDriver(connection, options.table, options.lifetime, stringify=connection.stringify)


class ExpressMongoDriver(MongoDriver):
    """A driver that keeps records in connect-mongo's collection.

    Args:
        connection: Where; its `client`, if it has one, is used and never closed.
        collection: Its `collectionName`.
        lifetime: Milliseconds a record may be idle, its `ttl`; 0: for ever, or until Express renews it.
        stringify: Its `stringify`: whether new records are text.
        clock: Gives seconds since 1970.
    """

    def __init__(
        self,
        connection: Connection,
        collection: str = "sessions",
        lifetime: float = 14 * _DAY,
        *,
        stringify: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        layout = ExpressLayout(min(math.ceil(lifetime), _FOR_EVER) or _FOR_EVER, stringify=stringify)
        super().__init__(connection, collection, lifetime, clock=clock, layout=layout)


class ExpressLayout(MongoLayout):
    """The documents of connect-mongo.

    Args:
        lifetime: Milliseconds a record may be idle; at least 1.
        stringify: Whether new records are text.
    """

    payload = "session"
    last = "expires"
    earliest = DatetimeMS(-(2**63))
    index: Mapping[str, Any] = {"expireAfterSeconds": 0}
    codec = mongo_documents.CODEC

    def __init__(self, lifetime: int, *, stringify: bool = True) -> None:
        super().__init__(lifetime)
        self._stringify = stringify
        self._has_last_modified = False
        self._has_warned = False

    def encode(self, payload: str, version: Any) -> Any:
        """See `MongoLayout.encode`."""
        if isinstance(version, str) or (version is None and self._stringify):
            return payload
        return mongo_documents.to_document(payload, version)

    def decode(self, document: Mapping[str, Any]) -> str:
        """See `MongoLayout.decode`."""
        if "lastModified" in document:
            self._has_last_modified = True
        stored = document.get(self.payload)
        if isinstance(stored, RawBSONDocument):
            self._expect(stringify=False)
            return mongo_documents.to_text(stored)
        if not isinstance(stored, str):
            raise DamagedError(f"the document's session is no string or document, but {type(stored).__name__}")
        self._expect(stringify=True)
        return stored

    def _expect(self, *, stringify: bool) -> None:
        """Warn once if Express probably has another `stringify`: it cannot read records of the other form."""
        if stringify is self._stringify or self._has_warned:
            return
        self._has_warned = True
        logger.warning(
            "a record of connect-mongo is %s, and this program makes %s: if Express has stringify: %s, set "
            '"stringify": %s in connection, or it cannot read the new records of this program',
            *(("text", "documents", "true", "true") if stringify else ("a document", "text", "false", "false")),
        )

    def size(self, stored: Any) -> int:
        """See `MongoLayout.size`."""
        return len(stored.raw) if isinstance(stored, RawBSONDocument) else super().size(stored)

    def is_version(self, version: Any) -> dict[str, Any]:
        """See `MongoLayout.is_version`. A document by itself could be a condition."""
        return {self.payload: {"$eq": version}}

    def renewed(self, idle: float, now: int) -> dict[str, Any]:
        """See `MongoLayout.renewed`."""
        fields = {self.last: DatetimeMS(int(now - idle + self.lifetime))}
        if self._has_last_modified:
            fields["lastModified"] = DatetimeMS(int(now - max(idle, 0)))
        return fields

    def last_activity(self, document: Mapping[str, Any], now: int) -> float:
        """See `MongoLayout.last_activity`. A record that never expires needs no renewal."""
        expires = document.get(self.last)
        return float(now if expires is None else int(expires) - self.lifetime)

    def alive(self, now: int) -> dict[str, Any]:
        """See `MongoLayout.alive`; this is connect-mongo's filter."""
        return {"$or": [{self.last: {"$exists": False}}, {self.last: {"$gt": DatetimeMS(now)}}]}

    def oldest(self, lifetime: float, now: int) -> Any:
        """See `MongoLayout.oldest`. For connect-mongo, a record is over in the millisecond in which it expires."""
        return DatetimeMS(int(now - lifetime + self.lifetime) + 1)
