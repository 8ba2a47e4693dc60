"""hashIds: records under a hash of their id.

Whoever reads the store, or a backup of it, then finds no id that a cookie could be made of. (It would take the secret
as well; this is for those who keep the two apart, and still want neither to be enough.)
"""

from __future__ import annotations

import base64
import hashlib

from .base import Driver, Record


class HashedDriver(Driver):
    """Passes everything on to another driver, but for the ids.

    Args:
        driver: Keeps the records. It sees ids of the usual form, which are the first 240 bits of SHA-256 over the
            session's own.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        return await self._driver.read(_hash(id))

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`."""
        return await self._driver.write(_hash(id), payload, version)

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        await self._driver.touch(_hash(id))

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        await self._driver.destroy(_hash(id), version)

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        return await self._driver.gc(lifetime)

    async def set_aside(self, id: str, version: object) -> None:
        """See `Driver.set_aside`."""
        await self._driver.set_aside(_hash(id), version)

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._driver.close()


def _hash(id: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(id.encode()).digest()[:30]).decode()
