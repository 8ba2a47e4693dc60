"""PostgreSQL, by asyncpg.

The table is the original's; `python -m node_session table` makes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from . import postgresql_statements as statements
from .connection import Connection
from .options import Options
from .server_client import TOO_LONG, TOO_SMALL, Result
from .server_removal import ServerRemoval
from .sql import Dialect, as_text
from .table_facts import POSTGRESQL
from .trust import IDLE_LIMIT

_SHUTDOWNS = (asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError)
_NOT_THIS_SERVER = (*_SHUTDOWNS, asyncpg.TargetServerAttributeNotMatched)

# Texts are compared as bytes: in a column of type citext, or of a collation that is not deterministic, "A" is "a". An
# id is compared as the column does first, since only that can use the index.
_DIALECT = Dialect(
    quote='"',
    placeholder="${}".format,
    same='{} COLLATE "C" = {}'.format,
    is_id='{0} = {1} AND {0}::text COLLATE "C" = {1}::text'.format,
    is_among="{} = ANY({})".format,
)


def create(options: Options, connection: Connection) -> PostgresqlDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    return PostgresqlDriver(connection, options.table, options.lifetime)


def ddl(options: Options) -> str:
    """Write the statements that make the table and its index, unless they are there."""
    return PostgresqlDriver(Connection(adapter="postgresql"), options.table, options.lifetime).ddl()


class PostgresqlDriver(ServerRemoval):
    """A driver that keeps records in a table of a PostgreSQL database.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        clock: Gives seconds since 1970.

    Attributes:
        as_found: A condition of `statements.delete_many`; "+ 0" keeps the planner from the column's index.
    """

    as_found = "{} + 0 BETWEEN $2 AND $3"
    failures = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

    def __init__(
        self, connection: Connection, table: str, lifetime: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(connection, table, lifetime, _DIALECT, clock)
        self.about_table = (POSTGRESQL.format(id=self.layout.id, columns=""), self.table)
        where = (self.layout, self.table, self.last)
        self._select_many = statements.select_many(*where)
        self._touch_many = statements.touch_many(*where)
        self._swap_many = statements.swap_many(*where)
        self._insert_many = statements.insert_many(*where)
        self._delete_many = statements.delete_many(self.layout, self.table, self.as_found.format(self.last))

    def ddl(self) -> str:
        """See `ServerDriver.ddl`."""
        index = self._name.rpartition(".")[2] + "_lastActivity"
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} (\n"
            f'    id text COLLATE "C" PRIMARY KEY,\n    payload text NOT NULL,\n    {self.last} bigint NOT NULL\n);\n'
            f'CREATE INDEX IF NOT EXISTS "{index}" ON {self.table} ({self.last});\n'
        )

    async def _run_on(self, connection: Any, statement: str, values: Sequence[Any]) -> Result:
        if statement.lstrip().startswith("SELECT"):
            return Result(0, await connection.fetch(statement, *values))
        status: str = await connection.execute(statement, *values)
        number = status.rpartition(" ")[2]
        return Result(int(number) if number.isdigit() else 0)  # CREATE TABLE counts nothing

    async def _select_all(self, connection: Any, ids: Sequence[str], oldest: int) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await connection.fetch(self._select_many, ids, oldest)
        return rows

    async def _touch_all(self, connection: Any, renewals: Sequence[tuple[str, int]], oldest: int) -> int:
        """See `ServerTurns._touch_all`; the transaction that holds a row renews it, or removes it."""
        ids, active = zip(*renewals, strict=True)
        return (await self._run_on(connection, self._touch_many, (ids, active, ids, oldest))).changed

    async def _swap_all(self, connection: Any, changes: Sequence[tuple[str, int, str, str]]) -> set[str]:
        columns = tuple(zip(*changes, strict=True))
        rows = await connection.fetch(self._swap_many, *columns, columns[0])
        return {as_text(id) for (id,) in rows}

    async def _insert_all(self, connection: Any, records: Sequence[tuple[str, int, str]]) -> set[str]:
        rows = await connection.fetch(self._insert_many, *zip(*records, strict=True))
        return {as_text(id) for (id,) in rows}

    async def _delete_all(self, connection: Any, ids: Sequence[Any], first: Any, last: Any) -> int:
        return (await self._run_on(connection, self._delete_many, (ids, first, last))).changed

    async def _acquire(self, pool: Any) -> Any:
        return await pool.acquire()

    async def _release(self, pool: Any, connection: Any) -> None:
        await pool.release(connection)

    def _identity(self, connection: Any) -> object:
        return connection.itself()

    def _close_connection(self, connection: Any) -> None:
        with contextlib.suppress(asyncpg.InterfaceError):  # it broke, and the pool has taken it back already
            connection.terminate()  # asyncpg would ask the server, which does not answer, to cancel the statement

    def _opened(self, connection: Any) -> float:
        opened: float = connection.opened
        return opened

    def _transport(self, connection: Any) -> Any:
        return connection.transport

    async def _open_pool(self) -> Any:
        to = self._connection
        where = {} if to.url else {"host": to.host, "port": to.port}
        return await asyncpg.create_pool(
            **where,
            user=to.user,
            password=to.password,
            database=to.database,
            connect=_connect_to_one_of(to) if to.url else asyncpg.connect,
            connection_class=_Connection,
            min_size=0,
            max_size=self._pool_size,
            max_inactive_connection_lifetime=IDLE_LIMIT,
            timeout=to.seconds,
            **({"ssl": to.tls} if to.tls else {}),
            statement_cache_size=100 if to.prepared_statements else 0,
            reset=_leave_as_it_is,
        )

    async def _close_pool(self, pool: Any) -> None:
        try:
            await asyncio.wait_for(pool.close(), 1)
        except asyncio.TimeoutError:
            pool.terminate()

    def _is_duplicate(self, error: Exception) -> bool:
        return isinstance(error, asyncpg.UniqueViolationError)

    def _is_no_table(self, error: Exception) -> bool:
        return isinstance(error, asyncpg.UndefinedTableError)

    def _is_broken_off(self, error: Exception) -> bool:
        return isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError))

    def _cure(self, error: Exception) -> str:
        if isinstance(error, asyncpg.NumericValueOutOfRangeError) or type(error) is asyncpg.DataError:
            return TOO_SMALL  # the latter is asyncpg's own, for an integer
        is_long = isinstance(error, (asyncpg.StringDataRightTruncationError, asyncpg.ProgramLimitExceededError))
        return TOO_LONG if is_long else ""

    def _is_read_only(self, error: BaseException) -> bool:
        return isinstance(error, asyncpg.ReadOnlySQLTransactionError)

    def _is_lost(self, error: BaseException) -> bool:
        return isinstance(error, (asyncpg.PostgresConnectionError, *_SHUTDOWNS, OSError))

    def _leaves_it_usable(self, error: BaseException) -> bool:
        return isinstance(error, asyncpg.PostgresError)


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection of asyncpg that shows what its pool keeps to itself."""

    def __init__(self, protocol: Any, transport: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(protocol, transport, *args, **kwargs)
        self.transport = transport
        self.opened = time.monotonic()

    def itself(self) -> _Connection:
        """Find the connection behind its proxy; the pool gives a new proxy each time."""
        return self


def _connect_to_one_of(to: Connection) -> Callable[..., Awaitable[Any]]:
    """Make a function that connects to one of the servers that a URL names.

    Asyncpg has one time limit for all of them: if nobody answers at the first address, it never comes to the second
    one. Of several servers it must be one that takes writes, unless the URL says otherwise.
    """
    urls = to.urls
    options: dict[str, Any] = {}
    if len(urls) > 1:
        options["timeout"] = to.seconds / len(urls) / 2  # a request may have spent half of its time already
        if "target_session_attrs=" not in (to.url or ""):
            options["target_session_attrs"] = "read-write"

    async def connect(dsn: None, **given: Any) -> Any:
        for url in list(urls):
            try:
                return await asyncpg.connect(url, **{**given, **options})
            except (OSError, asyncio.TimeoutError, *_NOT_THIS_SERVER) as error:
                urls.remove(url)  # the next connection tries the others first
                urls.append(url)
                failed = error
        raise failed

    return connect


async def _leave_as_it_is(connection: Any) -> None:
    """Skip asyncpg's reset, a second round trip.

    Our statements leave nothing behind that needs it.
    """
