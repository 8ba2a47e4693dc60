"""Farewells of killed processes, which nobody destroys when their grace is over.

    async for removed in remove_orphans(records, grace=10_000): ...

If sessions expire, orphans expire as well. Reading the whole store for them is worth it only if sessions never expire.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from . import farewell
from .drivers.base import Entry, Record
from .errors import ConflictError, DamagedError
from .records import Loaded, Records

# How many records a step looks at: a few ms of work in the event loop, if they are encrypted.
_STEP = 100


async def remove_orphans(records: Records, grace: float) -> AsyncGenerator[int, None]:
    """Remove the farewells whose grace is over, in steps; there is none for a driver that cannot list its records.

    Args:
        records: Takes the ids that `Driver.scan` gives: with `hashIds`, on the driver that the hashing one wraps.
        grace: The policy's `regenerate_grace`, in milliseconds.

    Yields:
        How many a step has removed.

    Raises:
        UnavailableError: The store cannot be reached.
    """
    try:
        entries = records.driver.scan()
    except NotImplementedError:
        return
    removed, seen = 0, 0
    try:
        with contextlib.suppress(NotImplementedError):
            async for entry in entries:
                with contextlib.suppress(DamagedError, ConflictError):
                    removed += await _remove_if_over(records, entry, grace)
                seen += 1
                if seen % _STEP == 0:
                    yield removed
                    removed = 0
    finally:
        if isinstance(entries, AsyncGenerator):  # so that a sweep that ends early leaves no folder or cursor open
            await entries.aclose()
    yield removed


async def _remove_if_over(records: Records, entry: Entry, grace: float) -> bool:
    is_readable = records.encrypter is None
    if not records.ids.is_valid(entry.id) or (is_readable and farewell.KEY not in entry.payload):
        return False
    if not _is_over(records, entry.id, await records.parse(Record(entry.payload, None), entry.id), grace):
        return False
    there = await records.read(entry.id, ())  # the listing has no version
    if there is None or not _is_over(records, entry.id, there, grace):
        return False
    await records.driver.destroy(entry.id, there.version)
    return True


def _is_over(records: Records, id: str, loaded: Loaded, grace: float) -> bool:
    if not farewell.is_farewell(loaded.attributes, records.format):
        return False
    found = farewell.parse(loaded.attributes, id, loaded.idle, loaded.version, records.format)
    return not found.is_due(records.clock() * 1000, grace)
