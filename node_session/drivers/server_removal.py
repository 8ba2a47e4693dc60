"""Removing expired records on a database server, in steps (see `removal`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from .removal import Expired, all_of, remove_in_steps
from .server_turns import ServerTurns


class ServerRemoval(ServerTurns):
    """A driver on a database server that removes expired records in steps, each of them a turn.

    A derived class has the statement of a step.

    Attributes:
        earliest: The earliest last activity that an expired record may have, in the database's type.
    """

    earliest: Any = 0

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        return await all_of(self.gc_in_steps(lifetime))

    def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """Remove expired records like `gc`, in steps (see `removal`); yields how many each of them has removed."""
        oldest = self._now() - int(lifetime)

        async def look(since: Any) -> Sequence[Expired]:
            return [Expired(*row) for row in await self._fetch(self._expired, since, oldest)]

        async def remove(expired: Sequence[Expired]) -> int:
            return await self._do(self._removing(expired), True)

        return remove_in_steps(look, remove, self.earliest)

    @abstractmethod
    async def _delete_all(self, connection: Any, ids: Sequence[Any], first: Any, last: Any) -> int:
        """Delete records whose last activity is in a range; gives how many it has deleted.

        If somebody holds one of them, it passes over that one, or deletes none: the next sweep does.
        """

    def _removing(self, expired: Sequence[Expired]) -> Callable[[Any], Awaitable[int]]:
        """Make the work of a step."""
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

        return remove
