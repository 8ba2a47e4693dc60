"""The memory driver: records in a dict, for development and tests.

They last as long as the process, and no other process has them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence

from ..errors import ConflictError
from ..immediate import never_waits
from .base import Driver, Entry, Record


class MemoryDriver(Driver):
    """A driver that keeps records in memory, shared by all users of the object.

    Args:
        lifetime: Milliseconds a record may be idle; 0: for ever.
        clock: Gives seconds; only differences count.
    """

    def __init__(self, lifetime: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = lifetime / 1000
        self._clock = clock
        # The longest idle one first, so that gc need not look at those that stay. A plain dict, since an OrderedDict
        # takes 54 bytes more a record.
        self._records: dict[str, tuple[str, float]] = {}
        # Those whose last activity was not the time of their writing, in no order.
        self._shifted: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._records) + len(self._shifted)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        return self._alive(id)

    @never_waits
    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        is_ours = self._alive(id) is None if version is None else self._stored(id) == version
        if not is_ours:
            raise ConflictError("the record is no longer the one that was read")
        self._put(id, payload, idle)
        return payload

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        record = self._alive(id)
        if record is not None:
            self._put(id, record.payload, idle)

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        record = self._alive(id)
        if record is None or record.version != version:
            return False
        self._put(id, record.payload, idle)
        return True

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        if version is not None and self._stored(id) not in (None, version):
            raise ConflictError("the record is no longer the one that was read")
        self._drop(id)

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """See `Driver.alive`."""
        return {id for id in ids if self._alive(id) is not None}

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        seconds = lifetime / 1000
        idle = [id for id, (_, active) in self._shifted.items() if self._is_idle(active, seconds)]
        for id, (_, active) in self._records.items():
            if not self._is_idle(active, seconds):
                break
            idle.append(id)
        for id in idle:
            self._drop(id)
        return len(idle)

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        for id in [*self._records, *self._shifted]:
            record = self._alive(id)
            if record is not None:
                yield Entry(id, record.payload, time.time() * 1000 - record.idle)

    def _stored(self, id: str) -> str | None:
        """Find the text that is there, expired or not."""
        kept = self._records.get(id) or self._shifted.get(id)
        return None if kept is None else kept[0]

    def _alive(self, id: str) -> Record | None:
        """Find a record that has not expired."""
        kept = self._records.get(id) or self._shifted.get(id)
        if kept is None:
            return None
        payload, last_activity = kept
        idle = self._clock() - last_activity
        return None if self._seconds and idle > self._seconds else Record(payload, payload, idle * 1000)

    def _is_idle(self, last_activity: float, seconds: float) -> bool:
        return self._clock() - last_activity > seconds

    def _put(self, id: str, payload: str, idle: float = 0) -> None:
        self._drop(id)  # or it would keep its place
        if idle:
            self._shifted[id] = (payload, self._clock() - idle / 1000)
        else:
            self._records[id] = (payload, self._clock())

    def _drop(self, id: str) -> None:
        if self._records.pop(id, None) is None:
            self._shifted.pop(id, None)
