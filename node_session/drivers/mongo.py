"""MongoDB, by motor or by PyMongo's own asynchronous client, which are alike here.

The documents are the original's: `_id`, `payload`, `lastActivity`; those of another program have another layout (see
`mongo_layout`). The clock is the program's. As in SQL, the payload is the version: one `update_one` that finds it
compares and swaps.

The operations of one turn of the event loop go together (see `turns`): reads by `$in`, renewals by `update_many`, new
records and changes as `mongo_bulk` has it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from bson.errors import BSONError
from pymongo import errors

from ..errors import ConflictError
from .base import Driver, Entry, Record, pieces
from .connection import POOL_SIZE, Connection
from .mongo_bulk import finding, looking, put_all, removing, swap_all, update_all
from .mongo_collection import MongoCollection, was_refused
from .mongo_layout import MongoLayout
from .options import Options
from .per_loop import PerLoop
from .removal import Expired, all_of, remove_in_steps
from .turn import Asked, Kind, Turn
from .turns import Turns

T = TypeVar("T")

_CHANGES = 4  # in a turn, since each waits for those before it

_ANY: Mapping[str, Any] = {}


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
        layout: Of the documents; None: the original's.
    """

    def __init__(
        self,
        connection: Connection,
        collection: str,
        lifetime: float,
        *,
        clock: Callable[[], float] = time.time,
        layout: MongoLayout | None = None,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._layout = MongoLayout(lifetime) if layout is None else layout
        self._collection = MongoCollection(connection, collection, self._layout)
        self._turns = PerLoop(self._open_turns, Turns.close)
        self._reads = Kind(self._send_reads, shares_ids=True, is_refusal=_is_answer)
        self._touches = Kind(self._send_touches, shares_ids=True, is_refusal=_is_answer)
        self._confirmations = Kind(self._send_confirmations, is_refusal=_is_answer)
        self._creations = Kind(self._send_creations)
        self._swaps = Kind(self._send_swaps, most=_CHANGES)
        self._alone = Kind(self._send_alone, most=1)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        document = await self._ask(self._reads, id)
        if document is None:
            return None
        layout, now = self._layout, self._now()
        return Record(layout.decode(document), document[layout.payload], now - layout.last_activity(document, now))

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        stored = self._layout.encode(payload, version)
        size = self._layout.size(stored)
        if version is None:
            await self._ask(self._creations, id, stored, idle, size=size)
        elif not await self._ask(self._swaps, id, stored, idle, version, size=size + self._layout.size(version)):
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        await self._ask(self._touches, id, idle)

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        is_same: bool = await self._ask(self._confirmations, id, version, idle, size=self._layout.size(version))
        return is_same

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        wanted = {"_id": id} if version is None else {"_id": id, **self._layout.is_version(version)}
        result = await self._do(lambda records: records.delete_one(wanted))
        if version is None or result.deleted_count:
            return
        if await self._do(lambda records: records.find_one({"_id": id}), repeatable=True):
            raise ConflictError("the record is no longer the one that was read")

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """See `Driver.alive`."""
        asked = [await self._do(finding(some, self._alive()), repeatable=True) for some in pieces(ids)]
        return {document["_id"] for documents in asked for document in documents}

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        return await all_of(self.gc_in_steps(lifetime))

    def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """Remove expired records like `gc`, in steps (see `removal`); yields how many each of them has removed."""
        last, oldest = self._layout.last, self._layout.oldest(lifetime, self._now())

        async def look(since: Any) -> Sequence[Expired]:
            documents = await self._do(looking(last, since, oldest), repeatable=True)
            return [Expired(document["_id"], document[last]) for document in documents]

        async def remove(expired: Sequence[Expired]) -> int:
            return int(await self._do(removing(last, expired), repeatable=True))

        return remove_in_steps(look, remove, self._layout.earliest)

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        found, layout, now = (await self._collection.get()).find(self._alive()), self._layout, self._now()
        try:
            async for document in found:  # for as long as it takes
                payload = layout.decode_leniently(document)
                yield Entry(str(document["_id"]), payload, layout.last_activity(document, now))
        except errors.PyMongoError as error:
            self._collection.raise_ours(error)

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._turns.close()
        await self._collection.close()

    async def _open_turns(self) -> Turns:
        return Turns(self._connection.pool_size or POOL_SIZE, self._connection.seconds)

    async def _do(self, ask: Callable[[Any], Awaitable[Any]], *, repeatable: bool = False) -> Any:
        """Ask in a turn of its own."""
        return await self._ask(self._alone, "", ask, repeatable)

    async def _ask(self, kind: Kind, id: str, *values: Any, size: int = 0) -> Any:
        """Send an operation with those of other requests; gives its outcome, or raises our error for it."""
        turns = self._turns.opened() or await self._turns.get()
        outcome = await turns.ask(kind, id, *values, size=size)
        if isinstance(outcome, Exception):
            self._collection.raise_ours(outcome, values[0] if size else "")
        return outcome

    async def _run(self, turn: Turn, ask: Callable[[Any], Awaitable[T]], **how: bool) -> T:
        return await self._collection.run(ask, turn.until - turn.loop.time(), **how)

    async def _send_alone(self, turn: Turn) -> None:
        for asked in turn.asked:
            ask, repeatable = asked.values
            asked.tell(await self._run(turn, ask, repeatable=repeatable))

    async def _send_reads(self, turn: Turn) -> None:
        ids = list({asked.id for asked in turn.asked})
        if len(ids) == 1:
            found = {"_id": ids[0], **self._alive()}
            document = await self._run(turn, lambda records: records.find_one(found), repeatable=True)
            by_id = {ids[0]: document}
        else:
            wanted = {"_id": {"$in": ids}, **self._alive()}
            documents = await self._run(turn, lambda records: records.find(wanted).to_list(None), repeatable=True)
            by_id = {document["_id"]: document for document in documents}
        for asked in turn.asked:
            asked.tell(by_id.get(asked.id))

    async def _send_touches(self, turn: Turn) -> None:
        await self._renew(turn, {asked.id: asked.values[0] for asked in turn.asked})
        for asked in turn.asked:
            asked.tell(None)

    async def _send_confirmations(self, turn: Turn) -> None:
        if len(turn.asked) == 1:
            (asked,) = turn.asked
            version, idle = asked.values
            asked.tell(await self._renew(turn, {asked.id: idle}, self._layout.is_version(version)) > 0)
            return
        versions = {asked.id: asked.values[0] for asked in turn.asked}
        wanted = {"_id": {"$in": list(versions)}, **self._alive()}
        documents = await self._run(turn, lambda records: records.find(wanted).to_list(None), repeatable=True)
        same = {each["_id"] for each in documents if each.get(self._layout.payload) == versions[each["_id"]]}
        if same:
            await self._renew(turn, {asked.id: asked.values[1] for asked in turn.asked if asked.id in same})
        for asked in turn.asked:
            asked.tell(asked.id in same)

    async def _renew(self, turn: Turn, idle: Mapping[str, float], same: Mapping[str, Any] = _ANY) -> int:
        ids: dict[int, list[str]] = {}
        for id, each in idle.items():
            ids.setdefault(int(each), []).append(id)  # one update for all that have been idle for the same time
        wanted, now = {**same, **self._alive()}, self._now()
        put = self._layout.renewed
        changes = [({"_id": {"$in": some}, **wanted}, {"$set": put(each, now)}) for each, some in ids.items()]
        return await self._run(turn, lambda records: update_all(records, changes), repeatable=True)

    async def _send_creations(self, turn: Turn) -> None:
        # Each finds an expired record and replaces it, or none and inserts one, unless the id is taken.
        expired = self._layout.expired(self._now())
        changes = [({"_id": asked.id, **expired}, self._put(asked)) for asked in turn.asked]
        outcomes = await self._run(turn, lambda records: put_all(records, changes), in_parts=len(changes) > 1)
        for asked, outcome in zip(turn.asked, outcomes, strict=True):
            asked.tell(outcome)

    async def _send_swaps(self, turn: Turn) -> None:
        same = self._layout.is_version
        changes = [({"_id": asked.id, **same(asked.values[2])}, self._put(asked)) for asked in turn.asked]
        outcomes = await self._run(turn, lambda records: swap_all(records, changes))
        for asked, outcome in zip(turn.asked, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._collection.has_refused(outcome)
            if not (isinstance(outcome, Exception) and was_refused(outcome)):
                asked.tell(outcome)
        turn.again(*([asked] for asked in turn.waiting()))

    def _put(self, asked: Asked) -> dict[str, Any]:
        """Make the update that stores a payload."""
        return {"$set": {self._layout.payload: asked.values[0], **self._layout.renewed(asked.values[1], self._now())}}

    def _alive(self) -> dict[str, Any]:
        """Make the filter that finds only records that have not expired."""
        return self._layout.alive(self._now())

    def _now(self) -> int:
        """Tell the time in milliseconds since 1970."""
        return int(self._clock() * 1000)


def _is_answer(error: Exception) -> bool:
    """Whether the server, or PyMongo for a document that is damaged, says no to a turn as a whole."""
    return isinstance(error, (errors.OperationFailure, BSONError))
