"""The session a handler works with: attributes, and the record they are kept in.

A session is loaded once, by `start`, and saved by `save`; in between no method waits for anything. What a handler does
with the attributes is in `node_session.attributes`.

What makes saving safe is that a record is only ever replaced if it is still the one that was loaded. If it is not,
another request was first: its changes are merged with ours, and the save is tried again. If the record is gone,
another request has destroyed it, and it stays destroyed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import hashlib
import logging
import math
import random
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from . import aside, encryption, ids, paths, serializer
from .attributes import Attributes
from .callbacks import takes_callback
from .depth import WRITABLE_DEPTH
from .drivers import Driver, Record
from .encryption import CustomEncrypter, SessionEncrypter
from .errors import (
    ConflictError,
    DamagedError,
    GoneError,
    HeadersSentError,
    MismatchError,
    SerializationError,
    SessionError,
    TooLargeError,
    UnavailableError,
)
from .immediate import is_immediate, run
from .late import LateChanges
from .merge import merge
from .report import Report, Trace, Watch, changed_keys, make_report
from .serializer import LARGE, TakesLong

logger = logging.getLogger("node_session")

# Delays, in seconds, before rereading a record that looks damaged, if its driver says that it may be half written
# (`Driver.half_written_for`). The original's writing is over in a millisecond, unless the machine is so busy that it
# must wait for a processor in between.
SECOND_LOOKS = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)

# Seconds for which a request takes it that its session has not been destroyed since it was loaded. After that it asks
# before it sends the cookie: the one request in the background that ends after a login or logout would otherwise put
# the old cookie over the new one. Shorter than this a response may be overtaken on its way to the client as well.
_TRUSTED_FOR = 0.01

# How many of several cookies' sessions are looked up concurrently. A browser keeps 180 cookies of a site, which is a
# dozen round trips to a store; more together would only queue for the connections, which are 10 by default.
_TOGETHER = 16

_NO_FLASH: dict[str, list[str]] = {"old": [], "new": []}

# Saves that met another one wait here for their turn, per driver, loop and id, and so do those that come meanwhile.
# Without it, a request that has to read and merge again loses against newcomers for as long as there are any. A
# session that is saved by one request at a time has no entry, and nobody holds a place while a handler works.
_queues: weakref.WeakValueDictionary[tuple[int, int, str], asyncio.Lock] = weakref.WeakValueDictionary()


# The only key of a record whose session has gone on under another id: when, where to, and what it held then. To the npm
# original this is an anonymous session.
_FAREWELL = "_left"

# Milliseconds for which such a record is kept where nobody may read it (`Terms.grace` is 0): a log-out with the old
# cookie that was under way still has to find the session.
_TRACEABLE = 10_000

# How many ids a session is followed through. More than one or two only somebody who can write to the store can make.
_MOST_MOVES = 100

# The transactions that the running task is part of; a task that it starts is, too.
_transactions: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("_transactions", default=())


@dataclass(slots=True)
class _Loaded:
    attributes: dict[str, Any]
    text: str
    version: object
    idle: float
    outdated: bool = False


class _Sent(NamedTuple):
    """A write that is on its way, and what of the changes since the record was loaded is in it."""

    text: str
    increments: dict[str, float]
    flushed: bool
    aged: bool


class _Left(NamedTuple):
    """The record a regenerated session had.

    Attributes:
        destroy: Whether it goes, once the new one is saved.
        grace: Whether requests that still bring its cookie may read it for a moment.
        is_trail: Whether the session had gone on from there before this one began. It is followed and ended where it
            is now, and nothing of it is merged: its present holder may be somebody else.
        before: Another one that is to be settled after it, if the session got several ids before all was saved.
    """

    id: str
    destroy: bool
    grace: bool
    is_trail: bool = False
    before: _Left | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms all sessions of a program are kept. Times are milliseconds."""

    strict: bool = False
    """Replace an id that has no record by a fresh one when the session starts."""

    save_timeout: float = 5_000
    """How long saving may go on merging, before `UnavailableError`."""

    save_untouched: bool = True
    """Store a new session even if nothing was put into it; the CSRF token is made at once then."""

    absolute_lifetime: float = 0
    """After which time a session ends, however active; 0: never."""

    grace: float = 0
    """For how long a destroyed old record of a regenerated session can be read; 0: not at all. By clocks that differ
    by less than this, it can be read for so long at least, and for twice as long at most."""

    renew_after: float = 0
    """How long a session must have been idle to want a touch."""

    max_size: int = 0
    """Bytes of text that may be stored; 0: any number."""


_USUAL_TERMS = Terms()


class Store(Attributes):
    """A session. `NodeSession` makes it.

    Args:
        name: The cookie's name.
        driver: Keeps the record.
        id: The id to load; a fresh one is made where it is missing or invalid.
        others: Ids to load where the first has no record, each if those before have none either.
        terms: Shared by all sessions of a program.
        watch: Counts what happens to this session and the others of a program.

    Attributes:
        ages_flash: Whether the next save ends the life of the previous request's flash data. It does so once a
            request, and not in a WebSocket, which is none that shows a page.
        headers_sent: The client has its cookie; from here on the id cannot change.
        is_gone: The session was destroyed, has expired or has gone on under another id while this one was at work; it
            is not saved any more, and its cookie is not sent. `regenerate` and `invalidate` begin a new one.
        has_cookie: The browser has the cookie of this id as it would be sent now.
        is_withheld: Another site made the request, so the user may have a session whose cookie the browser withheld:
            this one is neither stored nor sent, until `regenerate` or `invalidate` makes it a session of its own.
        trace: What `report` is made of.
        watch: As given.
    """

    __slots__ = (
        "_active_at",
        "_aged",
        "_driver",
        "_id",
        "_is_fresh",
        "_is_writing",
        "_late",
        "_left",
        "_loaded",
        "_loaded_at",
        "_lock",
        "_name",
        "_others",
        "_outdated",
        "_seen_at",
        "_started",
        "_terms",
        "_trail",
        "_turn",
        "_unsure",
        "_version",
        "_was_ended",
        "ages_flash",
        "has_cookie",
        "headers_sent",
        "idle_before",
        "is_gone",
        "is_withheld",
        "open_transaction",
        "trace",
        "watch",
    )

    def __init__(
        self,
        name: str,
        driver: Driver,
        id: str | None = None,
        *,
        others: Sequence[str] = (),
        terms: Terms = _USUAL_TERMS,
        watch: Watch | None = None,
    ) -> None:
        super().__init__()
        self._name = name
        self._driver = driver
        self._others = others
        self._terms = terms
        self.watch = Watch(type(driver).__name__) if watch is None else watch
        self._active_at = -math.inf  # when the record was renewed last
        self._seen_at = -math.inf  # the same, before this request
        self.idle_before = 0.0
        self._started = False
        self._loaded: str | None = None  # the text of the record our attributes are based on
        self._version: object = None  # the driver's version of it; None: no record of this id yet
        self._loaded_at = 0.0
        self._unsure: list[_Sent] = []  # writes that were cut off or failed, and may have been done all the same
        self._is_writing = False  # whether a write under this id is under way, so that there may be a record
        self._left: _Left | None = None
        self._trail: str | None = None  # the id from which the session has gone on under another
        self._was_ended = False  # whether the record was destroyed, and no other stored
        self._late: LateChanges | None = None  # made by the first change that no response saves
        self._outdated = False  # whether the record is encrypted in an older way, and should be written anew
        self._aged = False  # whether the flash data was aged since the record was loaded
        self._lock: asyncio.Lock | None = None  # made by the first save that may have to wait
        self._turn: asyncio.Lock | None = None  # of transactions; few sessions have one
        self.open_transaction: object = None  # the open one, as `_transactions` knows it
        self.ages_flash = True
        self.headers_sent = False
        self.is_gone = False
        self.is_withheld = False
        self.trace = Trace()
        self.set_id(id)

    def __repr__(self) -> str:
        state = f"{len(self._attributes)} keys" if self._started else "not started"
        return f"<{type(self).__name__} {self._name} {ids.shorten(self._id)} {state}>"

    # ---------------------------------------------------------------- identity

    def get_id(self) -> str:
        """The session's id: 40 characters, secret as a password. npm: `getId`."""
        return self._id

    def set_id(self, id: str | None = None) -> None:
        """Take another id, or a fresh one if `id` is missing or invalid. npm: `setId`."""
        self._is_fresh = not ids.is_valid(id)
        self._id = ids.generate() if id is None or self._is_fresh else id
        self._version = None
        self.has_cookie = False

    @property
    def is_started(self) -> bool:
        """Whether the record has been looked for, so that the session can be used and saved."""
        return self._started

    @property
    def is_new(self) -> bool:
        """Whether this session was never stored, under this id or another."""
        return self._version is None and self._left is None

    @property
    def has_moved(self) -> bool:
        """Whether a new id's record is stored, while what is to become of the old one is not settled."""
        return self._left is not None and self._version is not None

    @property
    def is_logging_out(self) -> bool:
        """Whether the old record is one that `invalidate` is to destroy."""
        return self._left is not None and not self._left.grace

    @property
    def is_untouched(self) -> bool:
        """Whether nothing need be stored: it is empty, and new or another one's end; or see `is_withheld`."""
        is_new = self._version is None and (self._left is None or self._left.destroy)
        return self.is_withheld or (is_new and not self._terms.save_untouched and not self._attributes)

    @property
    def has_no_record_yet(self) -> bool:
        """Whether a client that already had the cookie of this id would find nothing."""
        return self._version is None and not self.is_gone and not self.is_untouched

    @property
    def is_ended(self) -> bool:
        """Whether the session's record is destroyed without another in its place, so that its cookie can go, too."""
        return (self._was_ended or self._left is not None) and self.is_untouched

    @property
    def wants_cookie(self) -> bool:
        """Whether the browser's cookie has to be renewed, or is another one."""
        return not self.has_cookie or time.monotonic() - self._seen_at > self._terms.renew_after / 1000

    def get_name(self) -> str:
        """The cookie's name. npm: `getName`."""
        return self._name

    def get_handler(self) -> Driver:
        """The driver. npm: `getHandler`."""
        return self._driver

    @property
    def report(self) -> Report:
        """What became of the session so far: found or why not, changed, saved, cookie. Made anew at each call."""
        return make_report(self, self.trace, self.watch.driver, self._loaded)

    def set_exists(self, exists: bool) -> None:
        """With False, the next save creates a record instead of replacing the one loaded. npm: `setExists`."""
        if not exists:
            self._version = None

    def regenerate(self, destroy: bool = False) -> bool:
        """Give the session a new id; call this when somebody logs in. Data and token stay.

        Args:
            destroy: Also destroy the record of the old id, once the new one is saved. Requests under way, which still
                bring the old cookie, can read what it held for as long as the option `regenerateGrace` says. They
                change nothing, and get no cookie. If the session has gone on under another id already, as after the
                first of two log-ins with the same cookie, it is destroyed there, and this begins a new one.

        Returns:
            True.

        Raises:
            HeadersSentError: The response's headers, and with them the cookie, have been sent.
        """
        if self.headers_sent:
            raise HeadersSentError(
                "the session's id cannot change any more: the headers of this response have been sent, so the client "
                "would keep the old id; call regenerate(), migrate() or invalidate() before flush(), finish() or "
                "redirect()"
            )
        if self.is_gone:
            self._begin_again()
        may_be_stored = self._is_writing or bool(self._unsure)
        if self._version is not None:
            self._left = _Left(self._id, destroy, grace=True, before=self._left)
        elif self._left is not None:
            before = self._left.before
            if may_be_stored:
                before = _Left(self._id, destroy=True, grace=False, before=before)
            self._left = self._left._replace(destroy=destroy or self._left.destroy, before=before)
        elif may_be_stored:
            self._left = _Left(self._id, destroy, grace=True, is_trail=True)
        elif self._trail is not None:
            self._left = _Left(self._trail, destroy, grace=True, is_trail=True)
        self.set_id()
        self.is_withheld = False
        return True

    def _begin_again(self) -> None:
        """Make a new session of what is held: somebody logs in with the cookie of one that is not there any more."""
        self.is_gone = False
        self._version = self._left = None
        self._unsure.clear()
        if self._trail is None:
            self._keep_own_changes()
        else:
            self._make_token()  # after `reload` there is none

    def _keep_own_changes(self) -> None:
        """Drop what was loaded, as its session was destroyed; what this request has set since belongs to a new one."""
        self._attributes = self._merged_with({})
        self._loaded = self.trace.base = None
        self._settle()
        self._make_token()

    def migrate(self, destroy: bool = False) -> bool:
        """The same as `regenerate`, as in the original."""
        return self.regenerate(destroy)

    def invalidate(self) -> bool:
        """Empty the session, give it a new id and destroy the old record; call this when somebody logs out."""
        self.regenerate(destroy=True)  # first: it may refuse, and then nothing has happened
        if self._left is not None:
            self._left = self._left._replace(grace=False)
        self.flush()
        return True

    # ---------------------------------------------------------------- loading

    @takes_callback("nothing")
    async def start(self) -> bool:
        """Load the record. What was set before stays, unless the record says otherwise.

        Returns:
            True.

        Raises:
            UnavailableError: The store cannot tell whether there is a record.
        """
        loaded = None
        started = self._loaded_at = time.monotonic()
        if not self._is_fresh:
            loaded = await self._load(self._id)
            if loaded is None or _is_farewell(loaded.attributes):
                loaded = await self._look_further(loaded)
            self._loaded_at = time.monotonic()
            self._note_loading(loaded, self._loaded_at - started)
        if loaded is not None:
            self._attributes = _fill(self._attributes, loaded.attributes) if self._attributes else loaded.attributes
            self._loaded, self._version = loaded.text, loaded.version
            self.trace.base = loaded.text
            self.idle_before = loaded.idle / 1000
            self._seen_at = self._loaded_at - self.idle_before
            self._active_at = self._loaded_at if self._driver.renews_on_read else self._seen_at
        elif self._terms.strict and not self._is_fresh:
            self.set_id()
        if loaded is None or not self._attributes.get("_token"):
            self._make_token()
        self._settle()
        self._started = True
        return True

    def _make_token(self) -> None:
        self._token_on_demand = self._version is None and not self._terms.save_untouched
        if not self._token_on_demand and not self._attributes.get("_token"):
            self.regenerate_token()

    async def _read_farewell(self, id: str, loaded: _Loaded) -> _Loaded | None:
        """What a session held that has gone on under another id; None, and a fresh id, if nobody may read that.

        The other machine's clock may be ahead of ours or behind it. Less than the grace must make no difference, or a
        late request would get a fresh cookie and log out who has just logged in.
        """
        farewell = loaded.attributes[_FAREWELL]
        grace = self._terms.grace or _TRACEABLE
        if not -grace < time.time() * 1000 - farewell["at"] < 2 * grace:
            await self._driver.destroy(id)
            self.set_id()
            return None
        if not self._terms.grace or "attributes" not in farewell:
            self._trail = self._trail or id  # of several cookies, the first one's
            self.set_id()
            return None
        self._trail = id
        self.set_id(id)
        self.is_gone = True
        attributes = farewell["attributes"]
        return replace(loaded, attributes=attributes, text=await aside.dumps(attributes))

    async def reload(self) -> bool:
        """Take over what is stored now, dropping what was changed here and not saved. For WebSockets.

        Returns:
            False if the session was destroyed or has expired; it is empty then, and can no longer be saved.
        """
        if self._version is None and not self.is_gone:  # it was never stored, so there is nothing else to take over
            return True
        async with self._between_transactions(), self._own_lock():  # a save that is under way would be undone
            return await self._reload()

    async def _reload(self) -> bool:
        id = self._id
        loaded = await self._load_alive(id)
        if self._was_left(id):
            return True
        self._settle()
        self._settle_late()
        if loaded is None or loaded.text != self._loaded:
            self.ages_flash = False  # what is stored has been aged by the request that saved it
        if loaded is None:
            self._attributes = {}
            self.is_gone = True
            return False
        self._attributes, self._loaded, self._version = loaded.attributes, loaded.text, loaded.version
        self.trace.base = loaded.text
        self._note_activity(loaded)
        await self._renew_if_due()
        return True

    async def _look_further(self, farewell: _Loaded | None) -> _Loaded | None:
        """The record of the first of the other ids that has one; that id becomes the session's.

        A session that has gone on under another id counts only if no id has a session that has not, and only while it
        may be read: cookies of dead sessions, which somebody has planted, hide no live one.
        """
        left = [] if farewell is None else [(self._id, farewell)]
        for start in range(0, len(self._others), _TOGETHER):
            some = self._others[start : start + _TOGETHER]
            found = await asyncio.gather(*map(self._load, some), return_exceptions=True)
            for id, loaded in zip(some, found, strict=True):
                if isinstance(loaded, BaseException):  # of the first that fails, if none before it has a session
                    raise loaded
                if loaded is None:
                    continue
                if _is_farewell(loaded.attributes):
                    left.append((id, loaded))
                    continue
                self.set_id(id)
                self._outdated = loaded.outdated
                return loaded
        for id, loaded in left:
            readable = await self._read_farewell(id, loaded)
            if readable is not None:
                return readable
        return None

    def _is_over(self, attributes: dict[str, Any]) -> bool:
        """Whether a session has reached its `absoluteLifetime`."""
        if not self._terms.absolute_lifetime or not _is_time(attributes.get("_created")):
            return False
        return bool(time.time() * 1000 - attributes["_created"] > self._terms.absolute_lifetime)

    async def _load_alive(self, id: str) -> _Loaded | None:
        """What is stored under an id, unless the session has gone on under another."""
        loaded = await self._load(id)
        if loaded is not None and _is_farewell(loaded.attributes):
            self._trail = id
            return None
        return loaded

    async def _follow(self, id: str) -> tuple[list[str], _Loaded | None]:
        """Where a session has gone from an id: the ids it had, the present one last, and what is stored under that."""
        path = [id]
        while True:
            loaded = await self._load(path[-1])
            if loaded is None or not _is_farewell(loaded.attributes):
                return path, loaded
            veiled = loaded.attributes[_FAREWELL].get("to")
            if veiled is None or len(path) == _MOST_MOVES:
                return path, None
            path.append(_veil(veiled, path[-1]))

    async def _load(self, id: str) -> _Loaded | None:
        """What is stored under an id; None if there is no record, one that is over, or none that makes sense."""
        for delay in (*SECOND_LOOKS, None):
            record: Record | None = None
            try:
                record = await self._driver.read(id)
                if record is None:
                    return None
                if len(record.payload) < LARGE:
                    text = self._reveal(record.payload, id)
                    attributes = serializer.loads(text)
                else:
                    text = await self._crypt(self._reveal, record.payload, id)
                    attributes = await aside.loads(text)
                loaded = _Loaded(attributes, text, record.version, record.idle, self._outdated)
            except DamagedError as error:
                idle = error.idle if record is None else record.idle
                if delay is None or not abs(idle) < self._driver.half_written_for:
                    await self._set_aside(id, None if record is None else record.version, error)
                    return None
                await asyncio.sleep(delay)
            else:
                if not self._terms.absolute_lifetime or not self._is_over(loaded.attributes):
                    return loaded
                await self._driver.destroy(id)
                if id == self._id:
                    self.set_id()
                return None
        raise AssertionError("the last look returns")

    async def _set_aside(self, id: str, version: object, error: DamagedError) -> None:
        self.trace.found = "damaged"
        self.watch.note("damaged", self)
        if isinstance(error, MismatchError):  # with the right config it is a session
            self.watch.warn_of_mismatch(id, error)
        else:
            logger.error(
                "session %s is damaged (%s): a fresh session is started, the record is kept aside",
                ids.shorten(id),
                error,
            )
            await self._driver.set_aside(id, version)
        if id == self._id:
            self.set_id()

    # ---------------------------------------------------------------- saving

    @takes_callback("error")
    async def save(self) -> None:
        """Write the session, if it has changed. May be called any number of times.

        A response waits for this by itself; call it where there is none, as in a WebSocket.

        Raises:
            SerializationError: The session holds something JSON has no form for; nothing was written.
            TooLargeError: It takes more bytes than `maxSize`; nothing was written.
            UnavailableError: The store is down, or too busy for too long; nothing was written.
        """
        await self.save_in_turn()

    async def save_in_turn(self) -> None:
        """`save`, for the response."""
        try:
            async with self._between_transactions():
                text = await self.stage_in_time()
                if text is not None:
                    await self.commit(text)
        finally:
            self._settle_late()

    async def stage_in_time(self) -> str | None:
        """`stage`, in a thread where it takes long."""
        while True:
            try:
                return self.stage()
            except TakesLong as long:
                rest = long.rest
            loaded = self._loaded
            text = await aside.run(LARGE, rest)
            if self._loaded is loaded:  # or this text may be older than what another save has stored meanwhile
                return None if self._is_current and text == loaded else text

    def stage(self) -> str | None:
        """Do what of `save` needs no waiting: age the flash data, and compare with what was loaded.

        Returns:
            The text to `commit`; None if the record is as it should be, and needs at most a touch.

        Raises:
            TakesLong: Call `stage_in_time`.
        """
        self._require_start()
        if self.is_gone:
            return None
        if self.is_untouched:
            return None if self._left is None else "{}"
        self._settle_flash()
        if self._terms.absolute_lifetime and not _is_time(self._attributes.get("_created")):
            self.set("_created", int(time.time() * 1000))
        is_current = self._is_current
        if is_current and self._is_pristine:
            return None
        if _FAREWELL in self._attributes:
            self._require_unreserved()
        text = serializer.dumps_quickly(self._attributes, self._loaded, depth=WRITABLE_DEPTH)
        return None if is_current and text == self._loaded else text

    async def _text(self) -> str:
        if _FAREWELL in self._attributes:
            self._require_unreserved()
        return await aside.dumps(self._attributes, self._loaded, depth=WRITABLE_DEPTH)

    def _require_unreserved(self) -> None:
        if _is_farewell(self._attributes):  # or it would be taken for one
            raise SerializationError(
                f"cannot store the session: {_FAREWELL!r} is reserved for one that has gone on under another id; "
                "choose another key"
            )

    @property
    def _is_current(self) -> bool:
        """Whether what was loaded needs to be written anew only if it has changed."""
        return self._version is not None and not self._outdated and self._left is None

    async def commit(self, text: str) -> None:
        """Write what `stage` returned; on a conflict merge, and write again."""
        trace = self.trace
        started = time.perf_counter()
        trace.saved = "failed"
        lock = self._own_lock()
        is_alone = not lock.locked()
        async with lock:
            if not is_alone:  # another save of this object was first; what is left to do?
                text = await self._text()
            if self.is_gone or (self._is_current and text == self._loaded):
                pass
            elif self.is_untouched:
                await self._end_record()
            elif self._is_over(self._attributes):
                await self._run_out()
            elif self._left is not None and not self.has_moved:
                await self._move(self._left, text)
            elif self._left is not None:  # a save before this one got only half way
                left = self._left
                if text != self._loaded:
                    await self._write(text)
                await self._settle_old(left)
                self._forget(left)
            else:
                await self._write(text)
        trace.saved = "gone" if self.is_gone else "destroyed" if self.is_ended else "saved"
        trace.saving = time.perf_counter() - started

    @property
    def needs_confirmation(self) -> bool:
        """Whether it is so long since the record was loaded that another request may well have destroyed it."""
        return self._version is not None and time.monotonic() - self._loaded_at > _TRUSTED_FOR

    async def confirm(self) -> None:
        """Ask the store whether the session is still there, before its cookie is sent once more."""
        with contextlib.suppress(Exception):  # it cannot tell; nothing is to be saved, so that is no reason to fail
            record = await self._driver.read(self._id)
            if record is not None and self._is_over(self._attributes):
                await self._run_out()
            elif record is None or (record.version != self._version and await self._load_alive(self._id) is None):
                self._end()

    def unsaved(self) -> list[str]:
        """The keys that were changed and not saved, but for those that only the package itself uses."""
        if self.is_gone or self.is_withheld:
            return []
        changed = changed_keys(self._loaded, self._attributes)
        return [key for key in changed if key.partition(".")[0] not in ("_token", "flash", "_created")]

    def _note_late(self, key: str) -> None:
        if self._late is None:
            self._late = LateChanges(self.watch)
        self._late.note(key)

    def _settle_late(self) -> None:
        if self._late is not None:
            self._late.settle()

    def _require_start(self) -> None:
        if not self._started:
            raise SessionError(
                "the session was not started, so saving it could overwrite what is stored: await start()"
            )

    def commit_at_once(self, text: str) -> bool:
        """`commit` without waiting, where the driver needs not wait and nobody else was first.

        Returns:
            Whether that was so; if not, nothing was done, and `commit` has to.
        """
        if self._left is not None or self.is_gone or not is_immediate(self._driver.write) or len(text) >= LARGE:
            return False
        if self._terms.absolute_lifetime and self._is_over(self._attributes):
            return False
        if (self._lock is not None and self._lock.locked()) or (_queues and self._place() in _queues):
            return False
        started = time.perf_counter()
        if not run(self._try_to_write(text)):
            return False
        self.trace.saved = "saved"
        self.trace.saving = time.perf_counter() - started
        return True

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Store]:
        """Reload, change, save, as one step: for WebSockets, and for handlers that take long.

            async with session.transaction():
                session.push("messages", message)

        What was changed before and not saved is saved with it. If the block raises, its changes are undone. Another
        task's transaction on the same object, or its `save`, waits for its turn. What the block itself begins, and the
        tasks that it starts, are part of it.

        Raises:
            GoneError: The session was destroyed or has expired; nothing is saved.
            SerializationError, UnavailableError: As in `save`.
        """
        self._require_start()
        if self._is_in_transaction():
            yield self
            return
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            this = self.open_transaction = object()
            _transactions.set((*_transactions.get(), this))
            try:
                async with self._transact():
                    yield self
            finally:
                self.open_transaction = None
                _transactions.set(tuple(each for each in _transactions.get() if each is not this))
                self._settle_late()

    @property
    def waits_for_transaction(self) -> bool:
        """Whether a transaction is open that the running task is no part of."""
        return self.open_transaction is not None and not self._is_in_transaction()

    def _is_in_transaction(self) -> bool:
        return self.open_transaction is not None and self.open_transaction in _transactions.get()

    @contextlib.asynccontextmanager
    async def _between_transactions(self) -> AsyncIterator[None]:
        """Wait for another task's transaction, whose changes are only half done, and may be undone."""
        if self._turn is None or not self.waits_for_transaction:
            yield
            return
        async with self._turn:
            yield

    @contextlib.asynccontextmanager
    async def _transact(self) -> AsyncIterator[None]:
        async with self._own_lock():  # what a save under way has stored would be merged with itself
            if self._version is not None:
                id = self._id
                loaded = None if self.is_gone else await self._load_alive(id)
                if loaded is None and not self._was_left(id):
                    self._end()
                elif loaded is not None and self._id == id:
                    self._note_activity(loaded)
                    if loaded.text != self._loaded:
                        self._recall(loaded.text)
                        await self._rebase(loaded)
        if self.is_gone:
            raise GoneError("the session was destroyed or has expired, so nothing can be saved in it any more")
        text = await aside.dumps(self._attributes, self._loaded)
        increments, flushed = dict(self._increments), self._flushed
        try:
            yield
        except BaseException:
            attributes = await aside.loads(text)
            self._attributes, self._increments, self._flushed = attributes, increments, flushed
            raise
        # In a handler the flash data is still to be shown: the response's own save ages it.
        changed = await (self._text() if self.ages_flash else self.stage_in_time())
        is_empty = self.is_untouched and self._left is None
        if changed is not None and not is_empty and (changed != self._loaded or self._version is None):
            await self.commit(changed)
        else:
            await self._renew_if_due()
        if self.is_gone:
            raise GoneError("the session was destroyed by another request, so nothing was saved")

    async def take(self, key: str, default: Any = None) -> Any:
        """Remove a key from the record at once, and return its value: of all callers, one gets it.

        For one-time tokens. `pull` removes from this request's session only, so that two requests at once may both
        see the value; here the record decides. Nothing else of the session is saved.

        Raises:
            UnavailableError: The store is down; nothing was taken.
        """
        async with self._between_transactions():
            return await self._take(key, default)

    async def _take(self, key: str, default: Any) -> Any:
        if self.is_gone:
            return default
        base = await aside.loads(self._loaded) if self._loaded is not None else {}
        left = self._left if self._version is None else None
        id = self._id if left is None else left.id
        is_stored = self._version is not None or left is not None
        if not is_stored or paths.find(base, key) is paths.MISSING:
            return self.pull(key, default)  # of this request's own making, and nobody else's yet
        started = time.monotonic()
        tries = 0
        async with self._own_lock():
            while True:
                stored = await self._load_alive(id)
                if stored is None:
                    if left is None and not self._was_left(id):
                        self._end()
                    else:  # the save of a regenerated session finds out whether it has ended or gone on
                        self.pull(key)
                    return default
                self._recall(stored.text)
                value = paths.remove(stored.attributes, key)
                if value is paths.MISSING:
                    self.pull(key)
                    return default
                text = await aside.dumps(stored.attributes, stored.text)
                try:
                    version = await self._driver.write(id, await self._concealed(text, id), stored.version)
                except ConflictError:
                    self._note_conflict()
                    tries += 1
                    await self._wait(started, tries)
                    continue
                self.trace.saved = "saved"
                self.watch.note("saved", self)
                self.pull(key)
                await self._rebase(_Loaded(stored.attributes, text, version if id == self._id else None, 0))
                return value

    @property
    def wants_touch(self) -> bool:
        """Whether there is a record, and its last activity is long enough ago to be renewed."""
        is_stored = self._version is not None and not self.is_gone
        return is_stored and time.monotonic() - self._active_at > self._terms.renew_after / 1000

    async def touch(self) -> None:
        """Renew the record's last activity. A response does this by itself, where the session was not changed."""
        id = self._stored_id
        if id is None:
            return
        before, self._active_at = self._active_at, time.monotonic()  # at once, so that nobody else renews it as well
        try:
            await self._driver.touch(id)
        except BaseException:
            self._active_at = before
            raise
        if self.trace.saved == "left alone":
            self.trace.saved = "touched"
        self.watch.note("touched", self)

    async def _renew_if_due(self) -> None:
        """Renew what was used in a WebSocket or a long handler. The session is there all the same if that fails."""
        if self.wants_touch and not self._driver.renews_on_read:
            try:
                await self.touch()
            except UnavailableError as error:
                logger.warning("could not renew session %s: %s", ids.shorten(self._id), error)

    @property
    def idle(self) -> float:
        """Seconds since this session's record was renewed; 0 if there is none, infinite if the driver cannot tell."""
        return 0 if self._stored_id is None else time.monotonic() - self._active_at

    @property
    def _stored_id(self) -> str | None:
        """The id of the session's record: the old one until a regenerated session is saved; None if there is none."""
        left = self._left
        if self._version is None and left is not None and not left.is_trail:
            return left.id
        return None if self._version is None or self.is_gone else self._id

    async def _write(self, text: str) -> None:
        self._is_writing = True
        try:
            await self._write_under(self._id, text)
        finally:
            self._is_writing = False

    async def _write_under(self, id: str, text: str) -> None:
        """Write a text, or what merging makes of it. `regenerate` meanwhile leaves the rest to the next save."""
        started = time.monotonic()
        tries = 0
        place = self._place()
        queue = _queues.get(place) if _queues else None
        if queue is None:
            tries = 1
            if await self._try_to_write(text):
                return
            queue = _queues.setdefault(place, asyncio.Lock())
        async with queue:
            while self._id == id:
                caught_up = await self._catch_up()
                if caught_up is None:
                    return
                tries += 1
                if await self._try_to_write(caught_up):
                    return
                await self._wait(started, tries)

    def _own_lock(self) -> asyncio.Lock:
        """For one save at a time, or the object's changes would be merged with themselves."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    def _place(self) -> tuple[int, int, str]:
        return (id(self._driver), id(asyncio.get_running_loop()), self._id)

    async def _wait(self, started: float, tries: int) -> None:
        """Before another try, as another process was first. With jitter, or the two go on colliding in step."""
        if time.monotonic() - started > self._terms.save_timeout / 1000:
            raise UnavailableError(
                f"session {ids.shorten(self._id)} was changed by others during each of {tries} tries to save it"
            )
        await asyncio.sleep(random.uniform(0, 0.002) * min(tries, 10))  # noqa: S311 - no secret

    async def _try_to_write(self, text: str) -> bool:
        """Whether it was written; False if another request was first."""
        if 0 < self._terms.max_size < len(text) * 4:  # UTF-8 takes four bytes a character at most
            await self._require_size(text)
        id, version = self._id, self._version
        # What is changed while this waits belongs to the next save.
        sent = _Sent(text, self._increments, self._flushed, self._aged)
        self._increments, self._flushed, self._aged = {}, False, False
        try:
            version = await self._driver.write(id, await self._concealed(text, id), version)
        except ConflictError:
            self._note_conflict()
            self._take_back(sent)
            return False
        except BaseException:  # cancelled, say, or the answer got lost
            self._unsure.append(sent)
            raise
        if self._version is None and (self._left is None or self._left.is_trail):
            self.watch.note("created", self)
        self.watch.note("saved", self)
        if self._id == id:
            self._loaded, self._version, self._outdated = text, version, False
        elif self._left is not None and self._left.id == id:  # by `regenerate`, meanwhile: the new id goes on from it
            self._loaded = text
        else:  # this id was given up before it had a record
            self._take_back(sent)
        self._active_at = time.monotonic()
        self._unsure.clear()
        return True

    async def _require_size(self, text: str) -> None:
        """Refuse a text that is too large, unless what is stored is as large already."""
        most = self._terms.max_size
        size = serializer.size_of(text)
        if size <= most or (self._loaded is not None and size <= serializer.size_of(self._loaded)):
            return
        key, part = await aside.run(len(text), serializer.largest_key, text)
        raise TooLargeError(
            f"cannot store the session: it takes {size} bytes, and maxSize allows {most}; most is in {key}, with "
            f"{part} bytes: keep less in it, or keep it elsewhere and only its key here, or raise maxSize"
        )

    def _take_back(self, sent: _Sent) -> None:
        """What was sent is not stored: it is still to be saved, with what was changed since."""
        if not self._flushed:
            for key, amount in sent.increments.items():
                self._count_increment(key, amount)
        self._flushed = self._flushed or sent.flushed
        self._aged = self._aged or sent.aged

    def _recall(self, stored: str) -> None:
        """See by what is stored which of the unsure writes were done, so that they are not done again."""
        unsure, self._unsure = self._unsure, []
        while unsure and unsure[-1].text != stored:
            self._take_back(unsure.pop())
        if unsure:
            self._loaded = stored

    async def _catch_up(self) -> str | None:
        """Merge what is stored now into the session; gives the text to write, None if there is none."""
        id = self._id
        loaded = await self._load_alive(id)
        if self._was_left(id):
            return None
        if loaded is None:
            self._end()
            return None
        if loaded.text != self._loaded:
            self._note_merge()
        self._recall(loaded.text)
        await self._rebase(loaded)
        text = await self._text()
        if text == loaded.text:
            self._settle()
            return None
        return text

    def _was_left(self, id: str) -> bool:
        """Whether `regenerate` was called while the store was asked: the save of the new id looks at this one."""
        left = self._left
        while left is not None and left.id != id:
            left = left.before
        return left is not None

    async def _move(self, left: _Left, text: str) -> None:
        """Save a regenerated session, together with what others have saved under its old id meanwhile.

        If it has gone on under another id, the two part ways: nothing of the other one's data is for the holder of
        this cookie, who may have it from before somebody logged in. What is held here becomes a session of its own.
        """
        began, base, flushed, began_anew = left, self._loaded, self._flushed, left.is_trail
        started, tries, is_moved = time.monotonic(), 0, False
        while True:
            path, old = await self._follow(left.id)
            if len(path) > 1:
                left = left._replace(is_trail=True)
            if old is None and not flushed:
                if is_moved or not began_anew:  # destroyed meanwhile; to go on under a new id would undo that
                    if is_moved:
                        await self._driver.destroy(self._id)
                    self._end()
                    break
                self._keep_own_changes()
                text = await self._text()
            elif old is not None and not flushed and not left.is_trail and old.text != base:
                self._note_merge()
                id, version = self._id, self._version
                self._loaded = base
                self._recall(old.text)
                await self._rebase(old)
                self._version = version if self._id == id else None
                text = await self._text()
            sent = _Sent(text, dict(self._increments), self._flushed, self._aged)
            await self._write(text)
            if self.is_gone:  # the new record; the old one stays
                break
            if self._left != began and self._version is None:  # it has got another id: the next save moves it there
                return
            is_moved = True
            if old is None or not left.destroy:
                break
            try:
                await self._leave(left, path, old)
                break
            except ConflictError:  # somebody has saved under the old id in this moment: take that along as well
                base = old.text
                self._take_back(sent)
                tries += 1
                await self._wait(started, tries)
        if left.before is not None:
            await self._settle_old(left.before)
        self._forget(began)

    def _forget(self, left: _Left | None) -> None:
        """The old record is settled; not so one that the session has left in the meantime."""
        if self._left == left:
            self._left = self._trail = None

    async def _end_record(self) -> None:
        """Destroy the session's record, and store no other in its place."""
        left = self._left
        if left is not None:
            await self._settle_old(left._replace(grace=False))
            self._was_ended = True
        self._forget(left)

    async def _run_out(self) -> None:
        """End a session whose absolute lifetime is over, although this request, or WebSocket, goes on."""
        self.watch.note("expired", self)
        if self._left is not None:
            await self._settle_old(self._left._replace(destroy=True, grace=False))
        if self._version is not None:
            await self._driver.destroy(self._id)
        self._end()

    async def _settle_old(self, left: _Left) -> None:
        """Destroy the session where it has gone from its old ids, or leave it there."""
        started, tries = time.monotonic(), 0
        while left.destroy:
            path, old = await self._follow(left.id)
            if old is None or (len(path) > 1 and (path[-1] == self._id or self._was_left(path[-1]))):
                break  # it was done before, and the answer got lost; its own next id must not be ended for that
            try:
                await self._leave(left, path, old)
                break
            except ConflictError:
                tries += 1
                await self._wait(started, tries)
        if left.before is not None:
            await self._settle_old(left.before)

    async def _leave(self, left: _Left, path: list[str], old: _Loaded) -> None:
        """Destroy the old record, and all that leads there; or leave what it held for a moment, and a trail.

        Args:
            left: How.
            path: See `_follow`.
            old: The record, which is replaced or destroyed if it is still that one.

        Raises:
            ConflictError: It is not.
        """
        id = path[-1]
        if left.grace:
            farewell = await self._farewell(id, old)
            await self._driver.write(id, await self._concealed(farewell, id), old.version)
            return
        await self._driver.destroy(id, old.version)
        for each in path[:-1]:
            await self._driver.destroy(each)

    async def _farewell(self, id: str, old: _Loaded) -> str:
        """The text of a record that no session can go on with. What `maxSize` allowed may take some bytes more here."""
        farewell: dict[str, Any] = {"at": int(time.time() * 1000), "to": _veil(self._id, id)}
        if self._terms.grace:
            with contextlib.suppress(SerializationError):  # it is nested as deep as can be, and would be deeper there
                return await aside.dumps({_FAREWELL: {**farewell, "attributes": old.attributes}})
        return serializer.dumps({_FAREWELL: farewell})

    async def _rebase(self, theirs: _Loaded) -> None:
        """Make our changes changes of what another request has stored."""
        size = max(len(theirs.text), len(self._loaded or ""))
        id, mine, base, changes = self._id, self._attributes, self._loaded, self._changes()
        is_merged = await aside.merged(base, mine, theirs.attributes, size, **changes)
        if not is_merged or self._attributes is not mine or self._loaded is not base or self._changes() != changes:
            self._attributes = self._merged_with(theirs.attributes)
        self._aged = self._is_pristine = False
        self._loaded = theirs.text
        if self._id == id:  # or `regenerate` has come in between
            self._version = theirs.version
        self.trace.base = theirs.text

    def _merged_with(self, theirs: dict[str, Any]) -> dict[str, Any]:
        return merge(
            serializer.loads(self._loaded) if self._loaded is not None else {},
            self._attributes,
            theirs,
            **self._changes(),
        )

    def _changes(self) -> dict[str, Any]:
        """What of the changes since the record was loaded a comparison could not tell."""
        return {"increments": dict(self._increments), "flushed": self._flushed, "aged": self._aged}

    def _note_activity(self, loaded: _Loaded) -> None:
        now = time.monotonic()
        self._active_at = now if self._driver.renews_on_read else now - loaded.idle / 1000

    def _note_loading(self, loaded: _Loaded | None, seconds: float) -> None:
        trace = self.trace
        trace.loading = seconds
        if loaded is not None:
            trace.found = "found"
            self.watch.note("loaded", self)
        elif trace.found != "damaged":
            trace.found = "expired"
            self.watch.note("expired", self)

    def _note_conflict(self) -> None:
        self.trace.conflicts += 1
        self.watch.note("conflicted", self)

    def _note_merge(self) -> None:
        self.trace.merged += 1
        self.watch.note("merged", self)

    def _settle(self) -> None:
        """What is stored is what we have: from here on, changes are counted anew."""
        self._increments.clear()
        self._unsure.clear()
        self._flushed = self._aged = False

    def _end(self) -> None:
        """Another request destroyed the session: neither a record nor a cookie may bring it back."""
        if self.is_gone:
            return
        logger.info("session %s was destroyed by another request; nothing is saved", ids.shorten(self._id))
        self.watch.note("not_resurrected", self)
        self.trace.saved = "gone"
        self.is_gone = True

    def _settle_flash(self) -> None:
        """Bring the flash data into the state in which the next request is to find it."""
        if self.ages_flash:
            if self._attributes.get("flash") != _NO_FLASH:
                self.age_flash_data()
            self.ages_flash, self._aged = False, True
        elif self._flashed("new"):
            # The previous flash data is gone already; what was flashed since is for the next request as well.
            self._set_flashed("old", list(dict.fromkeys([*self._flashed("old"), *self._flashed("new")])))
            self._set_flashed("new", [])

    def _reveal(self, payload: str, id: str) -> str:
        """The JSON text in a stored payload."""
        encryption.refuse_encrypted(payload)
        return payload

    def _conceal(self, text: str, id: str) -> str:
        """The payload to store for a JSON text."""
        return text

    async def _concealed(self, text: str, id: str) -> str:
        return self._conceal(text, id) if len(text) < LARGE else await self._crypt(self._conceal, text, id)

    async def _crypt(self, work: Callable[[str, str], str], text: str, id: str) -> str:
        """`_reveal` or `_conceal`, of a large text."""
        return work(text, id)


class EncryptedStore(Store):
    """A session whose record is encrypted."""

    __slots__ = ("_encrypter",)

    def __init__(
        self, name: str, driver: Driver, encrypter: SessionEncrypter, id: str | None = None, **options: Any
    ) -> None:
        super().__init__(name, driver, id, **options)
        self._encrypter = encrypter

    def _reveal(self, payload: str, id: str) -> str:
        text = self._encrypter.decrypt(payload, id)
        self._outdated = not self._encrypter.is_current(payload)
        return text

    def _conceal(self, text: str, id: str) -> str:
        return self._encrypter.encrypt(text, id)

    async def _crypt(self, work: Callable[[str, str], str], text: str, id: str) -> str:
        if isinstance(self._encrypter, CustomEncrypter):  # a program's own need not be fit for threads
            return work(text, id)
        return await aside.run(len(text), work, text, id)


def _is_farewell(attributes: dict[str, Any]) -> bool:
    if len(attributes) != 1:
        return False
    farewell = attributes.get(_FAREWELL)
    if not isinstance(farewell, dict) or not _is_time(farewell.get("at")):
        return False
    if farewell.keys() not in ({"at", "to"}, {"at", "to", "attributes"}, {"at", "attributes"}):  # the last of 0.1.0
        return False
    return isinstance(farewell.get("attributes", {}), dict) and ("to" not in farewell or ids.is_valid(farewell["to"]))


def _veil(id: str, other: str) -> str:
    """An id made unreadable for all who do not have the other one; the same again makes it readable.

    With `hashIds`, who reads the store must find no id in it, and has only a hash of the other one, which is none of
    this.
    """
    pad = hashlib.sha256(b"left:" + other.encode()).digest()
    veiled = bytes(a ^ b for a, b in zip(base64.urlsafe_b64decode(id), pad, strict=False))
    return base64.urlsafe_b64encode(veiled).decode()


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fill(preset: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """What was set before the session started, with the stored values over it."""
    filled = dict(preset)
    for key, value in stored.items():
        before = filled.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        filled[key] = _fill(before, value) if both else value  # type: ignore[arg-type]
    return filled
