"""hashIds: records under a hash of their id.

Someone who reads the store, or a backup of it, then finds no id to make a cookie of. (A cookie takes the secret as
well; this is for programs that keep the two apart, and still want neither to be enough.)
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from .base import Driver, Entry, Record


class HashedDriver(Driver):
    """A wrapper that passes everything on to another driver, except the ids.

    Args:
        driver: Keeps the records. It sees ids of the usual form: the first 240 bits of SHA-256 over the session's own.

    Attributes:
        driver: That driver, for callers that have the ids under which it keeps records, from a listing.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.longest_rest = driver.longest_rest
        self.takes_idle = driver.takes_idle
        # half_written_for stays 0: it is about the npm original, which cannot share such a store.

    def kept_id(self, id: str) -> str:
        """See `Driver.kept_id`."""
        return _hash(id)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        return await self.driver.read(_hash(id))

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        if idle and self.takes_idle:
            return await self.driver.write(_hash(id), payload, version, idle=idle)
        return await self.driver.write(_hash(id), payload, version)

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        if idle and self.takes_idle:
            await self.driver.touch(_hash(id), idle=idle)
        else:
            await self.driver.touch(_hash(id))

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        if idle and self.takes_idle:
            return await self.driver.confirm(_hash(id), version, idle=idle)
        return await self.driver.confirm(_hash(id), version)

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        await self.driver.destroy(_hash(id), version)

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """See `Driver.alive`."""
        hashes = {_hash(id): id for id in ids}
        return {hashes[each] for each in await self.driver.alive([*hashes])}

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        return await self.driver.gc(lifetime)

    def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """See `Driver.gc_in_steps`."""
        return self.driver.gc_in_steps(lifetime)

    async def set_aside(self, id: str, version: object) -> None:
        """See `Driver.set_aside`."""
        await self.driver.set_aside(_hash(id), version)

    def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`. The ids are hashes: no way leads back to the sessions' own."""
        return self.driver.scan()

    async def close(self) -> None:
        """See `Driver.close`."""
        await self.driver.close()


def _hash(id: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(id.encode()).digest()[:30]).decode()
