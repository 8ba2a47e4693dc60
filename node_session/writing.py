"""Safe writing of a record: compare and swap; on a conflict, merge and retry.

A record is replaced only if it is still the one that was loaded. If it is not, another request was first: its changes
are merged with ours, and the write is retried. If the record is gone, another request has destroyed it, and it stays
destroyed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from . import aside, enlisting, ids, lifetimes, serializer
from .changes import Changes
from .content import Content
from .depth import WRITABLE_DEPTH
from .errors import ConflictError, TooLargeError
from .flash import list_no_flash, unlist_no_flash
from .loading import load_alive
from .merge import merge
from .owners import OWNER
from .passive import look_again
from .queues import Queue, Stored, queue_of
from .records import Loaded
from .reserved import require_unreserved
from .retry import Retry
from .state import GONE
from .work import Sent, UnitOfWork

logger = logging.getLogger("node_session")


async def write(work: UnitOfWork, text: str) -> None:
    """Write a text, merged if need be; if regenerated meanwhile, the next save does."""
    work.is_writing = True
    try:
        if OWNER not in work.content.attributes:
            await _write_under(work, work.id, text)
            return
        is_entered, lifetime = await enlisting.enter(work), work.own_lifetime
        if work.state is not GONE:
            await _write_under(work, work.id, text)
            await enlisting.verify(work, is_entered, has_other_lifetime=work.own_lifetime != lifetime)
    finally:
        work.is_writing = False


async def _write_under(work: UnitOfWork, session_id: str, text: str) -> None:
    queue, tries = queue_of(work.records.driver, session_id), 0
    if queue.turn is None:
        if await _try_to_write(work, text, queue):
            return
        tries = 1
        if queue.turn is None:
            queue.turn = asyncio.Lock()
    retry = retry_of(work, tries)
    async with queue.turn:
        while work.id == session_id:
            last = queue.last
            caught_up = await _catch_up(work, last)
            if caught_up is None and last is None:
                return
            if caught_up is not None and await _try_to_write(work, caught_up, queue):
                return
            if last is None:
                await retry.wait()
            elif queue.last is last:  # another process was first; or nothing is to be written, if that is still stored
                queue.last = None


def retry_of(work: UnitOfWork, tries: int = 0) -> Retry:
    """The waits between the tries to save a session, after so many of them."""
    return Retry(work.records.policy.save_timeout, f"session {ids.shorten(work.id)}", tries)


async def current_text(work: UnitOfWork) -> str:
    """Make the text of the present content; in a thread if it takes long."""
    attributes = work.content.attributes
    require_unreserved(attributes, work.content.format)
    return await aside.dumps(attributes, work.base, depth=WRITABLE_DEPTH)


def take_back(work: UnitOfWork, sent: Sent) -> None:
    """Return the changes of a failed write to those that must still be saved."""
    work.content.changes.put_back(sent.changes)


def recall(work: UnitOfWork, stored: str) -> None:
    """Find out from the stored text which unconfirmed writes succeeded.

    Those are not repeated.
    """
    unconfirmed = list(work.unconfirmed)
    work.unconfirmed = ()
    while unconfirmed and not _is_same(unconfirmed[-1].text, stored):
        take_back(work, unconfirmed.pop())
    if unconfirmed:
        work.base = stored


def _is_same(written: str, stored: str) -> bool:
    """Whether a text is stored. A lifetime may be in another place of it: a format may keep it apart from the rest."""
    return written == stored or (lifetimes.KEY in written and serializer.loads(written) == serializer.loads(stored))


async def rebase(work: UnitOfWork, theirs: Loaded) -> None:
    """Apply our changes to the content that another request has stored."""
    content, id, mine = work.content, work.id, work.content.attributes
    size = max(len(theirs.text), len(work.base or ""))
    _list_flash(content, theirs.attributes)
    is_merged = await aside.merged(work.base, mine, theirs.attributes, size, content.changes)
    if not is_merged or content.attributes is not mine:  # a transaction was undone meanwhile, for example
        merge_with(work, theirs.attributes)
    elif not content.format.lists_no_flash:
        unlist_no_flash(content)
    content.changes.aged = False
    work.base = work.trace.base = theirs.text
    if work.id == id:  # otherwise it was regenerated meanwhile
        work.version, work.is_outdated, work.envelope = theirs.version, theirs.is_outdated, theirs.envelope
        work.note_lifetime(theirs.own_lifetime)
        work.settle_state()


def merge_with(work: UnitOfWork, theirs: dict[str, Any]) -> None:
    """Apply our changes to other attributes."""
    base, content = serializer.loads(work.base) if work.base is not None else {}, work.content
    _list_flash(content, theirs)
    content.attributes = merge(base, content.attributes, theirs, **content.changes.as_arguments())
    if not content.format.lists_no_flash:
        unlist_no_flash(content)


def _list_flash(content: Content, theirs: dict[str, Any]) -> None:
    """Tell a merge the key of the lists of flashed keys, and give both sides these lists."""
    content.changes.flash_key = content.format.flash_key
    if not content.format.lists_no_flash:
        list_no_flash(content.attributes, content.format)
        list_no_flash(theirs, content.format)


def note_conflict(work: UnitOfWork) -> None:
    """Count that another request saved first."""
    work.trace.conflicts += 1
    work.note("conflicted")


def note_merge(work: UnitOfWork) -> None:
    """Count a merge of another request's changes with ours."""
    work.trace.merged += 1
    work.note("merged")


def end(work: UnitOfWork) -> None:
    """Note that another request destroyed the session: nothing may bring it back."""
    if work.state is GONE:
        return
    logger.info("session %s was destroyed by another request; nothing is saved", ids.shorten(work.id))
    work.note("not_resurrected")
    work.trace.saved = "gone"
    work.enter(GONE)


async def _try_to_write(work: UnitOfWork, text: str, queue: Queue) -> bool:
    """Try to write a text; return False if another request was first."""
    if 0 < work.records.policy.max_size < len(text) * 4:  # UTF-8 takes four bytes a character at most
        await _require_size(work, text)
    id, content, before, own_lifetime = work.id, work.content, work.version, None
    sent = Sent(text, content.changes)
    content.changes = Changes()  # changes during the write belong to the next save
    try:
        if work.is_passive and before is not None:
            await look_again(work)
        if lifetimes.KEY in text:  # the content may have another lifetime by now
            own_lifetime = lifetimes.own_lifetime(await aside.loads(text))
        version = await work.records.write(id, text, before, work.idle_to_write(own_lifetime), work.envelope)
    except ConflictError:
        note_conflict(work)
        take_back(work, sent)
        return False
    except BaseException:  # it was cancelled, for example, or the answer was lost
        queue.last = None
        work.unconfirmed = (*work.unconfirmed, sent)
        raise
    queue.last = Stored(text, version, work.envelope)
    if work.version is None and (work.old is None or work.old.is_trail):
        work.note("created")
    work.note("saved")
    if work.id == id:
        work.base, work.version, work.is_outdated = text, version, False
        if own_lifetime != work.own_lifetime:
            work.note_lifetime(own_lifetime)
    elif work.old is not None and work.old.id == id:  # regenerated meanwhile: the new id goes on from here
        work.base = text
    else:  # this id was given up before it had a record
        take_back(work, sent)
    work.active_at = time.monotonic()
    work.unconfirmed = ()
    work.settle_state()
    return True


async def _catch_up(work: UnitOfWork, last: Stored | None) -> str | None:
    """Merge the stored content into the session; return the text to write, or None.

    Args:
        work: The session's.
        last: What is probably stored; None: it must be read.
    """
    id = work.id
    if last is None:
        loaded = await load_alive(work, id)
    else:
        attributes = await aside.loads(last.text)
        own = lifetimes.own_lifetime(attributes)
        loaded = Loaded(attributes, last.text, last.version, 0, own_lifetime=own, envelope=last.envelope)
    if work.has_left(id):
        return None
    if loaded is None:
        end(work)
        return None
    if loaded.text != work.base:
        note_merge(work)
    recall(work, loaded.text)
    await rebase(work, loaded)
    text = await current_text(work)
    if text == loaded.text:
        work.settle_changes()
        return None
    return text


async def _require_size(work: UnitOfWork, text: str) -> None:
    """Refuse a text above `maxSize`, unless the stored one is as large already."""
    most = work.records.policy.max_size
    size = serializer.size_of(text)
    if size <= most or (work.base is not None and size <= serializer.size_of(work.base)):
        return
    key, part = await aside.run(len(text), serializer.largest_key, text)
    raise TooLargeError(
        f"cannot store the session: it takes {size} bytes, and maxSize allows {most}; most is in {key}, with "
        f"{part} bytes: keep less in it, or keep it elsewhere and only its key here, or raise maxSize"
    )
