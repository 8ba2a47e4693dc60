"""Group commit: the changes of many requests to SQLite, in one transaction.

The changes of one turn of the event loop, and those that come while the transaction before is at work, go to
aiosqlite's thread in one hop and into the file in one commit. Hop and commit cost ten times as much as a change itself.
Each change has an outcome of its own, and none is told before all of them are committed.

- A transaction takes the changes that wait *when it has the lock*. While another process writes, they stay in the
  queue: one whose time is over leaves, was certainly not done, and delays nobody.
- A change that a transaction has taken is waited for: a request that gave up would not know whether it happened.
- A transaction checks whether the database is still at its path: before its changes, so that none goes into a file that
  was deleted, and after its commit, since it may have been deleted meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiosqlite

from .sqlite_files import SqliteFiles

_NEVER = float("inf")

# Seconds by which a timer is late if the loop had no time for it; then the thread has had no chance either.
_LATE = 0.02


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
        self._database = files.path
        self._seconds = seconds
        self._queue = _Queue(files, seconds)
        self._task: asyncio.Task[None] | None = None
        self._has_timer = False  # only the loop refers to the timer, which refers to this

    async def open(self) -> None:
        """Connect to the database."""
        factory = functools.partial(_Connection, self._queue)
        self.connection = await _of_daemon_thread(
            lambda: aiosqlite.connect(self._database, timeout=self._seconds, isolation_level=None, factory=factory)
        )

    async def finish(self) -> None:
        """Do the changes that wait."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Do the changes that wait, and close the connection."""
        await self.finish()
        for change in self._queue.take():
            change.future.cancel()
        await self.connection.close()

    def change(self, statement: str, values: Sequence[Any]) -> asyncio.Future[int | Exception]:
        """Run a statement; gives a future of the number of changed rows, or of its error.

        The error is a result, since several requests should not all raise the same object. After an
        `asyncio.TimeoutError` nothing was done; after a `MovedError` the database must be opened again, and the
        statement run there.
        """
        change = _Change(statement, values, time.monotonic() + self._seconds)
        self._queue.add(change)
        if self._task is None or self._task.done():  # the latter, if it was cancelled before it began
            self._task = asyncio.ensure_future(self._commit())
        if not self._has_timer:
            self._has_timer = True
            asyncio.get_running_loop().call_later(self._seconds, self._give_up)
        return change.future

    async def _commit(self) -> None:
        try:
            while self._queue.waiting:
                try:
                    await self.connection.commit()
                except Exception as error:  # it is closed, for example
                    _tell(self._queue.take(), error)
        finally:
            self._task = None
            for change in self._queue.take():  # there are some only if the loop is shut down meanwhile
                change.future.cancel()

    def _give_up(self, is_last_call: bool = False) -> None:
        """Give up the changes whose time is over.

        One timer serves all: a timer for each change would cost more.
        """
        first = self._queue.waiting[:1]  # or none, since the thread may take it at any moment
        if not is_last_call and any(time.monotonic() - change.deadline > _LATE for change in first):
            asyncio.get_running_loop().call_later(_LATE, self._give_up, True)
            return
        _tell(self._queue.take(time.monotonic()), asyncio.TimeoutError())
        first = self._queue.waiting[:1]
        self._has_timer = bool(first)
        for change in first:
            asyncio.get_running_loop().call_later(change.deadline - time.monotonic(), self._give_up)


class _Change:
    """A statement, the future of its request, its deadline and its outcome.

    The outcome is the number of rows that it changed, or an error.
    """

    __slots__ = ("deadline", "future", "outcome", "statement", "values")

    def __init__(self, statement: str, values: Sequence[Any], deadline: float) -> None:
        self.statement = statement
        self.values = values
        self.deadline = deadline
        self.future: asyncio.Future[int | Exception] = asyncio.get_running_loop().create_future()
        self.outcome: int | Exception = 0

    def run(self, connection: sqlite3.Connection) -> None:
        """Run the statement, unless its request has given up.

        It raises only an error that has undone the whole transaction.
        """
        if self.future.cancelled():
            return
        try:
            self.outcome = connection.execute(self.statement, self.values).rowcount
        except Exception as error:
            if not connection.in_transaction:  # the disk is full, for example
                raise
            self.outcome = error


class _Queue:
    """The changes that wait, the longest waiting first.

    The loop adds to them, the thread takes them.

    It has no reference to aiosqlite's connection, which has one to it: the connection must go, and end its thread, with
    the last reference.
    """

    def __init__(self, files: SqliteFiles, seconds: float) -> None:
        self._files = files
        self._seconds = seconds
        self._lock = threading.Lock()
        self.waiting: list[_Change] = []

    def add(self, change: _Change) -> None:
        with self._lock:
            self.waiting.append(change)

    def take(self, deadline: float = _NEVER) -> list[_Change]:
        """Take the changes of this deadline or an earlier one, so that nobody else does."""
        with self._lock:
            taken = [change for change in self.waiting if change.deadline <= deadline]
            del self.waiting[: len(taken)]
        return taken

    def transact(self, connection: sqlite3.Connection) -> None:
        """Do the changes that wait, in the connection's thread."""
        began = time.monotonic()
        try:
            connection.execute("BEGIN IMMEDIATE")  # waits while another process writes
        except Exception as error:
            # Changes that came meanwhile have time left.
            _report(self.take(began + self._seconds), MovedError() if self._files.have_moved() else error)
            return
        changes = self.take()
        if self._files.have_moved():
            connection.execute("ROLLBACK")
            _report(changes, MovedError())
            return
        try:
            for change in changes:
                change.run(connection)
            connection.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have done it by itself
                connection.execute("ROLLBACK")
            _report(changes, error)
        else:
            _report(changes, MovedError() if self._files.is_replaced() else None)


class _Connection(sqlite3.Connection):
    """Make the waiting changes on a commit.

    Aiosqlite has no other public way to do several things in one hop.
    """

    def __init__(self, queue: _Queue, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._queue = queue

    def commit(self) -> None:
        self._queue.transact(self)


def _of_daemon_thread(connect: Callable[[], aiosqlite.Connection]) -> aiosqlite.Connection:
    """Make a connection in a daemon thread, so that its own thread is a daemon.

    A program that ends, or fails, without closing the connection then ends all the same. Aiosqlite has no option for
    it, but a thread inherits it. Nothing is lost by it: a change that has been answered is committed.
    """
    made: list[aiosqlite.Connection] = []
    thread = threading.Thread(target=lambda: made.append(connect()), daemon=True)
    thread.start()
    thread.join()
    return made[0]


def _report(changes: list[_Change], error: Exception | None = None) -> None:
    """Let the loop tell the outcomes.

    The thread asks for it, since the loop may have given up the hop itself.
    """
    if changes:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            changes[0].future.get_loop().call_soon_threadsafe(_tell, changes, error)


def _tell(changes: list[_Change], error: Exception | None = None) -> None:
    """Give each request its outcome, or all of them this error."""
    for change in changes:
        if not change.future.done():  # it was cancelled
            change.future.set_result(error or change.outcome)
