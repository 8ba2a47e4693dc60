"""Farewells of killed processes, which nobody destroys when their grace is over.

    removed = await remove_orphans(records, grace=10_000)

Where sessions expire, orphans do so, too. Only where they never expire is it worth reading the whole store for them.
"""

from __future__ import annotations

import asyncio
import contextlib

from . import farewell, ids
from .drivers.base import Entry, Record
from .errors import ConflictError, DamagedError
from .records import Loaded, Records

# How many records are looked at before other tasks have their turn.
_TURN = 100


async def remove_orphans(records: Records, grace: float) -> int:
    """Remove the farewells whose grace is over.

    Args:
        records: Takes the ids that `Driver.scan` gives: with `hashIds`, on the driver that the hashing one wraps.
        grace: The policy's `regenerate_grace`, in milliseconds.

    Returns:
        How many were removed; 0 for a driver that cannot list its records.

    Raises:
        UnavailableError: The store cannot be reached.
    """
    removed, seen = 0, 0
    with contextlib.suppress(NotImplementedError):
        async for entry in records.driver.scan():
            seen += 1
            if seen % _TURN == 0:
                await asyncio.sleep(0)
            with contextlib.suppress(DamagedError, ConflictError):
                removed += await _remove_if_over(records, entry, grace)
    return removed


async def _remove_if_over(records: Records, entry: Entry, grace: float) -> bool:
    is_readable = records.encrypter is None
    if not ids.is_valid(entry.id) or (is_readable and farewell.KEY not in entry.payload):
        return False
    if not _is_over(records, entry.id, await records.parse(Record(entry.payload, None), entry.id), grace):
        return False
    there = await records.read(entry.id, ())  # the listing has no version
    if there is None or not _is_over(records, entry.id, there, grace):
        return False
    await records.driver.destroy(entry.id, there.version)
    return True


def _is_over(records: Records, id: str, loaded: Loaded, grace: float) -> bool:
    if not farewell.is_farewell(loaded.attributes):
        return False
    found = farewell.parse(loaded.attributes, id, loaded.idle, loaded.version)
    return not found.is_due(records.clock() * 1000, grace)
