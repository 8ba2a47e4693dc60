"""SQLite: one file, nothing to install or to start, shared by the processes of one machine.

- *Reading* happens in the event loop, on a connection of its own that neither writes nor waits: it takes a few
  microseconds there, and twenty times that by way of aiosqlite's thread.
- *Writing* goes through aiosqlite's thread, the writes of many requests in one transaction (see `group_commit`). One
  that has been answered survives the process; `durable` waits for the disk as well, so that it survives a power cut.
- Without a `connection`, the file is beside the folder that the file driver would use. It belongs to its owner alone.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import ConflictError, UnavailableError
from .connection import Connection
from .group_commit import GroupCommit
from .per_loop import PerLoop
from .sql import Dialect, SqlDriver, now

if TYPE_CHECKING:
    from ...config import Config

_DIALECT = Dialect(quote='"', placeholder=lambda number: "?")
_MEMORY = ":memory:"

_STEP = 500  # records that gc removes at a time


def create(config: Config, connection: Connection) -> SqliteDriver:
    """Make the driver; see `node_session.drivers.database`."""
    default = _MEMORY if connection.adapter == "sails-memory" else f"{config.files}.sqlite"
    return SqliteDriver(
        connection.database or default,
        config.table,
        config.lifetime,
        durable=config.durable,
        timeout=connection.timeout,
    )


class _Open(NamedTuple):
    """The connections of one loop.

    Attributes:
        writer: Works in a thread.
        reader: Works in the loop; None for a database in memory, which has but one connection.
    """

    writer: GroupCommit
    reader: sqlite3.Connection | None


class SqliteDriver(SqlDriver):
    """Keeps records in a table of an SQLite file. The file, its folder and the table are made when first needed.

    Args:
        database: Path of the file; ``:memory:`` for none, gone with the driver.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        durable: Wait until the disk has each record.
        timeout: Milliseconds to wait while other processes write.
    """

    def __init__(
        self, database: str, table: str, lifetime: float, *, durable: bool = False, timeout: float = 5_000
    ) -> None:
        super().__init__(table, lifetime, _DIALECT)
        self._database = database if database == _MEMORY else os.path.abspath(database)  # noqa: PTH100
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
        """See `Driver.gc`. It goes in steps, as nobody else writes during one of them."""
        oldest = now() - int(lifetime)
        removed = step = await self._change(self._delete_some, oldest)
        while step >= _STEP:
            step = await self._change(self._delete_some, oldest)
            removed += step
        return removed

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        writer, reader = self._connections.opened() or await self._connect()
        try:
            if reader is not None:
                # In WAL mode there is next to never anything to wait for. If there is, it is done in the thread.
                try:  # contextlib.suppress would take a fifth of the time that SQLite does
                    # All rows at once: a query left half read would keep its snapshot, and the log from being emptied.
                    return reader.execute(statement, values).fetchall()
                except sqlite3.OperationalError:
                    pass
            return list(await writer.connection.execute_fetchall(statement, values))
        except (sqlite3.Error, ValueError) as error:  # the latter is aiosqlite's, if it was closed meanwhile
            raise self._translated(error) from error

    async def _change(self, statement: str, *values: Any) -> int:
        writer, _ = self._connections.opened() or await self._connect()
        outcome = await writer.change(statement, values)
        if isinstance(outcome, int):
            return outcome
        raise self._translated(outcome) from outcome

    async def _connect(self) -> _Open:
        try:
            return await self._connections.get()
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error

    async def _open(self) -> _Open:
        await asyncio.to_thread(self._prepare_file)
        writer = GroupCommit(self._seconds)
        await writer.open(self._database)
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
            if self._database != _MEMORY:
                reader = sqlite3.connect(self._database, timeout=0, isolation_level=None)
                reader.execute("PRAGMA query_only = ON")
        except BaseException:
            await writer.close()
            raise
        return _Open(writer, reader)

    def _prepare_file(self) -> None:
        if self._database == _MEMORY:
            return
        Path(self._database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._database, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite's own would be open to all

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, asyncio.TimeoutError):
            return UnavailableError(f"sqlite at {self._database}: is locked")
        if isinstance(error, sqlite3.IntegrityError) and str(error).startswith("UNIQUE"):
            return ConflictError("the record is there already")
        return UnavailableError(f"sqlite at {self._database}: {error}")


async def _close(connections: _Open) -> None:
    if connections.reader is not None:
        connections.reader.close()
    await connections.writer.close()
