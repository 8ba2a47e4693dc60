"""The removal of expired sessions, and of orphans if sessions never expire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator

from .config import Config
from .drivers.hashed import HashedDriver
from .events import Events
from .farewell import TRACEABLE
from .once import Once
from .orphans import remove_orphans
from .records import Records

logger = logging.getLogger("node_session")

# The lifetime, in milliseconds, for a sweep if sessions do not expire: a hundred years. The file driver still has to
# remove temporary files of killed processes.
_FOR_EVER = 100 * 365 * 24 * 60 * 60 * 1000.0

# If sessions never expire, the first sweep this many graces after the start also looks for what processes that ended
# before have left behind: by then it is an orphan.
_ORPHANED_AFTER = 3


class Sweeper:
    """The sweeps of a program.

    Args:
        config: The program's.
        records: Its records.
        events: Receives the number of removed sessions.
    """

    def __init__(self, config: Config, records: Once[Records], events: Events) -> None:
        self._lifetime = config.lifetime
        self._records = records
        self._events = events
        grace = config.regenerate_grace or TRACEABLE
        self._look_for_orphans_at = time.monotonic() + _ORPHANED_AFTER * grace / 1000

    async def sweep(self) -> int:
        """Remove the expired sessions without pauses; return their number."""
        records = await self._records.get()
        removed = await records.driver.gc(self._lifetime or _FOR_EVER)
        async for step in self._orphans(records):
            removed += step
            await asyncio.sleep(0)
        self._note(removed)
        return removed

    async def in_steps(self) -> AsyncGenerator[float, None]:
        """Remove the expired sessions; yield after each step the longest rest, in seconds."""
        records = await self._records.get()
        driver, removed = records.driver, 0
        try:
            for sweep in (driver.gc_in_steps(self._lifetime or _FOR_EVER), self._orphans(records)):
                async with contextlib.aclosing(sweep) as steps:
                    async for step in steps:
                        removed += step
                        yield driver.longest_rest
        finally:
            self._note(removed)

    async def _orphans(self, records: Records) -> AsyncGenerator[int, None]:
        if self._lifetime or time.monotonic() < self._look_for_orphans_at:
            return
        driver, encrypter = records.driver, records.encrypter
        if isinstance(driver, HashedDriver):  # its listing has no ids, and texts can be decrypted with these only
            driver, encrypter = driver.driver, None
        steps = remove_orphans(Records(driver, encrypter=encrypter), records.policy.regenerate_grace)
        async with contextlib.aclosing(steps):
            async for removed in steps:
                yield removed
        self._look_for_orphans_at = math.inf  # each process that is killed is followed by one that starts

    def _note(self, removed: int) -> None:
        if removed:
            self._events.note("removed", count=removed)
        logger.debug("removed %d expired sessions", removed)
