"""Work on each record of a store: some concurrently, with the results counted."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

from ..drivers import Entry
from ..errors import ConflictError, DamagedError, MismatchError
from ..ids import Rule
from .finding import is_session
from .outcome import PASSED_OVER
from .spelling import short, warn

# Enough to keep a database busy, few enough to leave it to the sessions.
_MOST_CONCURRENT = 16

# Records of a listing after which the terminal shows how many there were.
_STEP = 1000

# How often to retry a record that its session writes at the same moment.
_ATTEMPTS = 5

BUSY = "changed all the time, so run it again"
"""What to tell of records whose result is ``busy``."""


class Scanned(Protocol):
    """A store, as far as it is listed."""

    @property
    def ids(self) -> Rule:
        """The form of the ids under which it keeps sessions."""

    def scan(self) -> AsyncIterator[Entry]:
        """List its records."""


async def for_each(store: Scanned, work: Callable[[Entry], Awaitable[str]], failure: str) -> Counter[str]:
    """Do something with every record that may be a session.

    Args:
        store: Has the records.
        work: Is done with each; gives its result. A `DamagedError` is the result ``damaged``.
        failure: What to warn of then: ``is not copied``.

    Returns:
        How many records had each result.
    """
    counts: Counter[str] = Counter()
    is_watched = sys.stderr.isatty()
    total = await _count(store.scan()) if is_watched else 0
    async with contextlib.aclosing(_batches(store.scan())) as batches:  # also if the loop is interrupted
        async for batch in batches:
            sessions = [entry for entry in batch if is_session(entry, store.ids)]
            counts.update(await asyncio.gather(*(_result(entry, work, failure) for entry in sessions)))
            counts[PASSED_OVER] += len(batch) - len(sessions)
            if is_watched:
                print(f"\r{_progress(counts.total(), total)}", end="", file=sys.stderr, flush=True)
    if is_watched:
        print(file=sys.stderr)
    return counts


async def watched(entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    """Pass records on, and tell on a terminal how many there were so far."""
    is_watched, count = sys.stderr.isatty(), 0
    async for entry in entries:
        yield entry
        count += 1
        if is_watched and count % _STEP == 0:
            print(f"\r{count:,} records", end="", file=sys.stderr, flush=True)
    if is_watched and count >= _STEP:
        print(f"\r{' ' * 30}\r", end="", file=sys.stderr, flush=True)


async def retry(attempt: Callable[[], Awaitable[str]]) -> str:
    """Repeat an attempt while it conflicts with others; ``busy`` if that is too often."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(ConflictError):
            return await attempt()
    return "busy"


async def _result(entry: Entry, work: Callable[[Entry], Awaitable[str]], failure: str) -> str:
    try:
        return await work(entry)
    except MismatchError:  # `OpenStore.warn_of_mismatches` tells of all in one
        return "damaged"
    except (DamagedError, UnicodeError) as error:
        warn(f"{short(entry.id)} {failure}: {error}")
        return "damaged"


async def _count(entries: AsyncIterator[Entry]) -> int:
    count = 0
    async for _ in entries:
        count += 1
    return count


async def _batches(entries: AsyncIterator[Entry]) -> AsyncGenerator[list[Entry], None]:
    batch: list[Entry] = []
    try:
        async for entry in entries:
            batch.append(entry)
            if len(batch) == _MOST_CONCURRENT:
                yield batch
                batch = []
        if batch:
            yield batch
    finally:
        if isinstance(entries, AsyncGenerator):
            await entries.aclose()


def _progress(done: int, total: int) -> str:
    """A bar: ``[#####     ] 500 of 1000``. Sessions come and go: the total is a guess."""
    total = max(done, total)
    filled = done * 40 // total
    return f"[{'#' * filled:40}] {done} of {total}"
