"""gc and destroy: removing records."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections import Counter

from ..drivers import Entry
from ..errors import ConfigError, DamagedError
from ..orphans import remove_orphans
from .devices import destroy_owner
from .each import BUSY, for_each, retry
from .finding import NotFoundError, find, holds, is_session, require_readable
from .open_store import OpenStore, open_store
from .outcome import ATTENTION, PASSED_OVER, Outcome, summarize
from .spelling import plural, short

# Milliseconds by which two looks at an idle time may differ although nobody has used the session.
_A_MOMENT = 1000


async def gc(options: argparse.Namespace) -> Outcome:
    """Remove the expired records."""
    async with open_store(options.config) as store:
        lifetime = store.config.lifetime
        if lifetime:
            removed = await store.kept.driver.gc(lifetime)
            text = f"removed {plural(removed, 'expired record')}"
        else:  # then a process that was killed has left old records that do not expire, either
            removed = sum([step async for step in remove_orphans(store.kept, store.config.regenerate_grace)])
            text = (
                f"removed {plural(removed, 'old record')} of regenerated sessions: with lifetime 0 no session expires"
            )
    return Outcome(text, {"removed": removed})


async def destroy(options: argparse.Namespace) -> Outcome:
    """Remove one session, or many."""
    if options.all and not options.yes:
        raise ConfigError("destroy --all logs out everybody; if you mean it, add --yes")
    async with open_store(options.config) as store:
        if options.id is not None:
            return await _destroy_one(store, options.id)
        if options.owner is not None:
            return await destroy_owner(store, options.owner)
        if options.user:
            return await _destroy_user(store, options.user)
        counts = await (_destroy_all(store) if options.all else _destroy_idle(store, options.older_than))
    return summarize(counts, f"destroyed {plural(counts['destroyed'], 'session')}", ["destroyed"])


async def _destroy_one(store: OpenStore, start: str) -> Outcome:
    records, id = await find(store, start)
    if not records.ids.is_valid(id):
        raise NotFoundError(f"the record {short(id)} is no session, as its id shows")
    await records.driver.destroy(id)
    return Outcome(f"destroyed {short(id)}", {"destroyed": 1})


async def _destroy_all(store: OpenStore) -> Counter[str]:
    counts: Counter[str] = Counter()
    async for entry in store.scan():
        if is_session(entry, store.ids):
            await store.kept.driver.destroy(entry.id)
            counts["destroyed"] += 1
        else:
            counts[PASSED_OVER] += 1
    return counts


async def _destroy_idle(store: OpenStore, milliseconds: float) -> Counter[str]:
    """Remove the sessions that have been idle for longer than this."""
    # First as gc does it, which makes sure in one step that nobody has just used the record. But of sessions that live
    # shorter than others, it sees by their time only that they have expired.
    expired = max(milliseconds, store.config.lifetime) if store.kept.can_shift else milliseconds
    removed = await store.kept.driver.gc(expired)
    counts = await for_each(store, lambda entry: _destroy_if_idle(store, entry, milliseconds), "is left")
    counts["destroyed"] += removed
    return counts


async def _destroy_if_idle(store: OpenStore, entry: Entry, milliseconds: float) -> str:
    listed = idle = time.time() * 1000 - entry.last_activity
    if not store.is_unreadable:
        with contextlib.suppress(DamagedError):
            idle = (await store.load(entry)).idle
    if idle <= milliseconds:
        return "other"
    with contextlib.suppress(DamagedError):
        record = await store.kept.driver.read(entry.id)
        if record is None or record.idle < listed - _A_MOMENT:  # it was used since it was listed
            return "other"
    await store.kept.driver.destroy(entry.id)
    return "destroyed"


async def _destroy_user(store: OpenStore, wanted: list[tuple[str, str]]) -> Outcome:
    require_readable(store)
    counts = await for_each(store, lambda entry: _destroy_if(store, entry, wanted), "is left")
    notes = {"damaged": "unreadable, and left, as nobody can tell whose they are", "busy": BUSY}
    outcome = summarize(counts, f"destroyed {plural(counts['destroyed'], 'session')}", ["destroyed"], notes)
    return outcome if counts["destroyed"] else outcome._replace(code=ATTENTION)


async def _destroy_if(store: OpenStore, entry: Entry, wanted: list[tuple[str, str]]) -> str:
    """Remove a record if its session holds the wanted values."""
    if not holds((await store.load(entry)).attributes, wanted):
        return "other"

    async def attempt() -> str:
        loaded = await store.kept.read(entry.id)
        # Somebody else may have logged in with it since it was listed.
        if loaded is None or not holds(loaded.attributes, wanted):
            return "other"
        await store.kept.driver.destroy(entry.id, loaded.version)
        return "destroyed"

    return await retry(attempt)
