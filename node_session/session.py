"""The session a handler works with.

    session = Session("node_session", records, id)
    await session.start()
    session.put("user.name", "Ann")
    await session.save()

This module adds the record's side: loading, saving, the id. The methods for the content are in
`node_session.attributes`, `flash` and `csrf_token`. `NodeSession` makes a session for each request, and the response
saves it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from . import ids, loading, moving, passive, transaction
from .callbacks import with_error, without_arguments
from .content import Content
from .drivers.base import Driver
from .lifetimes import own_lifetime
from .own_lifetime import OwnLifetime
from .records import Records
from .report import Report, make_report
from .saving import saving_lock
from .state import GONE, UNSTARTED
from .work import UnitOfWork


class Session(OwnLifetime):
    """A session. `NodeSession` makes it. npm: ``Store``.

    Args:
        name: The cookie's name.
        records: All records of the program.
        id: The id to load; if it is missing or invalid, a fresh one is made.
        others: Further valid ids to try, in this order, if the first has no record.
    """

    __slots__ = ("_name", "_work")

    def __init__(self, name: str, records: Records, id: str | None = None, *, others: Sequence[str] = ()) -> None:
        self._content = content = Content()  # as super().__init__() would do it
        self._name = name
        self._work = UnitOfWork(content, records, id if records.ids.is_valid(id) else None, others)

    def __repr__(self) -> str:
        state = f"{len(self)} keys" if self.is_started else "not started"
        return f"<{type(self).__name__} {self._name} {ids.shorten(self.get_id())} {state}>"

    # ---------------------------------------------------------------- identity

    def get_id(self) -> str:
        """The session's id, as secret as a password: 40 characters, in other formats fewer or more. npm: `getId`."""
        return self._work.id

    def set_id(self, id: str | None = None) -> None:
        """Set another id, or a fresh one if `id` is missing or invalid. npm: `setId`."""
        work = self._work
        work.take_id(id if work.records.ids.is_valid(id) else None)

    def get_name(self) -> str:
        """The cookie's name. npm: `getName`."""
        return self._name

    def get_handler(self) -> Driver:
        """The driver. npm: `getHandler`."""
        return self._work.records.driver

    @property
    def is_started(self) -> bool:
        """Whether the session was loaded, and so can be used and saved."""
        return self._work.state is not UNSTARTED

    @property
    def lifetime(self) -> float:
        """Milliseconds for which this session may be idle, its own or the option's; 0: for ever."""
        return own_lifetime(self._content.attributes) or self._work.records.policy.lifetime

    @property
    def report(self) -> Report:
        """The session's history in this request so far; each call makes a new report."""
        work = self._work
        return make_report(
            work.trace,
            id=work.id,
            driver=work.records.events.driver,
            attributes=work.content.attributes,
            stored=work.base,
            is_withheld=work.is_withheld,
        )

    def set_exists(self, exists: bool) -> None:
        """With False, let the next save create a record. npm: `setExists`.

        Otherwise it replaces the one that was loaded.
        """
        if not exists:
            self._work.forget_version()

    def regenerate(self, destroy: bool = False) -> bool:
        """Give the session a new id; call this when somebody logs in. Data and token stay.

        Args:
            destroy: Also destroy the record of the old id, once the new one is saved. Requests under way that still
                bring the old cookie can read its content for as long as the option `regenerateGrace` says. They change
                nothing, and get no cookie. If the session has already moved to another id, as after the first of two
                log-ins with the same cookie, it is destroyed there, and this begins a new one.

        Returns:
            True.

        Raises:
            HeadersSentError: The response's headers, which carry the cookie, have been sent.
        """
        moving.regenerate(self._work, destroy)
        return True

    def migrate(self, destroy: bool = False) -> bool:
        """Do the same as `regenerate`. npm: `migrate`."""
        return self.regenerate(destroy)

    def invalidate(self) -> bool:
        """Empty the session, give it a new id, destroy the old record: for log-outs."""
        self.regenerate(destroy=True)  # first, since it may refuse
        work = self._work
        if work.old is not None:
            work.old = work.old._replace(grace=False)
        self._note_former(is_log_out=True)
        work.envelope = work.new_envelope
        self.flush()
        return True

    def passive(self) -> None:
        """Let this request be no activity of the user: for polls.

        The session is read and saved as ever, but it expires when it would have without this request: neither its
        record nor its cookie is renewed, and flash data does not age. If the request finds no session, it has an empty
        one that is neither stored nor sent. It stays an ordinary request if it calls `regenerate` or `invalidate`.

        Call it before anything is awaited, since a session that is about to expire is renewed immediately. A handler
        whose requests are all passive says so by `SessionMixin.passive_session`. What was renewed or sent before the
        call stays so. In a WebSocket it holds until the socket closes.
        """
        passive.become_passive(self._work)

    # ---------------------------------------------------------------- the record

    def start(self, callback: Callable[[], object] | None = None) -> Awaitable[bool]:
        """Load the record. Values set before are kept, except under keys that it has.

        Args:
            callback: Called without arguments when it is loaded.

        Returns:
            An awaitable of True.

        Raises:
            UnavailableError: The store cannot tell whether there is a record.
        """
        return without_arguments(self._start(), callback)

    async def _start(self) -> bool:
        await loading.start(self._work)
        return True

    async def reload(self) -> bool:
        """Load the record again, dropping unsaved changes. For WebSockets.

        Returns:
            False if the session was destroyed or has expired; it is empty then, and can no longer be saved.
        """
        work = self._work
        if work.version is None and work.state is not GONE:  # never stored, so there is no record to load
            return True
        async with transaction.between_transactions(work), saving_lock(work):  # not to undo a save under way
            return await loading.reload(work)

    def save(self, callback: Callable[[Exception | None], object] | None = None) -> Awaitable[None]:
        """Write the session if it has changed; may be called any number of times.

        A response saves its session by itself. Call this where there is no response, as in a WebSocket.

        Args:
            callback: Called with None when it is saved, or with the error, which is then not raised.

        Raises:
            SerializationError: The session holds a value that JSON has no form for; nothing was written.
            TooLargeError: It takes more bytes than `maxSize` allows; nothing was written.
            UnavailableError: The store is down, or too busy for too long; nothing was written.
        """
        return with_error(transaction.save_in_turn(self._work), callback)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Reload, change and save as one step: for WebSockets and long handlers.

            async with session.transaction():
                session.push("messages", message)

        Earlier unsaved changes are saved with it. If the block raises, its changes are undone. Another task's
        transaction on the same object, or its `save`, waits for its turn. Transactions and saves inside the block are
        part of it, and so are the tasks that it starts.

        Raises:
            GoneError: The session was destroyed or has expired; nothing was saved.
            SerializationError, UnavailableError: As in `save`.
        """
        async with transaction.transaction(self._work):
            yield self

    async def take(self, key: str, default: Any = None) -> Any:
        """Remove a key from the record immediately; only one caller gets its value.

        For one-time tokens. `pull` removes the key from this request's session only, so that two concurrent requests
        may both see the value. `take` saves no other change of the session.

        Raises:
            UnavailableError: The store is down; nothing was taken.
        """
        async with transaction.between_transactions(self._work):
            return await transaction.take(self._work, key, default)


def work_of(session: Session) -> UnitOfWork:
    """The unit of work of a session, for the response that saves it."""
    return session._work
