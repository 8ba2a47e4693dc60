"""Database servers: a pool for each loop, time limits and retries.

A statement is run again if that is safe:

- The database broke it off in favour of another transaction, or the server is read-only: nothing was done.
- Another transaction holds its record: it waits as long as its requests do.
- It only reads or renews, and a connection used before was silent for half of the time limit, or broke. Only half, so
  that a new connection has the other half. A new connection that is silent has the whole of it.

A statement that may have been done is never sent twice.

Each statement is a turn's (see `turns`), or a turn of its own. There are at most as many turns under way as the pool
has connections, so that none of them waits for the pool, which is not fair.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeVar

from async_timeout import timeout

from ..errors import ConflictError, UnavailableError
from .connection import POOL_SIZE, Connection
from .per_loop import PerLoop
from .server_client import Result, ServerClient
from .sql import Dialect, SqlDriver, as_text
from .trust import Trust, keep_alive
from .turn import Kind, Turn
from .turns import Turns

T = TypeVar("T")

# Runs of a statement that the database breaks off in favour of another transaction each time.
_TRIES = 5


class _LostError(Exception):
    """A connection that was used before is silent, or broke."""


class UnfitTableError(Exception):
    """The table is there, but changes are not safe in it.

    Args:
        flaw: What is wrong with it, after its name.
        cure: A statement.
    """

    def __init__(self, flaw: str, cure: str) -> None:
        super().__init__(flaw)
        self.flaw = flaw
        self.cure = cure


class ServerDriver(SqlDriver, ServerClient):
    """A driver on a database server; a derived class speaks to the client library.

    Args:
        connection: Where.
        table: Name of the table.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        dialect: Of the database.
        clock: Gives seconds since 1970.
    """

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
        self._turns = PerLoop(self._open_turns, Turns.close)
        self._alone = Kind(self._send_alone, most=1)
        self._trust = Trust()

    @abstractmethod
    def ddl(self) -> str:
        """Write the statements that make the table and its index, unless they are there."""

    async def create_table(self) -> None:
        """Run `ddl`."""
        await self._change(self.ddl())

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._turns.close()
        await self._pools.close()

    def _listed(self, id: Any) -> Any:
        return as_text(id) if isinstance(id, (str, bytes)) else id

    @property
    def _pool_size(self) -> int:
        return self._connection.pool_size or POOL_SIZE

    async def _open_turns(self) -> Turns:
        return Turns(self._pool_size, self._connection.seconds)

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        result: Result = await self._do(lambda connection: self._run_on(connection, statement, values), True)
        return result.rows

    async def _change(self, statement: str, *values: Any) -> int:
        result: Result = await self._do(lambda connection: self._run_on(connection, statement, values), False)
        return result.changed

    async def _do(self, work: Callable[[Any], Awaitable[T]], repeatable: bool) -> T:
        """Do some work in a turn of its own; see `_work`."""
        result: T = await self._ask(self._alone, "", work, repeatable)
        return result

    async def _ask(self, kind: Kind, id: str, *values: Any, size: int = 0) -> Any:
        """Send an operation with those of other requests; gives its outcome, or raises our error for it."""
        turns = self._turns.opened() or await self._turns.get()
        outcome = await turns.ask(kind, id, *values, size=size)
        if isinstance(outcome, Exception):
            self._raise(outcome, values[-1] if size else "")
        return outcome

    async def _send_alone(self, turn: Turn) -> None:
        for asked in turn.asked:
            asked.tell(await self._work(turn, *asked.values))

    async def _run(self, turn: Turn, statement: str, *values: Any, repeatable: bool = False) -> Result:
        """Run a statement for a turn."""
        return await self._work(turn, lambda connection: self._run_on(connection, statement, values), repeatable)

    async def _work(self, turn: Turn, work: Callable[[Any], Awaitable[T]], repeatable: bool) -> T:
        """Do a turn's work on a connection, and once more where that is safe; gives what the work gives.

        Args:
            turn: It says how long there is.
            work: Is given a connection; it does everything or nothing.
            repeatable: Whether it does no harm to do it twice.
        """
        tries, once_more, began = _TRIES, True, turn.loop.time()
        while True:
            tries -= 1
            patience = turn.patience if repeatable and once_more else None
            try:
                pool = self._pools.opened() or await self._pools.get()
                return await self._run_on_pool(pool, work, patience)
            except _LostError:
                once_more = False
            except self.failures as error:
                if once_more and self._is_read_only(error):
                    once_more = False
                elif not self._is_held(error) and (tries <= 0 or not self._is_broken_off(error)):
                    raise
            except asyncio.CancelledError:
                if turn.until <= turn.loop.time() >= began + turn.patience:
                    self._trust.lost()
                raise

    async def _unless_held(self, doing: Awaitable[T]) -> T | None:
        """Wait for a combined statement; None if nothing was done, as another transaction holds a record."""
        try:
            return await doing
        except self.failures as error:
            if not self._is_held(error):
                raise
            return None

    async def _run_on_pool(self, pool: Any, work: Callable[[Any], Awaitable[T]], patience: float | None) -> T:
        """Do a turn's work once.

        Args:
            pool: Of this loop.
            work: See `_work`.
            patience: Seconds that a connection used before may be silent; None: the work must not be done again.

        Raises:
            _LostError: The connection is silent or broke, and the work may be done again on another one.
        """
        asked = time.monotonic()
        connection, identity = await self._acquire_trusted(pool)
        used_before = not self._trust.has_answered_since(identity, asked)
        try:
            async with timeout(patience if used_before else None):
                result = await work(connection)
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

    def _is_refusal(self, error: Exception) -> bool:
        """Whether the server has answered that it does not do a statement, so that parts of it may be tried."""
        is_answer = isinstance(error, self.failures) and self._leaves_it_usable(error)
        return is_answer and not self._is_lost(error) and not self._is_read_only(error)

    def _raise(self, error: Exception, stored: str) -> NoReturn:
        """Raise our error for one of the client library.

        Args:
            error: Of the client library.
            stored: The text that was to be stored; empty if there was none.
        """
        where = self._connection.where
        if isinstance(error, asyncio.TimeoutError):
            raise UnavailableError(f"{where}: no answer within {self._connection.timeout:g} ms") from error
        if isinstance(error, UnfitTableError):
            told = f"{where}: the table {self._name!r} {error.flaw}; nothing was written: {error.cure}"
            raise UnavailableError(told) from None
        if not isinstance(error, (*self.failures, OSError, ValueError)):
            raise error
        if self._is_duplicate(error):
            raise ConflictError("the record is there already") from None
        if self._is_no_table(error):
            raise UnavailableError(
                f"{where}: there is no table {self._name!r}: python -m node_session table CONFIG.json --create makes it"
            ) from error
        what = str(error).partition("\n")[0]  # the details may quote the content of a session
        if cure := self._cure(error):
            size = f" (the text to store has {len(stored.encode())} bytes)" if stored else ""
            what = f"{what}{size}: table {self._name!r}: {cure}"
        raise UnavailableError(f"{where}: {type(error).__name__}: {what}") from error
