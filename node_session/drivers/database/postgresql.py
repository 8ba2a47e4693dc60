"""PostgreSQL, by asyncpg. The table is the original's; `python -m node_session table` makes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg  # type: ignore[import-untyped]
from async_timeout import timeout

from ...errors import ConflictError, UnavailableError
from .connection import POOL_SIZE, Connection
from .per_loop import PerLoop
from .sql import TRIES, Dialect, SqlDriver

if TYPE_CHECKING:
    from ...config import Config

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_DIALECT = Dialect(quote='"', placeholder="${}".format)


def create(config: Config, connection: Connection) -> PostgresqlDriver:
    """Make the driver; see `node_session.drivers.database`."""
    return PostgresqlDriver(connection, config.table, config.lifetime)


def ddl(config: Config) -> str:
    """The statements that make the table and its index, where they are not there yet."""
    driver = PostgresqlDriver(Connection(adapter="postgresql"), config.table, config.lifetime)
    return driver.ddl()


class PostgresqlDriver(SqlDriver):
    """Keeps records in a table of a PostgreSQL database.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
    """

    def __init__(self, connection: Connection, table: str, lifetime: float) -> None:
        super().__init__(table, lifetime, _DIALECT)
        self._name = table
        self._connection = connection
        self._pools = PerLoop(self._open, _close)

    def ddl(self) -> str:
        """See the module's `ddl`."""
        index = self._name.rpartition(".")[2] + "_lastActivity"
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} (\n"
            f'    id text COLLATE "C" PRIMARY KEY,\n    payload text NOT NULL,\n    {self.last} bigint NOT NULL\n);\n'
            f'CREATE INDEX IF NOT EXISTS "{index}" ON {self.table} ({self.last});\n'
        )

    async def create_table(self) -> None:
        """Run `ddl`."""
        await self._run("execute", self.ddl())

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._pools.close()

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._run("fetch", statement, *values)
        return rows

    async def _change(self, statement: str, *values: Any) -> int:
        status: str = await self._run("execute", statement, *values)
        return int(status.rpartition(" ")[2])

    async def _run(self, method: str, statement: str, *values: Any) -> Any:
        with self._translated():
            async with timeout(self._connection.seconds):
                for tries in range(1, TRIES + 1):
                    try:
                        return await self._run_on_pool(method, statement, values)
                    except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                        if tries == TRIES:
                            raise
        raise AssertionError("the last try returns or raises")

    async def _run_on_pool(self, method: str, statement: str, values: Sequence[Any]) -> Any:
        pool = await self._pools.get()
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

    async def _open(self) -> Any:
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

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        where = self._connection.where
        try:
            yield
        except asyncpg.UniqueViolationError:
            raise ConflictError("the record is there already") from None
        except asyncpg.UndefinedTableError as error:
            raise UnavailableError(
                f"{where}: there is no table {self._name!r}: python -m node_session table CONFIG.json --create makes it"
            ) from error
        except asyncio.TimeoutError as error:
            raise UnavailableError(f"{where}: no answer within {self._connection.timeout:g} ms") from error
        except (*_ERRORS, OSError, ValueError) as error:
            what = str(error).partition("\n")[0]  # a statement's details may quote what a session holds
            raise UnavailableError(f"{where}: {type(error).__name__}: {what}") from error


async def _leave_as_it_is(connection: Any) -> None:
    """In place of asyncpg's reset, a second round trip: our statements leave nothing behind that needs one."""


async def _close(pool: Any) -> None:
    try:
        await asyncio.wait_for(pool.close(), 1)
    except asyncio.TimeoutError:
        pool.terminate()
