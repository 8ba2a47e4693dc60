"""The lists of an owner's devices in the store: read, and changed by compare-and-swap.

    await rosters.change("ann", change)     # `change` gets the lists, and changes them in place

There is one list for each secret. New devices are entered in that of the first one, and all are read, so that a
program with a new secret finds the devices of the old one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import ConflictError, DamagedError
from .queues import queue_of
from .records import Records
from .retry import Retry
from .roster import Roster

T = TypeVar("T")


_DAY = 24 * 60 * 60 * 1000  # milliseconds


class Rosters:
    """The lists of all owners.

    Args:
        records: All records of the program.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    async def read(self, owner: str) -> list[Roster]:
        """Read an owner's lists, that of the first secret first. One that is not in the store is empty.

        Raises:
            UnavailableError: The store cannot tell.
        """
        return list(await asyncio.gather(*(self._read(id, owner) for id in self._records.owners.ids(owner))))

    async def change(self, owner: str, change: Callable[[list[Roster]], Awaitable[T]]) -> T:
        """Change an owner's lists; what others change meanwhile stays.

        Args:
            owner: The owner.
            change: Changes the lists in place. After a conflict it is called again, with those that are stored now.

        Returns:
            What the last call of `change` has returned.

        Raises:
            UnavailableError: The store is down, or others have changed the list for too long.
        """
        records = self._records
        queue = queue_of(records.driver, records.owners.ids(owner)[0])
        if queue.turn is None:
            queue.turn = asyncio.Lock()  # otherwise the tasks of this process would disturb each other
        async with queue.turn:
            retry = Retry(records.policy.save_timeout, "the list of an owner's devices")
            while True:
                rosters = await self.read(owner)
                result = await change(rosters)
                try:
                    for roster in rosters:
                        await self._write(roster)
                    return result
                except ConflictError:
                    await retry.wait()

    async def renew(self, roster: Roster) -> None:
        """Renew a list, if it would expire before its sessions.

        Where nothing expires it is renewed once a day, so that a removal of old records leaves it.
        """
        records, policy = self._records, self._records.policy
        kept_for = roster.kept_for(policy)
        is_due = roster.idle > kept_for + policy.renew_after if policy.lifetime else _DAY < roster.idle < math.inf
        if is_due:
            await records.touch(roster.id, round(kept_for) if policy.lifetime else 0)

    async def _read(self, id: str, owner: str) -> Roster:
        roster = Roster(id, owner)
        try:
            loaded = await self._records.read(id)
        except DamagedError as error:
            await self._records.set_aside(id, error)
            if error.version is None:  # it is no text, so that nobody could replace it
                await self._records.driver.destroy(id)
            roster.version = error.version
            return roster
        if loaded is not None:
            roster.version, roster.idle = loaded.version, loaded.idle
            roster.read(loaded.attributes, loaded.text, self._records.ids.is_valid)
        return roster

    async def _write(self, roster: Roster) -> None:
        text = roster.compose()
        if text == roster.text or (roster.text is None and roster.is_needless):
            return
        idle = min(roster.idle, roster.kept_for(self._records.policy))  # never so that it expires earlier than before
        roster.version = await self._records.write(roster.id, text, roster.version, round(idle))
        roster.text = text
