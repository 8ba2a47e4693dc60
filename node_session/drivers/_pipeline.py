"""Commands to a Redis server, sent together for many requests.

What is asked for in one turn of the event loop goes over one connection in one piece, and the answers come back nearly
so. A connection from the pool, a time limit and a system call for each were most of what a command costs.

An answer says nothing of which command it belongs to; only the order does. So:

- The answer to every command that was sent is read, also if nobody waits for it any more.
- A connection of which not all answers were read is closed, whatever the reason.
- Nothing is sent twice: what was sent may have been done.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, NamedTuple

from async_timeout import timeout
from hiredis import pack_command
from redis.exceptions import ResponseError


class _Command(NamedTuple):
    packed: bytes
    answer: asyncio.Future[Any]


class Pipeline:
    """Sends commands of one event loop.

    Args:
        pool: Of redis-py, for so many connections at least.
        connections: How many turns of the loop may be waiting for their answers; the next ones wait for them.
        seconds: After which a command has failed, waiting for a connection and connecting included.
    """

    def __init__(self, pool: Any, connections: int, seconds: float) -> None:
        self._pool = pool
        self._gate = asyncio.Semaphore(connections)
        self._seconds = seconds
        self._collecting: list[_Command] | None = None  # what this turn's task will send
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself would forget them

    def ask(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command; gives a future of its answer, as redis-py parses it, or of what went wrong."""
        loop = asyncio.get_running_loop()
        asked = _Command(pack_command(command), loop.create_future())
        if self._collecting is None:
            batch = self._collecting = [asked]
            # A task of its own, as a request that is cancelled must not take the others with it.
            task = loop.create_task(self._send(batch))
            self._tasks.add(task)
            task.add_done_callback(partial(self._end, batch))
        else:
            self._collecting.append(asked)
        return asked.answer

    async def close(self) -> None:
        """Wait for what is on its way, which has a time limit."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _send(self, batch: list[_Command]) -> None:
        self._collecting = None
        async with timeout(self._seconds), self._gate:
            wanted = [command for command in batch if not command.answer.done()]
            if not wanted:
                return
            connection = await self._pool.get_connection()
            try:
                await connection.send_packed_command([command.packed for command in wanted])
                for command in wanted:
                    await _receive(connection, command.answer)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                await self._pool.release(connection)

    def _end(self, batch: list[_Command], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._collecting is batch:  # it was cancelled before it began
            self._collecting = None
        error = ConnectionError("the connection is being closed") if task.cancelled() else task.exception()
        for command in batch:
            if error is not None and not command.answer.done():
                command.answer.set_exception(error)


async def _receive(connection: Any, answer: asyncio.Future[Any]) -> None:
    """Read one answer from a connection, and hand it to whoever waits for it."""
    try:
        result = await connection.read_response()
    except ResponseError as error:  # the server's answer to this command; the next one's follows
        if not answer.done():
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)
