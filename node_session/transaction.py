"""Transactions (reload, change and save as one step), and `take` for a single key."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator
from typing import Any

from . import aside, enlisting, paths
from .attributes import Attributes
from .errors import ConflictError, GoneError
from .loading import load_alive, note_activity, renew_if_due
from .owners import OWNER
from .records import Loaded
from .saving import commit, require_start, save, saving_lock, stage_in_time
from .state import GONE
from .work import UnitOfWork
from .writing import current_text, end, note_conflict, rebase, recall, retry_of

# The transactions that the running task is part of. A task that it starts inherits them.
_transactions: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("_transactions", default=())


@contextlib.asynccontextmanager
async def transaction(work: UnitOfWork) -> AsyncIterator[None]:
    """Run a transaction; see `Session.transaction`."""
    require_start(work)
    if _is_in_transaction(work):
        yield
        return
    work.turn = work.turn or asyncio.Lock()
    async with work.turn:
        this = work.open_transaction = object()
        _transactions.set((*_transactions.get(), this))
        try:
            async with _transact(work):
                yield
        finally:
            work.open_transaction = None
            _transactions.set(tuple(each for each in _transactions.get() if each is not this))
            work.content.settle_late()


@contextlib.asynccontextmanager
async def between_transactions(work: UnitOfWork) -> AsyncIterator[None]:
    """Wait for another task's transaction, whose changes may still be undone."""
    if work.turn is None or not waits_for_transaction(work):
        yield
        return
    async with work.turn:
        yield


async def save_in_turn(work: UnitOfWork) -> None:
    """Save the session after another task's transaction."""
    try:
        async with between_transactions(work):
            await save(work)
    finally:
        work.content.settle_late()


def waits_for_transaction(work: UnitOfWork) -> bool:
    """Whether another task's transaction is open."""
    return work.open_transaction is not None and not _is_in_transaction(work)


def _is_in_transaction(work: UnitOfWork) -> bool:
    return work.open_transaction is not None and work.open_transaction in _transactions.get()


@contextlib.asynccontextmanager
async def _transact(work: UnitOfWork) -> AsyncIterator[None]:
    content = work.content
    await _refresh(work)
    if work.state is GONE:
        raise GoneError("the session was destroyed or has expired, so nothing can be saved in it any more")
    text = await aside.dumps(content.attributes, work.base)
    changes, ages_flash = content.changes.copy(), content.ages_flash
    try:
        yield
    except BaseException:
        attributes = await aside.loads(text)
        changes.aged = changes.aged and content.changes.aged  # or a save within the block has stored that
        content.attributes, content.changes, content.ages_flash = attributes, changes, ages_flash
        raise
    # In a handler the page will still show the flash data: the response's own save ages it.
    changed = await (current_text(work) if content.ages_flash else stage_in_time(work))
    is_empty = work.is_untouched and work.old is None
    if changed is not None and not is_empty and (changed != work.base or work.version is None):
        await commit(work, changed)
    else:
        await renew_if_due(work)
    if work.state is GONE:
        raise GoneError("the session was destroyed by another request, so nothing was saved")


async def _refresh(work: UnitOfWork) -> None:
    """Merge the changes that others have stored since the session was loaded."""
    async with saving_lock(work):  # otherwise the changes of a save under way would be merged with themselves
        if work.version is None:
            return
        id = work.id
        loaded = None if work.state is GONE else await load_alive(work, id)
        if loaded is None and not work.has_left(id):
            end(work)
        elif loaded is not None and work.id == id:
            note_activity(work, loaded.idle)
            if loaded.text != work.base:
                recall(work, loaded.text)
                await rebase(work, loaded)


async def take(work: UnitOfWork, key: str, default: Any) -> Any:
    """Take a key from the record; see `Session.take`."""
    if work.state is GONE:
        return default
    view = Attributes(work.content)
    base = await aside.loads(work.base) if work.base is not None else {}
    old = work.old if work.version is None else None
    is_stored = work.version is not None or old is not None
    if not is_stored or paths.find(base, key) is paths.MISSING:
        return view.pull(key, default)  # this request has set it, and no other can have it yet
    id, retry = work.id if old is None else old.id, retry_of(work)
    async with saving_lock(work):
        while True:
            stored = await load_alive(work, id)
            if stored is None:
                if old is None and not work.has_left(id):
                    end(work)
                else:  # the save of a regenerated session finds out whether it was destroyed or moved
                    view.pull(key)
                return default
            note_activity(work, stored.idle)
            recall(work, stored.text)
            value = paths.remove(stored.attributes, key)
            if value is paths.MISSING:
                view.pull(key)
                return default
            if await _store_without(work, id, stored):
                view.pull(key)
                await rebase(work, stored)
                if OWNER in work.content.attributes:
                    await enlisting.verify(work, is_entered=False)
                return value
            await retry.wait()


async def _store_without(work: UnitOfWork, id: str, stored: Loaded) -> bool:
    """Write a record without the taken key; return False if another request was first."""
    text = await aside.dumps(stored.attributes, stored.text)
    try:
        idle = work.idle_to_write(stored.own_lifetime)
        version = await work.records.write(id, text, stored.version, idle, stored.envelope)
    except ConflictError:
        note_conflict(work)
        return False
    stored.text, stored.version, stored.is_outdated = text, version if id == work.id else None, False
    work.trace.saved = "saved"
    work.note("saved")
    return True
