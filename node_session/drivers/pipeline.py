"""Commands to a Redis server, sent together for many requests.

The commands of one turn of the event loop go over one connection in one piece, and the answers come back nearly so. A
connection from the pool, a time limit and a system call for each were most of the cost of a command.

Only the order tells to which command an answer belongs. So:

- The answer to every command that was sent is read, also if its request has given up.
- A connection with unread answers is closed, whatever the reason.
- A command that may have been done is not sent twice. It is sent again if the server refused it because it takes no
  writes, so that nothing was done; and, if that does no harm (`repeatable`), if it was sent on a connection used before
  that was silent for half of the time, or broke. A new connection then has the other half.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

from async_timeout import timeout_at
from hiredis import pack_command
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError

from .trust import Trust


class _Command:
    __slots__ = ("answer", "packed", "repeatable", "tries")

    def __init__(self, packed: bytes, answer: asyncio.Future[Any], repeatable: bool) -> None:
        self.packed = packed
        self.answer = answer
        self.repeatable = repeatable
        self.tries = 2


class Pipeline:
    """The sender of one event loop's commands.

    Args:
        pool: Of redis-py, for at least so many connections.
        connections: How many turns of the loop may be waiting for their answers; the next ones wait for them.
        seconds: After which a command has failed, waiting for a connection and connecting included.
    """

    def __init__(self, pool: Any, connections: int, seconds: float) -> None:
        self._pool = pool
        self._gate = asyncio.Semaphore(connections)
        self._seconds = seconds
        self._trust = Trust()
        self._collecting: list[_Command] | None = None  # what this turn's task will send
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself would forget them

    def ask(self, *command: Any, repeatable: bool = False) -> asyncio.Future[Any]:
        """Send a command; gives a future of the answer, as redis-py parses it.

        Args:
            command: Its name and arguments.
            repeatable: Whether it does no harm to do it twice.
        """
        loop = asyncio.get_running_loop()
        asked = _Command(pack_command(command), loop.create_future(), repeatable)
        if self._collecting is None:
            batch = self._collecting = [asked]
            self._start(batch, loop.time() + self._seconds)
        else:
            self._collecting.append(asked)
        return asked.answer

    async def close(self) -> None:
        """Wait for the commands that are on their way, which have a time limit."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, batch: list[_Command], deadline: float) -> None:
        # A task of its own, since a request that is cancelled must not take the others with it.
        task = asyncio.get_running_loop().create_task(self._send(batch, deadline))
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, batch))

    def _ask_again(self, batch: list[_Command], commands: Iterable[_Command], deadline: float) -> None:
        """Send some of a batch's commands on another connection, if they have a try left."""
        again = [command for command in commands if command.tries > 1 and not command.answer.done()]
        if again:
            for command in again:
                command.tries -= 1
                batch.remove(command)
            self._start(again, deadline)

    async def _send(self, batch: list[_Command], deadline: float) -> None:
        if self._collecting is batch:
            self._collecting = None
        async with timeout_at(deadline), self._gate:
            wanted = [command for command in batch if not command.answer.done()]
            if not wanted:
                return
            connection = await self._connect()
            try:
                await self._exchange(connection, batch, wanted, deadline)
            finally:
                await self._pool.release(connection)

    async def _exchange(self, connection: Any, batch: list[_Command], wanted: list[_Command], deadline: float) -> None:
        """Send commands over a connection, and read their answers."""
        used_before = self._trust.knows(connection)
        if not used_before:
            self._trust.answered(connection)
        patience = self._patience(batch, deadline) if used_before else None
        refused: list[_Command] = []
        try:
            await connection.send_packed_command([command.packed for command in wanted])
            for command in wanted:
                if not await _receive(connection, command):
                    refused.append(command)
            self._trust.answered(connection)
        except BaseException as error:
            await self._close(connection)
            if used_before and isinstance(error, (RedisError, OSError)):
                self._trust.lost()
                self._ask_again(batch, [command for command in batch if command.repeatable], deadline)
            raise
        finally:
            if patience is not None:
                patience.cancel()
            if refused:
                self._trust.demoted()
                self._ask_again(batch, refused, deadline)
        if refused:
            await self._close(connection)

    def _patience(self, batch: list[_Command], deadline: float) -> asyncio.TimerHandle:
        """Start the timer that ends after half of the time."""
        loop = asyncio.get_running_loop()
        return loop.call_at((loop.time() + deadline) / 2, self._lose_patience, asyncio.current_task(), batch, deadline)

    def _lose_patience(self, task: asyncio.Task[None] | None, batch: list[_Command], deadline: float) -> None:
        """Send the repeatable commands of a silent connection on another one.

        It goes on waiting for the rest, which must not be sent twice.
        """
        self._trust.lost()
        self._ask_again(batch, [command for command in batch if command.repeatable], deadline)
        if task is not None and all(command.answer.done() for command in batch):
            task.cancel()

    async def _connect(self) -> Any:
        connection = await self._pool.get_connection()
        try:
            if not self._trust.allows(connection):
                await self._close(connection)
                await connection.connect()
        except BaseException:
            await self._pool.release(connection)
            raise
        return connection

    async def _close(self, connection: Any) -> None:
        self._trust.forget(connection)
        await connection.disconnect(nowait=True)

    def _end(self, batch: list[_Command], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._collecting is batch:  # it was cancelled before it began
            self._collecting = None
        error = ConnectionError("the connection is being closed") if task.cancelled() else task.exception()
        if isinstance(error, asyncio.TimeoutError):
            self._trust.lost()
        for command in batch:
            if error is not None and not command.answer.done():
                command.answer.set_exception(error)


async def _receive(connection: Any, command: _Command) -> bool:
    """Read one answer, and hand it over.

    Returns:
        False if the command must be sent on another connection instead.
    """
    try:
        result = await connection.read_response()
    except (ResponseError, BusyLoadingError) as error:  # the server's answer to this command; the next one's follows
        if is_refused(error) and command.tries > 1:
            return False
        if not command.answer.done():
            command.answer.set_exception(error)
    else:
        if not command.answer.done():
            command.answer.set_result(result)
    return True


def is_refused(error: Exception) -> bool:
    """Whether a server has done nothing because it is a replica, or is starting."""
    # Redis 6.2 gives a script's error as a text of its own.
    return isinstance(error, (ReadOnlyError, BusyLoadingError, MasterDownError)) or "-READONLY " in str(error)
