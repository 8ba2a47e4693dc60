"""The sessions of an owner's devices: looked up, and destroyed.

With `hashIds` a list has the hashes of ids, so its sessions are found in the driver that the hashing one wraps. If they
are encrypted as well, only their cookies make them readable. Then a session counts as the device's as long as it is
there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence

from .drivers.hashed import HashedDriver
from .errors import ConflictError, DamagedError
from .farewell import is_farewell
from .owners import Owned, owned
from .records import Loaded, Records
from .retry import Retry
from .roster import Entry, is_roster


class DeviceSessions:
    """The sessions of all devices.

    Args:
        records: All records of the program.
    """

    def __init__(self, records: Records) -> None:
        driver = records.driver
        self._kept = records
        if isinstance(driver, HashedDriver):
            self._kept = Records(
                driver.driver, records.policy, None, records.events, records.clock, format=records.format
            )
        self._is_unreadable = self._kept is not records and records.encrypter is not None

    async def idle_times(self, owner: str, entries: Mapping[str, Entry]) -> dict[str, float]:
        """For how long each device has been idle, in ms; without those that have no session.

        Raises:
            UnavailableError: The store cannot tell.
        """
        found = await self._look(owner, entries)
        missing = {device: entry for device, entry in entries.items() if device not in found}
        if missing:  # a session is written under its new id before it leaves the old one: perhaps it did so meanwhile
            found.update(await self._look(owner, missing))
        return found

    async def there(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids under which there still is a record."""
        found = await asyncio.gather(*(self._kept.driver.read(id) for id in ids))
        return [id for id, record in zip(ids, found, strict=True) if record is not None]

    async def destroy(self, device: Owned, ids: Iterable[str]) -> bool:
        """Destroy the sessions of a device under these ids, and what they have left there.

        Returns:
            Whether there was one.

        Raises:
            UnavailableError: The store is down; repeat it.
        """
        return any(await asyncio.gather(*(self._destroy(device, id) for id in ids)))

    async def _look(self, owner: str, entries: Mapping[str, Entry]) -> dict[str, float]:
        places = [(device, entry, id) for device, entry in entries.items() for id in entry.ids]
        there = await asyncio.gather(*(self._read(id) for *_, id in places))
        found: dict[str, float] = {}
        for (device, entry, _), loaded in zip(places, there, strict=True):
            if loaded is not None and self._is_unreadable:
                loaded.own_lifetime = entry.lifetime
                loaded.idle -= self._kept.shift(entry.lifetime)
            if loaded is not None and self._is_of(Owned(owner, device), loaded):
                found[device] = min(loaded.idle, found.get(device, math.inf))
        return found

    def _is_of(self, device: Owned, loaded: Loaded) -> bool:
        records, own = self._kept, loaded.own_lifetime
        if own is not None and own < loaded.idle < math.inf:
            return False
        if self._is_unreadable:
            return True
        return owned(loaded.attributes) == device and not records.policy.is_over(loaded.attributes, records.clock())

    async def _read(self, id: str) -> Loaded | None:
        """Read what is kept under an id; None if that is no session."""
        if self._is_unreadable:
            record = await self._kept.driver.read(id)
            return None if record is None else Loaded({}, "", record.version, record.idle)
        try:
            return await self._kept.read(id, ())
        except DamagedError:
            return None

    async def _destroy(self, device: Owned, id: str) -> bool:
        retry = Retry(self._kept.policy.save_timeout, "a session of a device that is logged out")
        while True:
            there = await self._read(id)
            if there is None or is_roster(there.attributes):
                return False
            is_session = self._is_unreadable or owned(there.attributes) == device
            if not is_session and not is_farewell(there.attributes, self._kept.format):
                return False
            try:
                await self._kept.driver.destroy(id, there.version)
                return is_session
            except ConflictError:  # its request has just saved it, or moved it
                await retry.wait()
