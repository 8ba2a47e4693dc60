"""PostgreSQL, by asyncpg. The table is the original's; `python -m node_session table` makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]

from .connection import POOL_SIZE, Connection
from .server import ServerDriver
from .sql import Dialect

if TYPE_CHECKING:
    from ...config import Config

_DIALECT = Dialect(quote='"', placeholder="${}".format)


def create(config: Config, connection: Connection) -> PostgresqlDriver:
    """Make the driver; see `node_session.drivers.database`."""
    return PostgresqlDriver(connection, config.table, config.lifetime)


def ddl(config: Config) -> str:
    """The statements that make the table and its index, where they are not there yet."""
    driver = PostgresqlDriver(Connection(adapter="postgresql"), config.table, config.lifetime)
    return driver.ddl()


class PostgresqlDriver(ServerDriver):
    """Keeps records in a table of a PostgreSQL database.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
    """

    failures = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

    def __init__(self, connection: Connection, table: str, lifetime: float) -> None:
        super().__init__(connection, table, lifetime, _DIALECT)

    def ddl(self) -> str:
        """See `ServerDriver.ddl`."""
        index = self._name.rpartition(".")[2] + "_lastActivity"
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} (\n"
            f'    id text COLLATE "C" PRIMARY KEY,\n    payload text NOT NULL,\n    {self.last} bigint NOT NULL\n);\n'
            f'CREATE INDEX IF NOT EXISTS "{index}" ON {self.table} ({self.last});\n'
        )

    async def _fetch_on(self, pool: Any, statement: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._run_on_pool(pool, "fetch", statement, values)
        return rows

    async def _execute_on(self, pool: Any, statement: str, values: Sequence[Any]) -> int:
        status: str = await self._run_on_pool(pool, "execute", statement, values)
        number = status.rpartition(" ")[2]
        return int(number) if number.isdigit() else 0  # CREATE TABLE counts nothing

    async def _run_on_pool(self, pool: Any, method: str, statement: str, values: Sequence[Any]) -> Any:
        connection = await pool.acquire()
        try:
            return await getattr(connection, method)(statement, *values)
        except asyncpg.PostgresError:
            raise
        except BaseException:
            connection.terminate()  # or asyncpg would ask the server, which does not answer, to cancel the statement
            raise
        finally:
            await pool.release(connection)

    async def _open_pool(self) -> Any:
        to = self._connection
        where = {"dsn": to.url} if to.url else {"host": to.host, "port": to.port}
        who = {"user": to.user, "password": to.password, "database": to.database}
        return await asyncpg.create_pool(
            **where,
            **who,
            min_size=0,
            max_size=to.pool_size or POOL_SIZE,
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


async def _leave_as_it_is(connection: Any) -> None:
    """In place of asyncpg's reset, a second round trip: our statements leave nothing behind that needs one."""
