"""Records of many sessions in one statement, on a database server.

The reads of one turn of the event loop are one statement, and so are its renewals, its new records and its changes (see
`turns`). A single operation is sent by the plain statement of `sql`.

A database may answer for some of a statement's records only: the plain statement then finds out about each of the
others. So a combined statement must be exact in one direction: the changes that it reports were made, and the others
were not. If it fails as a whole, because of an unusual table or a value that does not fit, it changed nothing either,
and is sent again in halves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from ..errors import ConflictError
from .base import Record
from .connection import Connection
from .server_table import ServerTable
from .sql import Dialect, as_text
from .turn import Kind, Turn


class ServerTurns(ServerTable):
    """A driver on a database server that combines the statements of many requests.

    A derived class has the combined statements. Each of them makes the changes that it reports or, if it raises an
    error, none. If the error says that another transaction holds a record, each change is sent by itself.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        dialect: Of the database.
        clock: Gives seconds since 1970.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        lifetime: float,
        dialect: Dialect,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(connection, table, lifetime, dialect, clock)
        kind = partial(Kind, is_refusal=self._is_refusal)
        self._reads = kind(self._send_reads, shares_ids=True)
        self._touches = kind(self._send_touches, shares_ids=True)
        self._confirmations = kind(self._send_confirmations)
        self._swaps = kind(self._send_swaps)
        self._creations = kind(self._send_creations)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        row = await self._ask(self._reads, id)
        if row is None:
            return None
        stored, active = row
        return Record(self.layout.decode(stored), stored, self._now() - float(active))

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        stored = self.layout.encode(payload)
        if version is None:
            if not await self._ask(self._creations, id, idle, stored, size=len(stored)):
                await self._replace(id, stored, idle)
        elif not await self._ask(self._swaps, id, idle, version, stored, size=len(stored) + len(str(version))):
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        await self._ask(self._touches, id, idle)

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        is_same: bool = await self._ask(self._confirmations, id, idle, version, size=len(str(version)))
        return is_same

    @abstractmethod
    async def _select_all(self, connection: Any, ids: Sequence[str], oldest: int) -> Sequence[Sequence[Any]]:
        """Find records that have not expired; gives rows of id, payload and last activity."""

    @abstractmethod
    async def _touch_all(self, connection: Any, renewals: Sequence[tuple[str, int]], oldest: int) -> int:
        """Renew unexpired records, by pairs of id and new last activity in order; return how many were renewed."""

    @abstractmethod
    async def _swap_all(self, connection: Any, changes: Sequence[tuple[str, int, str, str]]) -> Collection[str]:
        """Replace payloads, if they are the expected ones.

        Args:
            connection: Of the pool.
            changes: Id, new last activity, expected payload and new payload of each record, by ascending id.

        Returns:
            The ids of the replaced records. The others were not changed, for whatever reason.
        """

    @abstractmethod
    async def _insert_all(self, connection: Any, records: Sequence[tuple[str, int, str]]) -> Collection[str]:
        """Insert records of id, last activity and payload, by ascending id; return the ids of new ones."""

    async def _send_reads(self, turn: Turn) -> None:
        if len(turn.asked) == 1:
            rows = (await self._run(turn, self._select, turn.asked[0].id, self._oldest(), repeatable=True)).rows
            turn.asked[0].tell(rows[0] if rows else None)
            return
        ids, oldest = list({asked.id for asked in turn.asked}), self._oldest()
        found = await self._work(turn, lambda connection: self._select_all(connection, ids, oldest), True)
        by_id = {as_text(id): (stored, active) for id, stored, active in found}
        for asked in turn.asked:
            asked.tell(by_id.get(asked.id))

    async def _send_touches(self, turn: Turn) -> None:
        now, oldest = self._now(), self._oldest()
        renewals = sorted({asked.id: int(now - asked.values[0]) for asked in turn.asked}.items())

        async def work(connection: Any) -> int | None:
            return await self._unless_held(self._touch_all(connection, renewals, oldest))

        if len(renewals) == 1:
            await self._run(turn, self._touch, *renewals[0][::-1], oldest, repeatable=True)
        elif await self._work(turn, work, True) is None:
            _send_each(turn)
            return
        for asked in turn.asked:
            asked.tell(None)

    async def _send_confirmations(self, turn: Turn) -> None:
        now, oldest = self._now(), self._oldest()
        wanted = {asked.id: (int(now - asked.values[0]), asked.values[1]) for asked in turn.asked}
        if len(wanted) == 1:
            ((id, (active, version)),) = wanted.items()
            done = await self._run(turn, self._confirm, active, id, oldest, version, repeatable=True)
            turn.asked[0].tell(done.changed > 0)
            return

        async def work(connection: Any) -> set[str] | None:
            found = await self._select_all(connection, sorted(wanted), oldest)
            there = {as_text(id): stored for id, stored, _ in found}
            same = sorted((id, active) for id, (active, version) in wanted.items() if there.get(id) == version)
            if same and await self._unless_held(self._touch_all(connection, same, oldest)) is None:
                return None
            return {id for id, _ in same}

        same = await self._work(turn, work, True)
        if same is None:
            _send_each(turn)
            return
        for asked in turn.asked:
            asked.tell(asked.id in same)

    async def _send_swaps(self, turn: Turn) -> None:
        await self._examine(turn)
        if len(turn.asked) == 1:
            (asked,) = turn.asked
            idle, version, stored = asked.values
            asked.tell((await self._run(turn, self._swap, stored, self._now(idle), asked.id, version)).changed > 0)
        else:
            await self._send_together(turn, self._swap_all)

    async def _send_creations(self, turn: Turn) -> None:
        await self._examine(turn)
        if len(turn.asked) == 1:
            (asked,) = turn.asked
            idle, stored = asked.values
            try:
                await self._run(turn, self._insert, asked.id, stored, self._now(idle))
                asked.tell(True)
            except self.failures as error:
                asked.tell(False if self._is_duplicate(error) else error)
        else:
            await self._send_together(turn, self._insert_all)

    async def _send_together(self, turn: Turn, change: Callable[..., Awaitable[Collection[str]]]) -> None:
        """Send changes by a combined statement, and by the plain one those that it has not made."""
        if self._combines:
            now = self._now()
            changes = sorted((asked.id, int(now - asked.values[0]), *asked.values[1:]) for asked in turn.asked)

            async def work(connection: Any) -> Collection[str] | None:
                return await self._unless_held(change(connection, changes))

            done = await self._work(turn, work, False) or ()
            for asked in turn.asked:
                if asked.id in done:
                    asked.tell(True)
        _send_each(turn)


def _send_each(turn: Turn) -> None:
    """Send each operation without an outcome by the plain statement."""
    turn.again(*([asked] for asked in turn.waiting()))
