"""The unit of work of a session: its record, its state, and its unsaved changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from .activity import Activity
from .changes import Changes
from .content import Content
from .records import Records
from .report import Trace
from .state import ENDED, GONE, MOVED, MOVING, NEW, STORED, UNSTARTED, WAYS, State


class Sent(NamedTuple):
    """A write under way, and the changes since loading that it contains."""

    text: str
    changes: Changes


class OldRecord(NamedTuple):
    """The old record of a regenerated session.

    Attributes:
        id: Its id.
        destroy: Whether it is destroyed once the new one is saved.
        grace: Whether requests that still bring its cookie may read it for the grace period.
        is_trail: Whether the session had left this id before our session began. It is followed to its present id and
            ended there, and nothing of it is merged: its present holder may be somebody else.
        before: The next one to settle, if the session got several ids before it was saved.
    """

    id: str
    destroy: bool
    grace: bool
    is_trail: bool = False
    before: OldRecord | None = None


class UnitOfWork(Activity):
    """The data of one session that loading, saving, moving and transactions share.

    Args:
        content: The session's content.
        records: All records of the program.
        id: A valid id to load; None: a fresh one is made.
        others: Further ids to try, in this order, if that one has no record.
    """

    state: State = UNSTARTED
    id: str

    is_fresh = False
    """Whether the id was made by this request, so that no record can have it."""

    version: object = None
    """The driver's version of the record under `id`; None: there is none yet."""

    base: str | None = None
    """The stored text on which the content is based; None: there was none."""

    envelope: Any = None
    """What else is in that record; see `node_session.formats`."""

    new_envelope: Any = None
    """What else is in a new record, if that depends on the request."""

    is_outdated = False
    """Whether the record is encrypted in an older way, and should be written again."""

    old: OldRecord | None = None
    """The record to settle after a regeneration."""

    trail: str | None = None
    """An id that the session has left for another one."""

    unconfirmed: Sequence[Sent] = ()
    """Writes that failed or were cancelled, and may have succeeded in the store."""

    is_writing = False
    """Whether a write under `id` is under way, so that there may be a record."""

    has_cookie = False
    """Whether the browser already has this id's cookie, exactly as we would send it."""

    is_left_alone = True
    """Whether the response writes no record, so that the record may need a touch."""

    headers_sent = False
    """Whether the client has its cookie; from here on the id cannot change."""

    is_withheld = False
    """Whether another site made the request, so that the user's cookie may be withheld.
    Then this session is neither stored nor sent, until it is regenerated."""

    saving: asyncio.Lock | None = None
    """Lock for one save at a time; two would merge changes with themselves."""

    turn: asyncio.Lock | None = None
    """Lock for one transaction at a time; made by the first one."""

    open_transaction: object = None
    """The transaction under way."""

    def __init__(self, content: Content, records: Records, id: str | None, others: Sequence[str] = ()) -> None:
        self.content = content
        content.events = records.events
        content.format = records.format
        self.records = records
        self.renew_after = records.policy.renew_after / 1000
        self.others = others
        self.trace = Trace()
        if id is None:
            self.id, self.is_fresh = records.ids.generate(), True
        else:
            self.id = id

    def enter(self, state: State) -> None:
        """Enter another state.

        Raises:
            AssertionError: There is no such transition; a fault of this package.
        """
        if state is not self.state and state not in WAYS[self.state]:
            raise AssertionError(f"a session cannot go from {self.state.name} to {state.name}")
        self.state = state

    def take_id(self, id: str | None = None) -> None:
        """Take another, valid id; None: a fresh one."""
        self.is_fresh = id is None
        self.id = self.records.ids.generate() if id is None else id
        self.has_cookie = False
        self.forget_version()

    def forget_version(self) -> None:
        """Continue as if there were no record under the id."""
        self.version = None
        self.settle_state()

    def forget_old(self, old: OldRecord | None) -> None:
        """Note that the old record is settled, unless there is another one by now."""
        if self.old == old:
            self.old = self.trail = None
            self.settle_state()

    def settle_state(self) -> None:
        """Enter the state that follows from the records; GONE and UNSTARTED stay."""
        if self.state is GONE or self.state is UNSTARTED or (self.state is ENDED and self.is_new):
            return
        if self.old is None:
            self.enter(NEW if self.version is None else STORED)
        else:
            self.enter(MOVING if self.version is None else MOVED)

    def settle_changes(self) -> None:
        """Forget the changes: the store holds the same as the session."""
        self.content.changes.clear()
        self.unconfirmed = ()

    def has_left(self, id: str) -> bool:
        """Whether this is an old id of the session, whose record the next save settles."""
        old = self.old
        while old is not None and old.id != id:
            old = old.before
        return old is not None

    def note(self, event: str) -> None:
        """Count an event of this session, and tell the listener."""
        self.records.events.note(event, self.id)

    # ---------------------------------------------------------------- derived from the state

    @property
    def is_new(self) -> bool:
        """Whether this session was never stored, under this id or another."""
        return self.version is None and self.old is None

    @property
    def is_current(self) -> bool:
        """Whether the record needs writing only if the content has changed."""
        return self.state is STORED and not self.is_outdated

    @property
    def is_logging_out(self) -> bool:
        """Whether the old record is one that `invalidate` destroys."""
        return self.old is not None and not self.old.grace

    @property
    def is_untouched(self) -> bool:
        """Whether nothing needs storing: it is withheld, new in a passive request, empty and new, or ended."""
        if self.is_withheld or (self.is_passive and self.is_new):
            return True
        is_new = self.version is None and (self.old is None or self.old.destroy)
        return is_new and not self.records.policy.save_uninitialized and not self.content.attributes

    @property
    def has_no_record_yet(self) -> bool:
        """Whether a client with this id's cookie would find no record yet."""
        return self.version is None and self.state is not GONE and not self.is_untouched

    @property
    def is_ended(self) -> bool:
        """Whether the record is destroyed and not replaced: the cookie can go, too."""
        return (self.state is ENDED or self.old is not None) and self.is_untouched

    # ---------------------------------------------------------------- time

    @property
    def wants_cookie(self) -> bool:
        """Whether the browser's cookie must be renewed or replaced."""
        return not self.has_cookie or time.monotonic() - self.seen_at > self.renew_after

    @property
    def wants_touch(self) -> bool:
        """Whether the record has been idle for long enough to be renewed."""
        is_stored = self.version is not None and self.state is not GONE and not self.is_passive
        return is_stored and time.monotonic() - self.active_at > self.renew_after

    @property
    def idle(self) -> float:
        """Seconds since the record was renewed; 0 without one, infinite if unknown."""
        return 0 if self.stored_id is None else time.monotonic() - self.active_at

    @property
    def stored_id(self) -> str | None:
        """The record's id: the old one until a regenerated session is saved; or None."""
        if self.version is None and self.old is not None and not self.old.is_trail:
            return self.old.id
        return None if self.version is None or self.state is GONE else self.id
