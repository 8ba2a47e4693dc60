"""The way from a session's content to its record, depending on its state.

`stage` makes the text to store, without waiting; `commit` stores it. Together they are `save`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from . import aside, enlisting, policy, serializer
from .attributes import Attributes
from .depth import WRITABLE_DEPTH
from .errors import SessionError
from .flash import settle_flash
from .loading import load_alive, touch_if_same
from .moving import end_record, move, run_out, settle_old
from .policy import is_number
from .report import changed_keys
from .reserved import require_unreserved
from .serializer import LARGE, TakesLong
from .state import GONE, MOVED, MOVING, UNSTARTED
from .work import UnitOfWork
from .writing import current_text, end, rebase, recall, write

# Keys that only the package itself uses. Losing a change of these needs no warning.
_OWN_KEYS = ("_token", "_created")


async def save(work: UnitOfWork) -> None:
    """Write the session, if it has changed.

    Raises:
        SerializationError, TooLargeError, UnavailableError: See `Session.save`.
    """
    text = await stage_in_time(work)
    if text is not None:
        await commit(work, text)


async def stage_in_time(work: UnitOfWork) -> str | None:
    """Run `stage`; in a thread if it takes long."""
    while True:
        try:
            return stage(work)
        except TakesLong as long:
            rest = long.rest
        base = work.base
        text = await aside.run(LARGE, rest)
        if work.base is base:  # otherwise another save was first, and this text may be older than the stored one
            return None if work.is_current and text == base else text


def stage(work: UnitOfWork) -> str | None:
    """The synchronous half of `save`: age flash data, compare with the loaded text.

    Returns:
        The text to `commit`; None if the record is up to date, and needs at most a touch.

    Raises:
        TakesLong: The session is large: call `stage_in_time` instead.
    """
    require_start(work)
    if work.state is GONE:
        return None
    if work.is_untouched:
        return None if work.old is None else "{}"
    content = work.content
    settle_flash(content)
    if work.records.policy.absolute_lifetime and not is_number(content.attributes.get("_created")):
        Attributes(content).set("_created", int(work.records.clock() * 1000))
    is_current = work.is_current
    if is_current and content.is_pristine:
        return None
    require_unreserved(content.attributes, content.format)
    text = serializer.dumps_quickly(content.attributes, work.base, depth=WRITABLE_DEPTH)
    return None if is_current and text == work.base else text


async def commit(work: UnitOfWork, text: str) -> None:
    """Write the text that `stage` returned; on a conflict merge, and write again."""
    trace = work.trace
    started = time.perf_counter()
    trace.saved = "failed"
    lock = saving_lock(work)
    is_alone = not lock.locked()
    async with lock:
        if not is_alone:  # another save of this object was first, so the text may be outdated
            text = await current_text(work)
        await _store(work, text)
        if work.content.former is not None:
            await enlisting.leave(work)
    trace.saved = "gone" if work.state is GONE else "destroyed" if work.is_ended else "saved"
    trace.saving = time.perf_counter() - started


async def _store(work: UnitOfWork, text: str) -> None:
    if work.state is GONE or (work.is_current and text == work.base):
        return
    if work.is_untouched:
        await end_record(work)
    elif work.records.policy.is_over(work.content.attributes, work.records.clock()):
        await run_out(work)
    elif work.state is MOVING and work.old is not None:
        await move(work, work.old, text)
    elif work.state is MOVED and work.old is not None:  # an earlier save failed half way
        old = work.old
        if text != work.base or work.content.is_unverified:
            await write(work, text)
        await settle_old(work, old)
        work.forget_old(old)
    else:
        await write(work, text)


def saving_lock(work: UnitOfWork) -> asyncio.Lock:
    """The lock for one save at a time: two would merge changes with themselves."""
    if work.saving is None:
        work.saving = asyncio.Lock()
    return work.saving


def needs_confirmation(work: UnitOfWork) -> bool:
    """Whether another request may have destroyed the record since it was loaded.

    A passive request need not know: it sends no cookie.
    """
    if work.is_passive:
        return False
    return work.version is not None and time.monotonic() - work.loaded_at > policy.TRUSTED_FOR


async def confirm(work: UnitOfWork) -> None:
    """Ask the store whether the session still exists, before its cookie is sent again.

    If the record is due for renewal, that asks as well.
    """
    with contextlib.suppress(Exception):  # the store cannot tell; nothing must be saved, so the request need not fail
        is_over = work.records.policy.is_over(work.content.attributes, work.records.clock())
        if not is_over and await touch_if_same(work):
            return
        record = await work.records.driver.read(work.id)
        if record is not None and is_over:
            await run_out(work)
        elif record is None:
            end(work)
        elif record.version != work.version:
            await _confirm_changed(work)


async def _confirm_changed(work: UnitOfWork) -> None:
    loaded = await load_alive(work, work.id)
    if loaded is None:
        end(work)
    elif loaded.own_lifetime != work.own_lifetime:  # the cookie must end with the session as it is now
        recall(work, loaded.text)
        await rebase(work, loaded)


async def save_or_confirm(work: UnitOfWork) -> None:
    """Save the session; if it has not changed and its cookie is due, confirm it."""
    text = await stage_in_time(work)
    work.is_left_alone = text is None
    if text is not None:
        await commit(work, text)
    elif needs_confirmation(work) and work.wants_cookie:
        await confirm(work)


def unsaved(work: UnitOfWork) -> list[str]:
    """The keys with unsaved changes, without those that only the package uses."""
    if work.state is GONE or work.is_withheld or (work.is_passive and work.is_new):
        return []
    changed = changed_keys(work.base, work.content.attributes)
    own = (*_OWN_KEYS, work.content.format.flash_key)
    return [key for key in changed if key.partition(".")[0] not in own]


def require_start(work: UnitOfWork) -> None:
    """Refuse a session that was not loaded.

    Raises:
        SessionError: It was not.
    """
    if work.state is UNSTARTED:
        raise SessionError("the session was not started, so saving it could overwrite the stored record: await start()")
