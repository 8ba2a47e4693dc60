"""Group commit: the changes of many requests to SQLite, in one transaction.

The changes of one turn of the event loop, and those that come while the transaction before is at work, go to
aiosqlite's thread in one hop and into the file in one commit (see `turns`). Hop and commit cost ten times as much as a
change itself. Each change has an outcome of its own, and none is told before all of them are committed.

- A transaction takes its changes *when it has the lock*. While another process writes, they wait: one whose time is
  over was certainly not done. Changes that come meanwhile are the next transaction.
- A change that a transaction has taken is waited for: a request that gave up would not know whether it happened.
- A transaction checks whether the database is still at its path: before its changes, so that none goes into a file that
  was deleted, and after its commit, since it may have been deleted meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiosqlite

from .sqlite_files import SqliteFiles
from .turn import Asked, Kind, Turn
from .turns import Turns

_MOST = 1000  # changes in a transaction; nobody else can write during one


class MovedError(Exception):
    """The database is no longer at its path; the one that is there lacks the change."""


class GroupCommit:
    """The writer of a database for the requests of one event loop.

    Args:
        files: Of the database.
        seconds: How long a change waits for its transaction to begin.

    Attributes:
        connection: To the database, after `open`. It commits by itself, for other users of it.
    """

    connection: aiosqlite.Connection

    def __init__(self, files: SqliteFiles, seconds: float) -> None:
        self._files = files
        self._seconds = seconds

    async def open(self) -> None:
        """Connect to the database."""
        # It has no reference to aiosqlite's connection, which has one to it: the connection must go, and end its
        # thread, with the last reference.
        handed_over: deque[_Transaction] = deque()
        connect = functools.partial(
            aiosqlite.connect,
            self._files.path,
            timeout=self._seconds,
            isolation_level=None,
            factory=functools.partial(_Connection, handed_over),
        )
        self.connection = await _of_daemon_thread(connect)
        self._turns = Turns(1, self._seconds)
        send = functools.partial(_send, self.connection, handed_over, self._files)
        self._changes = Kind(send, shares_ids=True, most=_MOST, may_be_late=True)

    async def finish(self) -> None:
        """Do the changes that wait."""
        await self._turns.finish()

    async def close(self) -> None:
        """Do the changes that wait, and close the connection."""
        await self.finish()
        await self.connection.close()

    def change(self, statement: str, values: Sequence[Any]) -> Awaitable[Any]:
        """Run a statement; gives the number of changed rows, or its error.

        After an `asyncio.TimeoutError` nothing was done; after a `MovedError` the database must be opened again, and
        the statement run there.
        """
        return self._turns.ask(self._changes, "", statement, values)


async def _send(
    connection: aiosqlite.Connection, handed_over: deque[_Transaction], files: SqliteFiles, turn: Turn
) -> None:
    transaction = _Transaction(turn, files)
    handed_over.append(transaction)
    await connection.commit()
    transaction.tell()


class _Transaction:
    """The changes of a turn, made in the connection's thread. They may have been given up since it was asked for."""

    def __init__(self, turn: Turn, files: SqliteFiles) -> None:
        self._turn = turn
        self._files = files
        self._taken: list[Asked] = []
        self._outcomes: list[int | Exception] = []

    def run(self, connection: sqlite3.Connection) -> None:
        """Make the changes; raises an error if none was made."""
        try:
            connection.execute("BEGIN IMMEDIATE")  # waits while another process writes
        except sqlite3.Error as error:
            raise MovedError if self._files.have_moved() else error from None
        try:
            self._taken = self._turn.take()
            if self._taken and self._files.have_moved():
                raise MovedError
            for asked in self._taken:
                self._outcomes.append(_change(connection, *asked.values))
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have done it by itself
                connection.execute("ROLLBACK")
            raise
        if self._files.is_replaced():
            raise MovedError

    def tell(self) -> None:
        """Give each request its outcome."""
        for asked, outcome in zip(self._taken, self._outcomes, strict=True):
            asked.tell(outcome)


def _change(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> int | Exception:
    """Run a statement; raises only an error that has undone the whole transaction."""
    try:
        return connection.execute(statement, values).rowcount
    except Exception as error:
        if not connection.in_transaction:  # the disk is full, for example
            raise
        return error


class _Connection(sqlite3.Connection):
    """Make the changes of a turn on a commit.

    Aiosqlite has no other public way to do several things in one hop.
    """

    def __init__(self, handed_over: deque[_Transaction], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._handed_over = handed_over

    def commit(self) -> None:
        self._handed_over.popleft().run(self)


async def _of_daemon_thread(connect: Callable[[], aiosqlite.Connection]) -> aiosqlite.Connection:
    """Make a connection in a daemon thread, so that its own thread is a daemon.

    A program that ends, or fails, without closing the connection then ends all the same. Aiosqlite has no option for
    it, but a thread inherits it. Nothing is lost by it: a change that has been answered is committed.
    """
    made: list[aiosqlite.Connection] = []
    thread = threading.Thread(target=lambda: made.append(connect()), daemon=True)
    thread.start()
    thread.join()
    return await made[0]
