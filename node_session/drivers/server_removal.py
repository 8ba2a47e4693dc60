"""Removing expired records on a database server, in steps (see `removal`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from .connection import Connection
from .removal import Expired, all_of, remove_in_steps
from .server_turns import ServerTurns
from .sql import Dialect
from .turn import Kind, Turn


class ServerRemoval(ServerTurns):
    """A driver on a database server that removes expired records in steps, each of them a turn.

    A derived class has the statement of a step.

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
        self._removals = Kind(self._send_removal, most=1)

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        return await all_of(self.gc_in_steps(lifetime))

    def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """Remove expired records like `gc`, in steps (see `removal`); yields how many each of them has removed."""
        oldest = self._now() - int(lifetime)

        async def look(since: Any) -> Sequence[Expired]:
            return [Expired(*row) for row in await self._fetch(self._expired, since, oldest)]

        async def remove(expired: Sequence[Expired]) -> int:
            return int(await self._ask(self._removals, "", expired))

        return remove_in_steps(look, remove)

    @abstractmethod
    async def _delete_all(self, connection: Any, ids: Sequence[Any], first: Any, last: Any) -> int:
        """Delete records whose last activity is in a range; gives how many it has deleted.

        If somebody holds one of them, it passes over that one, or deletes none: the next sweep does.
        """

    async def _send_removal(self, turn: Turn) -> None:
        (asked,) = turn.asked
        (expired,) = asked.values
        ids = [each.id for each in expired]
        first, last = expired[0].last_activity, expired[-1].last_activity
        is_unsure = False  # whether the answer to an earlier attempt was lost, which may have deleted them

        async def remove(connection: Any) -> int:
            nonlocal is_unsure
            was_unsure, is_unsure = is_unsure, True
            try:
                removed = await self._unless_held(self._delete_all(connection, ids, first, last)) or 0
            except self.failures as error:
                is_unsure = was_unsure or not self._is_refusal(error)
                raise
            return len(ids) - len(await self._select_all(connection, ids, 0)) if was_unsure else removed

        asked.tell(await self._work(turn, remove, True))
