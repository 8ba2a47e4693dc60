"""MySQL and MariaDB, by asyncmy.

The table is the original's; `python -m node_session table` makes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncmy
from async_timeout import timeout
from asyncmy.constants.CLIENT import FOUND_ROWS
from asyncmy.converters import escape_string
from asyncmy.errors import MySQLError

from .connection import Connection
from .mysql_errors import MysqlErrors, RefusedError
from .options import Options
from .server_client import Result
from .server_removal import ServerRemoval
from .sql import Dialect
from .table_facts import MYSQL

T = TypeVar("T")

# Texts are compared as bytes: to MySQL's usual collations "A" is "a", and a change of case alone would be overwritten.
# An id is compared as text first, since only that can use the index of a table that the original has made.
_DIALECT = Dialect(
    quote="`",
    placeholder="%(v{})s".format,
    same=lambda left, right: f"CAST(CONVERT({left} USING utf8mb4) AS BINARY) = CAST({right} AS BINARY)",
    is_id="{0} = {1} AND CAST({0} AS BINARY) = CAST({1} AS BINARY)".format,
    is_among="{} IN {}".format,
)

_REST = 500  # bytes of a statement for each value, at most, but for the value itself
_PATIENCE = 1  # seconds that a statement waits for a record that somebody else holds; the least there is


def create(options: Options, connection: Connection) -> MysqlDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    return MysqlDriver(connection, options.table, options.lifetime)


def ddl(options: Options) -> str:
    """Write the statement that makes the table with its index, unless it is there."""
    return MysqlDriver(Connection(adapter="mysql"), options.table, options.lifetime).ddl()


class MysqlDriver(MysqlErrors, ServerRemoval):
    """A driver that keeps records in a table of a MySQL or MariaDB database.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        clock: Gives seconds since 1970.
    """

    def __init__(
        self, connection: Connection, table: str, lifetime: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(connection.parsed(3306), table, lifetime, _DIALECT, clock)
        schema, _, name = table.rpartition(".")
        self.about_table = (MYSQL.format(schema="%(v2)s" if schema else "DATABASE()"), name, schema)
        to, last = self.table, self.last
        self._select_many = f"SELECT id, payload, {last} FROM {to} WHERE id IN %(v1)s AND {last} >= %(v2)s"  # noqa: S608
        self._delete_many = f"DELETE FROM {to} WHERE id IN %(v1)s AND {last} BETWEEN %(v2)s AND %(v3)s"  # noqa: S608

    def ddl(self) -> str:
        """See `ServerDriver.ddl`."""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} (\n"
            f"    id char(40) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,\n"
            f"    payload mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n"
            f"    {self.last} bigint NOT NULL,\n"
            f"    INDEX ({self.last})\n"
            f") ENGINE=InnoDB;\n"
        )

    async def _run_on_pool(self, pool: Any, work: Callable[[Any], Awaitable[T]], patience: float | None) -> T:
        """See `ServerDriver._run_on_pool`.

        Asyncmy connects within `asyncio.wait_for`. Before Python 3.12 that one forgets a cancellation that comes at
        the moment it is done, and goes on without a time limit: this limit cancels it once more.
        """
        async with timeout(2 * self._connection.seconds):
            return await super()._run_on_pool(pool, work, patience)

    async def _run_on(self, connection: Any, statement: str, values: Sequence[Any]) -> Result:
        room = self._most_bytes - _REST * len(values)
        if sum(len(value) for value in values if isinstance(value, str)) * 4 > room:
            self._require_room(values, room)
        async with connection.cursor() as cursor:
            await cursor.execute(statement, {f"v{number}": value for number, value in enumerate(values, 1)} or None)
            return Result(int(cursor.rowcount), await cursor.fetchall() if cursor.description else ())

    def _require_room(self, values: Sequence[Any], room: float) -> None:
        """Refuse a statement at which the server would hang up, often without a word."""
        size = sum(len(escape_string(value).encode()) for value in values if isinstance(value, str))
        if size > room:
            most = f"max_allowed_packet allows {self._most_bytes:.0f}: raise that, or keep less in a session"
            raise RefusedError(f"the statement takes {size} bytes, with old text and new, and the server's {most}")

    async def _select_all(self, connection: Any, ids: Sequence[str], oldest: int) -> Sequence[Sequence[Any]]:
        """See `ServerTurns._select_all`; it may find an id in another case, which nobody looks at."""
        return (await self._run_on(connection, self._select_many, (tuple(ids), oldest))).rows

    async def _touch_all(self, connection: Any, renewals: Sequence[tuple[str, int]], oldest: int) -> int:
        values: list[Any] = [tuple(id for id, _ in renewals), oldest]
        statement = (
            f"UPDATE {self.table} SET {self.last} = {_each(values, renewals)}"  # noqa: S608
            f" WHERE id IN %(v1)s AND CAST(id AS BINARY) IN %(v1)s AND {self.last} >= %(v2)s"
        )
        return (await self._run_on(connection, statement, values)).changed

    async def _swap_all(self, connection: Any, changes: Sequence[tuple[str, int, str, str]]) -> set[str]:
        """See `ServerTurns._swap_all`.

        The statement tells only how many records it has changed. If that is not all of them, it is undone, and its
        halves are sent. A transaction with an UPDATE for each record tells which. It took 89 µs of CPU for each of 16,
        and this one 60; the UPDATEs by themselves took 174.
        """
        await connection.begin()
        try:
            if await self._swap_matching(connection, changes) < len(changes):
                raise RefusedError
            await connection.commit()
        except MySQLError:
            await connection.rollback()
            raise
        return {id for id, *_ in changes}

    async def _swap_matching(self, connection: Any, changes: Sequence[tuple[str, int, str, str]]) -> int:
        values: list[Any] = [tuple(id for id, *_ in changes)]
        active = _each(values, [(id, active) for id, active, _, _ in changes])
        old, new = [], []
        for name, _, *payloads in changes:
            id, version, stored = (f"%(v{len(values) + number})s" for number in (1, 2, 3))
            values += (name, *payloads)
            old.append(f" WHEN CAST({id} AS BINARY) THEN CAST({version} AS BINARY)")
            new.append(f" WHEN CAST({id} AS BINARY) THEN {stored}")
        statement = (
            f"UPDATE {self.table} SET payload = CASE CAST(id AS BINARY){''.join(new)} END, {self.last} = {active}"  # noqa: S608
            " WHERE id IN %(v1)s AND CAST(CONVERT(payload USING utf8mb4) AS BINARY) ="
            f" CASE CAST(id AS BINARY){''.join(old)} END"
        )
        return (await self._run_on(connection, statement, values)).changed

    async def _insert_all(self, connection: Any, records: Sequence[tuple[str, int, str]]) -> set[str]:
        """See `ServerTurns._insert_all`; a record that is there already is a refusal of them all."""
        values = [value for record in records for value in record]
        rows = ", ".join(f"(%(v{n})s, %(v{n + 1})s, %(v{n + 2})s)" for n in range(1, len(values) + 1, 3))
        statement = f"INSERT INTO {self.table} (id, {self.last}, payload) VALUES {rows}"  # noqa: S608
        await self._run_on(connection, statement, values)
        return {id for id, *_ in records}

    async def _delete_all(self, connection: Any, ids: Sequence[Any], first: Any, last: Any) -> int:
        return (await self._run_on(connection, self._delete_many, (tuple(ids), first, last))).changed

    async def _acquire(self, pool: Any) -> Any:
        return await pool.acquire()

    async def _release(self, pool: Any, connection: Any) -> None:
        await pool.release(connection)

    def _close_connection(self, connection: Any) -> None:
        connection.close()

    def _opened(self, connection: Any) -> float:
        return float(connection.last_usage)

    def _transport(self, connection: Any) -> Any:
        return getattr(connection, "_transport", None)  # asyncmy has no public name for it

    async def _open_pool(self) -> Any:
        to = self._connection
        return await asyncmy.create_pool(
            minsize=0,
            maxsize=self._pool_size,
            pool_recycle=-1,  # or it waits for a silent connection to be closed; see trust.py
            host=to.host,
            port=to.port,
            user=to.user,
            password=to.password or "",
            database=to.database,
            connect_timeout=to.seconds,
            ssl=to.tls,
            charset="utf8mb4",
            autocommit=True,
            client_flag=FOUND_ROWS,  # a record that is replaced by the same one counts as well
            # A text that does not fit is an error, and not cut off. A record that somebody else holds must not delay
            # the others of its turn for the usual 50 seconds: each is then sent by itself.
            init_command=f"SET sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = {_PATIENCE}",
        )

    async def _close_pool(self, pool: Any) -> None:
        pool.terminate()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(pool.wait_closed(), 1)


def _each(values: list[Any], times: Sequence[tuple[str, int]]) -> str:
    """Write the expression for the new last activity of each record, and add its values to those of the statement."""
    first = len(values) + 1
    if len({active for _, active in times}) == 1:  # as nearly always
        values.append(times[0][1])
        return f"%(v{first})s"
    values += [value for time in times for value in time]
    numbers = range(first, len(values) + 1, 2)
    cases = "".join(f" WHEN CAST(%(v{n})s AS BINARY) THEN %(v{n + 1})s" for n in numbers)
    return f"CASE CAST(id AS BINARY){cases} END"
