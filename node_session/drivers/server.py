"""Database servers: a pool for each loop, time limits and retries.

A statement is run again if that is safe:

- The database broke it off in favour of another transaction, or the server is read-only: nothing was done.
- It only reads or renews, and a connection used before was silent for half of the time limit, or broke. Only half, so
  that a new connection has the other half. A new connection that is silent has the whole of it.

A statement that may have been done is never sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from async_timeout import Timeout, timeout

from ..errors import ConflictError, UnavailableError
from .connection import Connection
from .per_loop import PerLoop
from .sql import Dialect, SqlDriver
from .trust import Trust, keep_alive

# Runs of a statement that the database breaks off in favour of another transaction each time.
_TRIES = 5


class Result(NamedTuple):
    """The result of a statement."""

    changed: int
    rows: Sequence[Sequence[Any]] = ()


class _LostError(Exception):
    """A connection that was used before is silent, or broke."""


class ServerDriver(SqlDriver):
    """A driver on a database server; a derived class speaks to the client library.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        dialect: Of the database.
        clock: Gives seconds since 1970.

    Attributes:
        failures: The errors of the client library.
    """

    failures: ClassVar[tuple[type[Exception], ...]]

    def __init__(
        self,
        connection: Connection,
        table: str,
        lifetime: float,
        dialect: Dialect,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(table, lifetime, dialect, clock)
        self._name = table
        self._connection = connection
        self._pools: PerLoop[Any] = PerLoop(self._open_pool, self._close_pool)
        self._trust = Trust()

    @abstractmethod
    def ddl(self) -> str:
        """Write the statements that make the table and its index, unless they are there."""

    async def create_table(self) -> None:
        """Run `ddl`."""
        await self._run(self.ddl())

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._pools.close()

    @abstractmethod
    async def _open_pool(self) -> Any: ...

    @abstractmethod
    async def _close_pool(self, pool: Any) -> None: ...

    @abstractmethod
    async def _acquire(self, pool: Any) -> Any:
        """Take a connection of the pool."""

    @abstractmethod
    async def _release(self, pool: Any, connection: Any) -> None:
        """Give a connection back, be it open or closed."""

    def _identity(self, connection: Any) -> object:
        """Find the object that stays the same whenever the pool gives this connection."""
        return connection

    @abstractmethod
    def _close_connection(self, connection: Any) -> None:
        """Close a connection without waiting for the server."""

    @abstractmethod
    def _opened(self, connection: Any) -> float:
        """Tell when an unused connection was opened, by the monotonic clock."""

    @abstractmethod
    def _transport(self, connection: Any) -> Any:
        """Find the transport of a connection; None if it is not known."""

    @abstractmethod
    async def _run_on(self, connection: Any, statement: str, values: Sequence[Any]) -> Result: ...

    @abstractmethod
    def _is_duplicate(self, error: Exception) -> bool:
        """Whether an error says that there is a record of that id."""

    @abstractmethod
    def _is_no_table(self, error: Exception) -> bool:
        """Whether an error says that there is no such table."""

    @abstractmethod
    def _is_broken_off(self, error: Exception) -> bool:
        """Whether the database broke a statement off in favour of another transaction."""

    @abstractmethod
    def _is_read_only(self, error: BaseException) -> bool:
        """Whether the server takes no writes, so that nothing was done."""

    @abstractmethod
    def _is_lost(self, error: BaseException) -> bool:
        """Whether an error says that the connection broke, or is about to."""

    @abstractmethod
    def _leaves_it_usable(self, error: BaseException) -> bool:
        """Whether the connection is good after an error: no answer is on its way."""

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        return (await self._run(statement, *values, repeatable=True)).rows

    async def _change(self, statement: str, *values: Any) -> int:
        return (await self._run(statement, *values, repeatable=statement is self._touch)).changed

    async def _run(self, statement: str, *values: Any, repeatable: bool = False) -> Result:
        tries, once_more = _TRIES, True
        with self._translated():
            async with timeout(self._connection.seconds) as limit:
                while True:
                    tries -= 1
                    pool = await self._pools.get()
                    patience = _half_of(limit) if repeatable and once_more else None
                    try:
                        return await self._run_on_pool(pool, statement, values, patience)
                    except _LostError:
                        once_more = False
                    except self.failures as error:
                        if once_more and self._is_read_only(error):
                            once_more = False
                        elif not tries or not self._is_broken_off(error):
                            raise

    async def _run_on_pool(self, pool: Any, statement: str, values: Sequence[Any], patience: float | None) -> Result:
        """Run a statement once.

        Args:
            pool: Of this loop.
            statement: SQL.
            values: Of its placeholders.
            patience: Seconds that a connection used before may be silent; None: the statement must not run again.

        Raises:
            _LostError: The connection is silent or broke, and the statement may be run again on another one.
        """
        asked = time.monotonic()
        connection, identity = await self._acquire_trusted(pool)
        used_before = not self._trust.has_answered_since(identity, asked)
        try:
            async with timeout(patience if used_before else None):
                result = await self._run_on(connection, statement, values)
            self._trust.answered(identity)
            return result
        except BaseException as error:
            lost = isinstance(error, asyncio.TimeoutError) or self._is_lost(error)
            read_only = not lost and self._is_read_only(error)
            if lost or read_only or not self._leaves_it_usable(error):
                self._close_connection(connection)
            if read_only:
                self._trust.demoted()
            if lost:
                self._trust.lost()
                if used_before and patience is not None:
                    raise _LostError from error
            raise
        finally:
            await self._release(pool, connection)

    async def _acquire_trusted(self, pool: Any) -> tuple[Any, object]:
        """Take a connection of the pool that may be used; gives its identity as well."""
        while True:
            connection = await self._acquire(pool)
            identity = self._identity(connection)
            if self._trust.meet(identity, self._opened(connection)):
                keep_alive(self._transport(connection))
            if self._trust.allows(identity):
                return connection, identity
            self._close_connection(connection)
            await self._release(pool, connection)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        where = self._connection.where
        failures: tuple[type[Exception], ...] = (*self.failures, OSError, ValueError)
        try:
            yield
        except asyncio.TimeoutError as error:
            self._trust.lost()
            raise UnavailableError(f"{where}: no answer within {self._connection.timeout:g} ms") from error
        except failures as error:
            if self._is_duplicate(error):
                raise ConflictError("the record is there already") from None
            if self._is_no_table(error):
                raise UnavailableError(
                    f"{where}: there is no table {self._name!r}: "
                    "python -m node_session table CONFIG.json --create makes it"
                ) from error
            what = str(error).partition("\n")[0]  # the details may quote the content of a session
            raise UnavailableError(f"{where}: {type(error).__name__}: {what}") from error


def _half_of(limit: Timeout) -> float:
    """Count half of the seconds that are left."""
    now = asyncio.get_running_loop().time()
    return ((limit.deadline or now) - now) / 2
