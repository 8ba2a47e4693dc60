"""MongoDB, by motor or by PyMongo's own asynchronous client: nothing here knows which of the two it has.

The documents are the original's: `_id`, `payload` (the stored text as a JSON string), `lastActivity` (milliseconds
since 1970). As in SQL, the payload is the version: one `update_one` that finds it compares and swaps.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from bson.errors import BSONError
from pymongo import errors

from ...errors import ConflictError, DamagedError, UnavailableError
from ..base import Driver, Entry, Record
from .connection import POOL_SIZE, Connection
from .per_loop import PerLoop
from .sql import decode, decode_leniently, encode, now

if TYPE_CHECKING:
    from ...config import Config


def create(config: Config, connection: Connection) -> MongoDriver:
    """Make the driver; see `node_session.drivers.database`."""
    return MongoDriver(connection, config.table, config.lifetime)


class MongoDriver(Driver):
    """Keeps records in a collection. The collection and its index are made when first needed.

    Args:
        connection: Where; its `client`, if it has one, is used and never closed.
        collection: Name of the collection.
        lifetime: Milliseconds a record may be idle; 0: for ever.
    """

    def __init__(self, connection: Connection, collection: str, lifetime: float) -> None:
        self._connection = connection
        self._collection = collection
        self._lifetime = lifetime
        self._opened = PerLoop(self._open, self._close_client)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        with self._translated():
            document = await (await self._opened.get()).find_one({"_id": id, **self._alive()})
        if document is None:
            return None
        stored = document.get("payload")
        if not isinstance(stored, str):
            raise DamagedError(f"the document's payload is no string, but {type(stored).__name__}")
        return Record(decode(stored), stored, now() - float(document.get("lastActivity") or 0))

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`."""
        stored = encode(payload)
        # As a double, which is what JavaScript's driver makes of a number of this size.
        change = {"$set": {"payload": stored, "lastActivity": float(now())}}
        with self._translated():
            records = await self._opened.get()
            if version is None:
                # Finds an expired record, or none; then it inserts, unless the id is taken.
                expired = {"lastActivity": {"$lt": self._oldest()}}
                await records.update_one({"_id": id, **expired}, change, upsert=True)
                return stored
            result = await records.update_one({"_id": id, "payload": version, **self._alive()}, change)
        if not result.matched_count:
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        with self._translated():
            change = {"$set": {"lastActivity": float(now())}}
            await (await self._opened.get()).update_one({"_id": id, **self._alive()}, change)

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        wanted = {"_id": id} if version is None else {"_id": id, "payload": version}
        with self._translated():
            result = await (await self._opened.get()).delete_one(wanted)
        if version is not None and not result.deleted_count and await self.read(id) is not None:
            raise ConflictError("the record is no longer the one that was read")

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        with self._translated():
            expired = {"lastActivity": {"$lt": now() - lifetime}}
            result = await (await self._opened.get()).delete_many(expired)
        return int(result.deleted_count)

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        with self._translated():
            async for document in (await self._opened.get()).find(self._alive()):
                payload = decode_leniently(document.get("payload"))
                yield Entry(str(document["_id"]), payload, float(document["lastActivity"]))

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._opened.close()

    def _alive(self) -> dict[str, Any]:
        """What finds only records that have not expired."""
        return {"lastActivity": {"$gte": self._oldest()}} if self._lifetime else {}

    def _oldest(self) -> float:
        """The earliest last activity of a record that has not expired."""
        return now() - self._lifetime if self._lifetime else 0

    async def _open(self) -> Any:
        to = self._connection
        client = to.client or self._make_client()
        database = client[to.database] if to.database else client.get_default_database("test")
        collection = database[self._collection]
        try:
            with self._translated():
                await collection.create_index("lastActivity")
        except BaseException:
            await self._close_client(collection)
            raise
        return collection

    def _make_client(self) -> Any:
        from motor.motor_asyncio import AsyncIOMotorClient

        to = self._connection
        milliseconds = int(to.timeout)
        who: dict[str, Any] = {}
        if to.user:
            who = {"username": to.user, "password": to.password, "authSource": to.database}
        return AsyncIOMotorClient(
            to.url or to.host,
            port=to.port or 27017,
            maxPoolSize=to.pool_size or POOL_SIZE,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            timeoutMS=milliseconds,
            **who,
        )

    async def _close_client(self, collection: Any) -> None:
        if self._connection.client is None:
            closing = collection.database.client.close()
            if inspect.isawaitable(closing):
                await closing

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except errors.DuplicateKeyError:
            raise ConflictError("the record is there already") from None
        except (errors.PyMongoError, BSONError, OSError) as error:
            where = self._connection.where
            raise UnavailableError(f"{where}: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """PyMongo describes the whole topology in its messages; the first sentence says what is wrong."""
    return str(error).split(", Timeout:")[0]
