"""The collection of MongoDB: its clients, its index, time limits and retries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import pymongo
from async_timeout import timeout
from bson.errors import BSONError
from pymongo import ReadPreference, WriteConcern, errors

from ..errors import ConflictError, UnavailableError
from .connection import Connection
from .mongo_client import make_client
from .mongo_layout import MongoLayout
from .per_loop import PerLoop

T = TypeVar("T")

_EARLIER = 0.9  # PyMongo's limit ends before ours, so that it can tell a silent connection from no server at all

_NOT_PRIMARY = (10107, 13435)  # other codes of its kind may come if a write is half done

_OTHER_INDEX = 85  # there is one with other options

_TOO_LARGE = (10334, 17419, 17420)  # for a document

logger = logging.getLogger("node_session")


class MongoCollection:
    """A collection, which is made with its index when first needed.

    Args:
        connection: Where; its `client`, if it has one, is used and never closed.
        name: Of the collection.
        layout: Of its documents.
    """

    def __init__(self, connection: Connection, name: str, layout: MongoLayout) -> None:
        self._connection = connection
        self._collection = name
        self._layout = layout
        self._opened = PerLoop(self._open, self._close)
        self._closing: set[asyncio.Task[None]] = set()

    async def run(
        self, ask: Callable[[Any], Awaitable[T]], seconds: float, *, repeatable: bool = False, in_parts: bool = False
    ) -> T:
        """Send an operation; retry it if nothing was done, or if it is `repeatable`.

        A server that steps down may refuse several writes of one command when it has done some (`in_parts`).

        PyMongo closes a connection that was silent, but goes on with its idle siblings. It also keeps connections to a
        server that is no longer the primary; if all servers are behind one address, they never lead to the new one. So
        the second attempt has a new client. PyMongo repeats operations as well, but not after its whole time limit: so
        a repeatable one has half of the limit for each attempt.
        """
        half = self._connection.seconds / 2
        first = min(seconds, half) if repeatable else seconds
        opened = None
        try:
            async with timeout(first):
                collection, _ = opened = await self._opened.get()
                with pymongo.timeout(first * _EARLIER):
                    return await ask(collection)
        except (errors.AutoReconnect, asyncio.TimeoutError) as error:
            # Silence for less than half of the time, after a long wait for its turn, says little.
            if first >= half or not isinstance(error, errors.NetworkTimeout):
                self._has_failed(opened, error)
            if not repeatable and (in_parts or not was_refused(error)):
                raise
        async with timeout(first):
            collection, _ = await self._opened.get()
            with pymongo.timeout(first * _EARLIER):
                return await ask(collection)

    async def get(self) -> Any:
        """Find the client's own collection, within the time limit."""
        async with timeout(self._connection.seconds):
            return (await self._opened.get())[0]

    def has_refused(self, error: Exception) -> None:
        """Give the next operation a new client if one of several has such an error."""
        self._has_failed(self._opened.opened(), error)

    def raise_ours(self, error: Exception, stored: Any = "") -> NoReturn:
        """Raise our error for one of PyMongo.

        Args:
            error: Of PyMongo.
            stored: The value that was to be stored, if there was one.
        """
        where = self._connection.where
        if isinstance(error, errors.DuplicateKeyError):
            raise ConflictError("the record is there already") from None
        if isinstance(error, asyncio.TimeoutError):
            raise UnavailableError(f"{where}: no answer within {self._connection.timeout:g} ms") from error
        if isinstance(error, (errors.PyMongoError, BSONError, OSError, ValueError, TypeError)):
            what = _first_line(error)
            if isinstance(error, errors.DocumentTooLarge) or getattr(error, "code", None) in _TOO_LARGE:
                size = len(stored.encode()) if isinstance(stored, str) else self._layout.size(stored)
                what += f" (the text to store has {size} bytes): keep less in a session"
            raise UnavailableError(f"{where}: {type(error).__name__}: {what}") from error
        raise error

    async def close(self) -> None:
        """Close the running loop's client."""
        await self._opened.close()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _open(self) -> tuple[Any, asyncio.Task[None]]:
        to = self._connection
        client = to.client or make_client(to)
        database = client[to.database] if to.database else client.get_default_database("test")
        # Against any preference of the URL or the program's client: a replica that lags knows nothing of a login that
        # has just happened, and a write that only one server has may be rolled back.
        collection = database.get_collection(
            self._collection, self._layout.codec, ReadPreference.PRIMARY, WriteConcern("majority")
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
                    await collection.create_index(self._layout.last, **self._layout.index)
                return
            except errors.ConnectionFailure:
                await asyncio.sleep(self._connection.seconds)  # each request says that nobody answers
            except Exception as error:
                if getattr(error, "code", None) == _OTHER_INDEX:
                    return  # one on the same field does as well
                where, last = self._connection.where, self._layout.last
                logger.warning("%s: no index on %s: %s", where, last, _first_line(error))
                return

    def _has_failed(self, opened: tuple[Any, asyncio.Task[None]] | None, error: Exception) -> None:
        """Give the next operation a new client, and close this one in the background."""
        is_useless = isinstance(error, (errors.NetworkTimeout, errors.NotPrimaryError))
        if is_useless and opened is not None and self._connection.client is None and self._opened.discard(opened):
            closing = asyncio.create_task(self._close(opened))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def was_refused(error: BaseException | None) -> bool:
    """Whether a server has done nothing because it is not the primary."""
    details: Any = error.details if isinstance(error, errors.NotPrimaryError) else None
    return isinstance(details, dict) and details.get("code") in _NOT_PRIMARY


def _first_line(error: Exception) -> str:
    """The first line of an error; PyMongo appends a description of the topology."""
    return str(error).split(", Timeout:")[0]
