"""The move of a session from its old id to a new one, and its end.

A regenerated session is written under its new id first. Then its old record is destroyed, or replaced by a farewell for
a grace period. A process that is killed in between leaves both records whole.
"""

from __future__ import annotations

from .errors import ConflictError, HeadersSentError
from .farewell import Farewell, compose
from .loading import load, make_token
from .records import Loaded
from .state import ENDED, GONE, NEW
from .work import OldRecord, Sent, UnitOfWork
from .writing import current_text, end, merge_with, note_merge, rebase, recall, retry_of, take_back, write

# The maximum number of ids through which a session is followed. Only somebody who can write to the store makes more.
_MOST_MOVES = 100


def regenerate(work: UnitOfWork, destroy: bool) -> None:
    """Give the session a new id; see `Session.regenerate`."""
    if work.headers_sent:
        raise HeadersSentError(
            "the session's id cannot change any more: the headers of this response have been sent, so the client "
            "would keep the old id; call regenerate(), migrate() or invalidate() before flush(), finish() or "
            "redirect()"
        )
    if work.state is GONE:
        _begin_again(work)
    may_be_stored = work.is_writing or bool(work.unconfirmed)
    if work.version is not None:
        work.old = OldRecord(work.id, destroy, grace=True, before=work.old)
    elif work.old is not None:
        before = work.old.before
        if may_be_stored:
            before = OldRecord(work.id, destroy=True, grace=False, before=before)
        work.old = work.old._replace(destroy=destroy or work.old.destroy, before=before)
    elif may_be_stored:
        work.old = OldRecord(work.id, destroy, grace=True, is_trail=True)
    elif work.trail is not None:
        work.old = OldRecord(work.trail, destroy, grace=True, is_trail=True)
    work.take_id()
    work.is_withheld, work.is_passive = False, None


def _begin_again(work: UnitOfWork) -> None:
    """Turn a session that is gone into a new one: somebody logs in with an old cookie."""
    work.version = work.old = None
    work.unconfirmed = ()
    work.enter(NEW)
    if work.trail is None:
        _keep_own_changes(work)
    else:
        make_token(work)  # after `reload` there is none


def _keep_own_changes(work: UnitOfWork) -> None:
    """Drop the loaded content of a destroyed session, and keep this request's changes."""
    merge_with(work, {})
    work.base = work.trace.base = None
    work.settle_changes()
    make_token(work)


async def move(work: UnitOfWork, old: OldRecord, text: str) -> None:
    """Save a regenerated session, with all that others have saved under its old id.

    If others have moved it to another id meanwhile, the two part ways: the holder of this cookie, who may have it from
    before somebody logged in, must see none of the other one's data. Our content becomes a session of its own.
    """
    began, base, flushed, began_anew = old, work.base, work.content.changes.flushed, old.is_trail
    retry, is_moved = retry_of(work), False
    while True:
        path, there = await _follow(work, old.id)
        if len(path) > 1:
            old = old._replace(is_trail=True)
        if there is None and not flushed:
            if is_moved or not began_anew:
                await _end_both(work, is_moved)
                break
            _keep_own_changes(work)
            text = await current_text(work)
        elif there is not None and not flushed and not old.is_trail and there.text != base:
            text = await _take_along(work, base, there)
        sent = Sent(text, work.content.changes.copy())
        await write(work, text)
        if work.state is GONE:  # the new record; the old one stays
            break
        if work.old != began and work.version is None:  # it was regenerated again: the next save moves it there
            return
        is_moved = True
        if there is None or not old.destroy:
            break
        try:
            await _leave(work, old, path, there)
            break
        except ConflictError:  # another request has just saved under the old id: merge that as well
            base = there.text
            take_back(work, sent)
            await retry.wait()
    if old.before is not None:
        await settle_old(work, old.before)
    work.forget_old(began)


async def _end_both(work: UnitOfWork, is_moved: bool) -> None:
    """End a session whose old record others destroyed: a new id must not revive it."""
    if is_moved:
        await work.records.driver.destroy(work.id)
    end(work)


async def _take_along(work: UnitOfWork, base: str | None, there: Loaded) -> str:
    """Merge the changes saved under the old id; return the text to write."""
    note_merge(work)
    id, version = work.id, work.version
    work.base = base
    recall(work, there.text)
    await rebase(work, there)
    work.version = version if work.id == id else None
    work.settle_state()
    return await current_text(work)


async def end_record(work: UnitOfWork) -> None:
    """Destroy the session's record without a replacement."""
    old = work.old
    if old is not None:
        await settle_old(work, old._replace(grace=False))
    work.forget_old(old)
    if old is not None and work.is_new and work.state is not GONE:
        work.enter(ENDED)


async def run_out(work: UnitOfWork) -> None:
    """End a session past its absolute lifetime, although its request is under way."""
    work.note("expired")
    if work.old is not None:
        await settle_old(work, work.old._replace(destroy=True, grace=False))
    if work.version is not None:
        await work.records.driver.destroy(work.id)
    end(work)


async def settle_old(work: UnitOfWork, old: OldRecord) -> None:
    """Destroy the session under the id that its old ones lead to, or leave it there."""
    retry = retry_of(work)
    while old.destroy:
        path, there = await _follow(work, old.id)
        if there is None or (len(path) > 1 and (path[-1] == work.id or work.has_left(path[-1]))):
            break  # an earlier try succeeded, and its answer was lost: our own next id must not be ended
        try:
            await _leave(work, old, path, there)
            break
        except ConflictError:
            await retry.wait()
    if old.before is not None:
        await settle_old(work, old.before)


async def _follow(work: UnitOfWork, id: str) -> tuple[list[str], Loaded | None]:
    """Follow a session from an old id to its present one.

    Returns:
        The ids that it had, the present one last; and its record, or None if there is none.
    """
    path = [id]
    while True:
        found = await load(work, path[-1])
        if not isinstance(found, Farewell):
            return path, found if isinstance(found, Loaded) else None
        if found.to is None or len(path) == _MOST_MOVES:
            return path, None
        path.append(found.to)


async def _leave(work: UnitOfWork, old: OldRecord, path: list[str], there: Loaded) -> None:
    """Destroy the old record and its farewells, or put a farewell in its place.

    Args:
        work: The session's.
        old: How to settle it.
        path: The ids that lead to the record; see `_follow`.
        there: The record, as it was read.

    Raises:
        ConflictError: It has changed since.
    """
    id, records = path[-1], work.records
    if old.grace:
        attributes, at = there.attributes if records.policy.regenerate_grace else None, int(records.clock() * 1000)
        text = await compose(id, work.id, attributes, at, records.format)
        try:
            await records.write(id, text, there.version, envelope=there.envelope)
        finally:  # also if only the answer was lost
            records.graces.begin(id, at)
        return
    await records.driver.destroy(id, there.version)
    for each in path[:-1]:
        await records.driver.destroy(each)
