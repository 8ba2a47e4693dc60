"""MongoDB, by motor or by PyMongo's own asynchronous client, which are alike here.

The documents are the original's: `_id`, `payload` (see `payload`), `lastActivity` (milliseconds since 1970, by the
program's clock). As in SQL, the payload is the version: one `update_one` that finds it compares and swaps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pymongo
from async_timeout import timeout
from bson.errors import BSONError
from pymongo import ReadPreference, WriteConcern, errors

from ..errors import ConflictError, DamagedError, UnavailableError
from .base import Driver, Entry, Record
from .connection import Connection
from .mongo_client import make_client
from .options import Options
from .payload import decode, decode_leniently, encode
from .per_loop import PerLoop

_EARLIER = 0.9  # PyMongo's limit ends before ours, so that it can tell a silent connection from no server at all

_NOT_PRIMARY = (10107, 13435)  # other codes of its kind may come if a write is half done

logger = logging.getLogger("node_session")


def create(options: Options, connection: Connection) -> MongoDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    return MongoDriver(connection, options.table, options.lifetime)


class MongoDriver(Driver):
    """A driver that keeps records in a collection, made with its index when needed.

    Args:
        connection: Where; its `client`, if it has one, is used and never closed.
        collection: Name of the collection.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        clock: Gives seconds since 1970.
    """

    def __init__(
        self, connection: Connection, collection: str, lifetime: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._lifetime = lifetime
        self._clock = clock
        self._opened = PerLoop(self._open, self._close)
        self._closing: set[asyncio.Task[None]] = set()

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        document = await self._run(lambda records: records.find_one({"_id": id, **self._alive()}), repeatable=True)
        if document is None:
            return None
        stored = document.get("payload")
        if not isinstance(stored, str):
            raise DamagedError(f"the document's payload is no string, but {type(stored).__name__}")
        return Record(decode(stored), stored, self._now() - float(document.get("lastActivity") or 0))

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`."""
        stored = encode(payload)
        # As a double, since JavaScript's driver makes one of a number of this size.
        change = {"$set": {"payload": stored, "lastActivity": float(self._now())}}
        if version is None:
            # It finds an expired record and replaces it, or none and inserts one, unless the id is taken.
            expired = {"_id": id, "lastActivity": {"$lt": self._oldest()}}
            await self._run(lambda records: records.update_one(expired, change, upsert=True))
            return stored
        found = {"_id": id, "payload": version}
        result = await self._run(lambda records: records.update_one(found, change))
        if not result.matched_count:
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        change = {"$set": {"lastActivity": float(self._now())}}
        await self._run(lambda records: records.update_one({"_id": id, **self._alive()}, change), repeatable=True)

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        wanted = {"_id": id} if version is None else {"_id": id, "payload": version}
        result = await self._run(lambda records: records.delete_one(wanted))
        if version is None or result.deleted_count:
            return
        if await self._run(lambda records: records.find_one({"_id": id}), repeatable=True):
            raise ConflictError("the record is no longer the one that was read")

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        expired = {"lastActivity": {"$lt": self._now() - lifetime}}
        result = await self._run(lambda records: records.delete_many(expired))
        return int(result.deleted_count)

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        async with self._records() as records:
            found = records.find(self._alive())
        async for document in found:  # for as long as it takes
            payload = decode_leniently(document.get("payload"))
            yield Entry(str(document["_id"]), payload, float(document["lastActivity"]))

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._opened.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _alive(self) -> dict[str, Any]:
        """Make the filter that finds only records that have not expired."""
        return {"lastActivity": {"$gte": self._oldest()}} if self._lifetime else {}

    def _oldest(self) -> float:
        """Find the earliest last activity of a record that has not expired."""
        return self._now() - self._lifetime if self._lifetime else 0

    def _now(self) -> int:
        """Tell the time in milliseconds since 1970."""
        return int(self._clock() * 1000)

    async def _open(self) -> tuple[Any, asyncio.Task[None]]:
        to = self._connection
        client = to.client or make_client(to)
        database = client[to.database] if to.database else client.get_default_database("test")
        # Against any preference of the URL or the program's client: a replica that lags knows nothing of a login that
        # has just happened, and a write that only one server has may be rolled back.
        collection = database.get_collection(
            self._collection, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority")
        )
        return collection, asyncio.create_task(self._make_index(collection))

    async def _close(self, opened: tuple[Any, asyncio.Task[None]]) -> None:
        collection, indexing = opened
        indexing.cancel()
        await asyncio.wait([indexing])
        if self._connection.client is None:
            # In a thread, since it takes leave of a server that may not answer.
            await asyncio.to_thread(collection.database.client.delegate.close)

    async def _make_index(self, collection: Any) -> None:
        """Make the index, without a time limit.

        A large collection takes long, and no session needs the index.
        """
        while True:
            try:
                with pymongo.timeout(None):
                    await collection.create_index("lastActivity")
                return
            except errors.ConnectionFailure:
                await asyncio.sleep(self._connection.seconds)  # each request says that nobody answers
            except Exception as error:
                logger.warning("%s: no index on lastActivity: %s", self._connection.where, _first_line(error))
                return

    async def _run(self, ask: Callable[[Any], Awaitable[Any]], *, repeatable: bool = False) -> Any:
        """Ask, and once more if nothing was done, or if that does no harm (`repeatable`).

        PyMongo closes a connection that was silent, but goes on with its idle siblings. It also keeps connections to a
        server that is no longer the primary; if all servers are behind one address, they never lead to the new one. So
        the second attempt has a new client. PyMongo repeats operations as well, but not after its whole time limit: so
        a repeatable one has half of the limit for each attempt.
        """
        seconds = self._connection.seconds / (2 if repeatable else 1)
        opened = None
        try:
            async with self._records(seconds) as records:
                opened = self._opened.opened()
                with pymongo.timeout(seconds * _EARLIER):
                    return await ask(records)
        except UnavailableError as error:
            cause = error.__cause__
            if isinstance(cause, (errors.NetworkTimeout, errors.NotPrimaryError)):
                self._discard(opened)
            if not repeatable and not _was_refused(cause):
                raise
            if not isinstance(cause, (errors.AutoReconnect, asyncio.TimeoutError)):
                raise
        async with self._records(seconds) as records:
            with pymongo.timeout(seconds * _EARLIER):
                return await ask(records)

    def _discard(self, opened: tuple[Any, asyncio.Task[None]] | None) -> None:
        """Give the next operation a new client, and close this one in the background."""
        if opened is not None and self._connection.client is None and self._opened.discard(opened):
            closing = asyncio.create_task(self._close(opened))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    @contextlib.asynccontextmanager
    async def _records(self, seconds: float | None = None) -> AsyncIterator[Any]:
        """Give the collection to one operation, within a time limit.

        The client's own limits do not include the wait for one of motor's threads.
        """
        where = self._connection.where
        try:
            async with timeout(seconds or self._connection.seconds):
                collection, _ = await self._opened.get()
                yield collection
        except errors.DuplicateKeyError:
            raise ConflictError("the record is there already") from None
        except asyncio.TimeoutError as error:
            raise UnavailableError(f"{where}: no answer within {self._connection.timeout:g} ms") from error
        except (errors.PyMongoError, BSONError, OSError, ValueError, TypeError) as error:
            raise UnavailableError(f"{where}: {type(error).__name__}: {_first_line(error)}") from error


def _was_refused(error: BaseException | None) -> bool:
    """Whether a server has done nothing because it is not the primary."""
    details: Any = error.details if isinstance(error, errors.NotPrimaryError) else None
    return isinstance(details, dict) and details.get("code") in _NOT_PRIMARY


def _first_line(error: Exception) -> str:
    """Cut off the topology, which PyMongo describes after the error."""
    return str(error).split(", Timeout:")[0]
