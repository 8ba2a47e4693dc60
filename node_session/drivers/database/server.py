"""What the databases that are servers have in common: a pool of connections for each loop, time limits, messages."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from async_timeout import timeout

from ...errors import ConflictError, UnavailableError
from .connection import Connection
from .per_loop import PerLoop
from .sql import Dialect, SqlDriver

T = TypeVar("T")

# How often a statement is run that the database broke off in favour of another transaction: nothing was done then.
_TRIES = 5


class ServerDriver(SqlDriver):
    """A driver on a database server; a derived class speaks to the client library.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        dialect: Of the database.

    Attributes:
        failures: What the client library raises when a server was asked in vain.
    """

    failures: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, connection: Connection, table: str, lifetime: float, dialect: Dialect) -> None:
        super().__init__(table, lifetime, dialect)
        self._name = table
        self._connection = connection
        self._pools: PerLoop[Any] = PerLoop(self._open_pool, self._close_pool)

    @abstractmethod
    def ddl(self) -> str:
        """The statements that make the table and its index, where they are not there yet."""

    async def create_table(self) -> None:
        """Run `ddl`."""
        await self._run(self._execute_on, self.ddl())

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._pools.close()

    @abstractmethod
    async def _open_pool(self) -> Any: ...

    @abstractmethod
    async def _close_pool(self, pool: Any) -> None: ...

    @abstractmethod
    async def _fetch_on(self, pool: Any, statement: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The rows of a query."""

    @abstractmethod
    async def _execute_on(self, pool: Any, statement: str, values: Sequence[Any]) -> int:
        """How many rows a statement changed."""

    @abstractmethod
    def _is_duplicate(self, error: Exception) -> bool:
        """Whether an error says that there is a record of that id."""

    @abstractmethod
    def _is_no_table(self, error: Exception) -> bool:
        """Whether an error says that there is no such table."""

    @abstractmethod
    def _is_broken_off(self, error: Exception) -> bool:
        """Whether an error says that the statement was broken off in favour of another transaction."""

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        return await self._run(self._fetch_on, statement, *values)

    async def _change(self, statement: str, *values: Any) -> int:
        return await self._run(self._execute_on, statement, *values)

    async def _run(self, work: Callable[[Any, str, Sequence[Any]], Awaitable[T]], statement: str, *values: Any) -> T:
        with self._translated():
            async with timeout(self._connection.seconds):
                for _ in range(_TRIES - 1):
                    try:
                        return await work(await self._pools.get(), statement, values)
                    except self.failures as error:
                        if not self._is_broken_off(error):
                            raise
                return await work(await self._pools.get(), statement, values)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        where = self._connection.where
        failures: tuple[type[Exception], ...] = (*self.failures, OSError, ValueError)
        try:
            yield
        except asyncio.TimeoutError as error:
            raise UnavailableError(f"{where}: no answer within {self._connection.timeout:g} ms") from error
        except failures as error:
            if self._is_duplicate(error):
                raise ConflictError("the record is there already") from None
            if self._is_no_table(error):
                raise UnavailableError(
                    f"{where}: there is no table {self._name!r}: "
                    "python -m node_session table CONFIG.json --create makes it"
                ) from error
            what = str(error).partition("\n")[0]  # a statement's details may quote what a session holds
            raise UnavailableError(f"{where}: {type(error).__name__}: {what}") from error
