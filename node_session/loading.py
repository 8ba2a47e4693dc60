"""Loading a session: from the ids of the cookies to the content."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from typing import Any

from . import aside, enlisting, ids
from .csrf_token import CsrfToken
from .errors import ConflictError, UnavailableError
from .farewell import Farewell
from .owners import OWNER
from .records import Lack, Loaded
from .state import GONE, NEW, STORED, UNSTARTED
from .work import UnitOfWork

logger = logging.getLogger("node_session")

# The number of sessions that are looked up concurrently. A browser keeps 180 cookies of a site, so looking them all up
# takes a dozen round trips to the store. More would only queue for connections, of which there are 10 by default.
TOGETHER = 16


async def start(work: UnitOfWork) -> None:
    """Load the record. Values set before are kept, except under keys that it has.

    Raises:
        UnavailableError: The store cannot tell whether there is a record.
    """
    found: Loaded | None = None
    was_asked_for = not work.is_fresh
    started = work.loaded_at = time.monotonic()
    if was_asked_for:
        there = await work.records.load(work.id)
        found = there if isinstance(there, Loaded) else await _look_further(work, there)
        work.loaded_at = time.monotonic()
        work.trace.loading = work.loaded_at - started
    content = work.content
    if found is not None:
        content.attributes = _fill(content.attributes, found.attributes) if content.attributes else found.attributes
        work.trace.base = found.text
        work.idle_before = found.idle / 1000
        work.seen_at = work.loaded_at - work.idle_before
        take_over(work, found)
        work.trace.found = "found"
        work.records.events.note("loaded", work.id)
    elif was_asked_for:
        if work.trace.found != "damaged":
            work.trace.found = "expired"
            work.note("expired")
        if work.records.policy.strict and not work.is_fresh:
            work.take_id()
    is_first = work.state is UNSTARTED
    if is_first:
        work.enter(NEW if work.version is None else STORED)
    if not is_first or work.old is not None:
        work.settle_state()
    if found is None or not content.attributes.get("_token"):
        make_token(work)
    if not content.is_pristine or content.changes.aged or work.unconfirmed:
        work.settle_changes()


def make_token(work: UnitOfWork) -> None:
    """Make a missing CSRF token; without `saveUninitialized`, only when it is used."""
    content = work.content
    content.makes_token_when_asked = not content.format.makes_tokens or (
        work.version is None and not work.records.policy.save_uninitialized
    )
    if not content.makes_token_when_asked and not content.attributes.get("_token"):
        CsrfToken(content).regenerate_token()


def take_over(work: UnitOfWork, loaded: Loaded) -> None:
    """Remember the record that the content is based on, and its last activity."""
    work.base, work.version, work.is_outdated = loaded.text, loaded.version, loaded.is_outdated
    work.envelope = loaded.envelope
    if loaded.own_lifetime != work.own_lifetime:
        work.note_lifetime(loaded.own_lifetime)
    note_activity(work, loaded.idle)


def note_activity(work: UnitOfWork, idle: float) -> None:
    """Remember the last activity of a record that was read just now; `idle` in ms."""
    work.active_at = time.monotonic() - idle / 1000


async def load(work: UnitOfWork, id: str) -> Loaded | Farewell | Lack:
    """Load the record under an id; if it is damaged or over, give up our own id."""
    found = await work.records.load(id)
    if found is Lack.DAMAGED:
        work.trace.found = "damaged"
    if id == work.id and (found is Lack.DAMAGED or found is Lack.OVER):
        work.take_id()
    return found


async def load_alive(work: UnitOfWork, id: str) -> Loaded | None:
    """Load the session under an id, unless it has moved to another one."""
    found = await load(work, id)
    if isinstance(found, Farewell):
        work.trail = id
    return found if isinstance(found, Loaded) else None


async def reload(work: UnitOfWork) -> bool:
    """Replace the content by the stored one, dropping unsaved changes.

    Returns:
        False if the session was destroyed or has expired; it is empty then.
    """
    content, id = work.content, work.id
    loaded = await load_alive(work, id)
    if work.has_left(id):
        return True
    work.settle_changes()
    work.content.settle_late()
    if loaded is None or loaded.text != work.base:
        content.ages_flash = False  # the request that saved the stored content has aged its flash data
    if loaded is None:
        content.attributes = {}
        work.enter(GONE)
        return False
    content.attributes = loaded.attributes
    work.trace.base = loaded.text
    take_over(work, loaded)
    work.settle_state()  # `set_exists` may have been called meanwhile
    await renew_if_due(work)
    return True


async def touch(work: UnitOfWork) -> None:
    """Renew the record's last activity, unless the request is passive."""
    id = work.stored_id
    if id is not None and not work.is_passive:
        await _renew(work, work.renew(id, work.version if id == work.id else None))


async def touch_if_same(work: UnitOfWork) -> bool:
    """Renew the record if that is due and nobody has changed it; returns whether that was so."""
    if not work.wants_touch:
        return False
    idle = work.idle_to_write(work.own_lifetime)
    return await _renew(work, work.records.confirm(work.id, work.version, idle))


async def _renew(work: UnitOfWork, renewing: Awaitable[bool | None]) -> bool:
    before, work.active_at = work.active_at, time.monotonic()  # first, so that no other task renews it, too
    try:
        is_renewed = await renewing is not False
    except BaseException:
        work.active_at = before
        raise
    if not is_renewed:
        work.active_at = before
        return False
    if work.trace.saved == "left alone":
        work.trace.saved = "touched"
    work.note("touched")
    if OWNER in work.content.attributes:
        await enlisting.renew(work)
    return True


async def renew_if_due(work: UnitOfWork) -> None:
    """Renew a session that a WebSocket or a long handler uses; only log a failure."""
    if work.wants_touch:
        try:
            await touch(work)
        except UnavailableError as error:
            logger.warning("could not renew session %s: %s", ids.shorten(work.id), error)


async def _look_further(work: UnitOfWork, first: Farewell | Lack) -> Loaded | None:
    """Find a session under the other ids, and take the first id that has one.

    A farewell counts only if no id has a session, and only while it may be read: planted cookies of dead sessions must
    not hide a live one.
    """
    farewells: list[tuple[str, Farewell]] = []
    if isinstance(first, Farewell):
        farewells.append((work.id, first))
    else:
        _give_up_id(work, first)
    for start in range(0, len(work.others), TOGETHER):
        some = work.others[start : start + TOGETHER]
        there = await asyncio.gather(*map(work.records.load, some), return_exceptions=True)
        for id, found in zip(some, there, strict=True):
            if isinstance(found, BaseException):  # and no id before it has a session
                raise found
            if isinstance(found, Loaded):
                work.take_id(id)
                return found
            if isinstance(found, Farewell):
                farewells.append((id, found))
            elif found is Lack.DAMAGED:
                work.trace.found = "damaged"
    for id, farewell in farewells:
        readable = await _read_farewell(work, id, farewell)
        if readable is not None:
            return readable
    return None


def _give_up_id(work: UnitOfWork, lack: Lack) -> None:
    """Take a fresh id in place of one whose record is not a session."""
    if lack is Lack.DAMAGED:
        work.trace.found = "damaged"
    if lack is not Lack.ABSENT:
        work.take_id()


async def _read_farewell(work: UnitOfWork, id: str, farewell: Farewell) -> Loaded | None:
    """Read a farewell's content; if nobody may, take a fresh id and return None."""
    policy, records = work.records.policy, work.records
    if not farewell.is_due(records.clock() * 1000, policy.regenerate_grace):
        with contextlib.suppress(ConflictError):  # the npm original may have begun a session under this id
            await records.driver.destroy(id, farewell.version)
        work.take_id()
        return None
    if not policy.regenerate_grace or farewell.attributes is None:
        work.trail = work.trail or id  # the first one's, if there are several cookies
        work.take_id()
        return None
    work.trail = id
    work.take_id(id)
    work.enter(GONE)
    text = await aside.dumps(farewell.attributes)
    return Loaded(farewell.attributes, text, farewell.version, farewell.idle)


def _fill(preset: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Put the stored values over those that were set before the session started."""
    filled = dict(preset)
    for key, value in stored.items():
        before = filled.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        filled[key] = _fill(before, value) if both else value  # type: ignore[arg-type]
    return filled
