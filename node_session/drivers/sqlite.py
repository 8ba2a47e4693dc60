"""SQLite: one file, shared by the processes of one machine.

- *Reading* happens in the event loop, on a connection of its own that neither writes nor waits: it takes a few
  microseconds there, and twenty times that in aiosqlite's thread.
- *Writing* goes through aiosqlite's thread, the writes of many requests in one transaction (see `group_commit`). A
  write that has been answered survives the process; with `durable` it waits for the disk, and survives a power cut.
- The file may be deleted or replaced while the program runs (see `sqlite_files`): it is opened again, with a warning.
- Without a `connection`, the file is beside the folder that the file driver would use. It belongs to its owner alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

from ..errors import ConflictError, UnavailableError
from .connection import Connection
from .group_commit import GroupCommit, MovedError
from .options import Options
from .per_loop import PerLoop
from .sql import Dialect, SqlDriver
from .sqlite_files import MEMORY, SqliteFiles

logger = logging.getLogger("node_session")

_DIALECT = Dialect(quote='"', placeholder=lambda number: "?")

_STEP = 100  # records that gc removes at a time, in a millisecond or two

# Seconds to rest after a step at most, so that a busy process still removes more records than it makes.
_LONGEST_REST = 0.02

_PAGE_SIZE = 64 * 1024  # characters of a page of scan, which is read in the loop

# Attempts to copy the rest of a log that somebody still reads, and the seconds between them.
_COPIES, _COPY_SECONDS = 500, 0.01

_RETRIES = 3  # of a change, if the file is replaced each time


def create(options: Options, connection: Connection) -> SqliteDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    default = MEMORY if connection.adapter == "sails-memory" else f"{options.files}.sqlite"
    return SqliteDriver(
        connection.database or default,
        options.table,
        options.lifetime,
        durable=options.durable,
        timeout=connection.timeout,
    )


class _Open(NamedTuple):
    """The connections of one loop.

    Attributes:
        writer: Works in a thread.
        reader: Works in the loop; None for a database in memory, which has one connection only.
        files: The files that were opened.
    """

    writer: GroupCommit
    reader: sqlite3.Connection | None
    files: SqliteFiles


class SqliteDriver(SqlDriver):
    """A driver that keeps records in a table of an SQLite file.

    The file, its folder and the table are made when first needed.

    Args:
        database: Path of the file; ``:memory:`` for no file: the records are gone with the driver.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        durable: Wait until the disk has each record.
        timeout: Milliseconds to wait while other processes write.
        clock: Gives seconds since 1970.
    """

    longest_rest = _LONGEST_REST

    def __init__(
        self,
        database: str,
        table: str,
        lifetime: float,
        *,
        durable: bool = False,
        timeout: float = 5_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(table, lifetime, _DIALECT, clock)
        self._database = database if database == MEMORY else os.path.abspath(database)  # noqa: PTH100
        self._durable = durable
        self._seconds = timeout / 1000
        self._index = '"' + table.rpartition(".")[2] + '_lastActivity"'
        self._delete_some = (
            f"DELETE FROM {self.table} WHERE id IN "  # noqa: S608
            f"(SELECT id FROM {self.table} WHERE {self.last} < ? LIMIT {_STEP})"
        )
        self._connections = PerLoop(self._open, _close)

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._connections.close()

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`. It goes in steps: nobody else can write during one."""
        return sum([removed async for removed in self.gc_in_steps(lifetime)])

    async def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """See `Driver.gc_in_steps`."""
        oldest, removed = self._now() - int(lifetime), _STEP
        while removed >= _STEP:
            removed = await self._change(self._delete_some, oldest)
            yield removed

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        opened = self._connections.opened() or await self._connect()
        if opened.files.have_moved_lately():
            opened = await self._connect_again(opened)
        writer, reader, _ = opened
        try:
            if reader is not None:
                # In WAL mode there is hardly ever anything to wait for. If there is, the thread waits for it.
                try:  # contextlib.suppress would take a fifth of the time that SQLite does
                    # All rows: a query that is half read would keep its snapshot, and the log from being emptied.
                    cursor = reader.execute(statement, values)
                    return cursor.fetchall() if statement is not self._page else _first(cursor)
                except sqlite3.OperationalError:
                    pass
            return list(await writer.connection.execute_fetchall(statement, values))
        except (sqlite3.Error, ValueError) as error:  # the latter, if aiosqlite's connection was closed meanwhile
            raise self._translated(error) from error

    async def _change(self, statement: str, *values: Any) -> int:
        opened = self._connections.opened() or await self._connect()
        outcome = await opened.writer.change(statement, values)
        for _ in range(_RETRIES):
            if not isinstance(outcome, MovedError):
                break
            opened = await self._connect_again(opened)
            outcome = await opened.writer.change(statement, values)
        if isinstance(outcome, int):
            return outcome
        raise self._translated(outcome) from outcome

    async def _connect(self) -> _Open:
        try:
            while True:
                await self._connections.get()
                if opened := self._connections.opened():  # or it is being replaced already
                    return opened
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error

    async def _connect_again(self, old: _Open) -> _Open:
        if self._connections.opened() is old:
            logger.warning(
                "sqlite at %s: the file, its -wal or -shm was deleted or replaced while in use. It is opened again, "
                "without the sessions that are not in the new file",
                self._database,
            )
        with contextlib.suppress(sqlite3.Error, OSError):  # the next attempt tells it
            await self._connections.renew(old)
        return await self._connect()

    async def _open(self) -> _Open:
        files = SqliteFiles(self._database)
        await asyncio.to_thread(files.prepare)
        writer = GroupCommit(files, self._seconds)
        await writer.open()
        try:
            execute = writer.connection.execute
            await execute("PRAGMA journal_mode = WAL")
            await execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            await execute(
                f"CREATE TABLE IF NOT EXISTS {self.table} "
                f"(id TEXT PRIMARY KEY, payload TEXT NOT NULL, {self.last} INTEGER NOT NULL)"
            )
            await execute(f"CREATE INDEX IF NOT EXISTS {self._index} ON {self.table} ({self.last})")
            reader = None
            if self._database != MEMORY:
                reader = sqlite3.connect(self._database, timeout=0, isolation_level=None)
                reader.execute("PRAGMA query_only = ON")
                reader.execute("PRAGMA schema_version").fetchall()  # or it opens the log later, maybe another one
            files.opened()
        except BaseException:
            await writer.close()
            raise
        return _Open(writer, reader, files)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, asyncio.TimeoutError):
            return UnavailableError(f"sqlite at {self._database}: is locked")
        if isinstance(error, MovedError):
            return UnavailableError(f"sqlite at {self._database}: is deleted or replaced again and again")
        if isinstance(error, sqlite3.IntegrityError) and str(error).startswith("UNIQUE"):
            return ConflictError("the record is there already")
        return UnavailableError(f"sqlite at {self._database}: {error}")


def _first(cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
    """Read some of a page, so that large records do not keep the loop busy; the rest is another page."""
    rows, size = [], 0
    with contextlib.closing(cursor):
        for row in cursor:
            rows.append(row)
            size += len(str(row[1]))
            if size >= _PAGE_SIZE:
                break
    return rows


async def _close(connections: _Open) -> None:
    writer, reader, files = connections
    await writer.finish()
    if reader is not None:
        if files.have_moved():
            await _leave(writer, reader, files)
        reader.close()
    await writer.close()
    files.closed()


async def _leave(writer: GroupCommit, reader: sqlite3.Connection, files: SqliteFiles) -> None:
    """Complete a database that was moved away, and remove its log from its old path.

    While the log is copied and removed nobody else may write to it, so one connection holds the lock, and the other one
    copies. SQLite removes no log when it closes a database that is not at its path.
    """
    with contextlib.suppress(sqlite3.Error, ValueError):  # the database may be broken
        await writer.connection.execute("BEGIN IMMEDIATE")
        for _ in range(_COPIES):
            ((_, pages, copied),) = reader.execute("PRAGMA wal_checkpoint").fetchall()
            if pages == copied or files.is_replaced():
                break
            await asyncio.sleep(_COPY_SECONDS)  # somebody reads; the rest, copied later, would overwrite newer pages
    with contextlib.suppress(OSError):
        await asyncio.to_thread(files.remove_log)
