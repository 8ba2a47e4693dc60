"""Commands to a Redis server, sent together for many requests.

The commands of one turn of the event loop go over one connection in one piece, and the answers come back nearly so (see
`turns`). A connection from the pool, a time limit and a system call for each were most of the cost of a command.

Only the order tells to which command an answer belongs. So:

- The answer to every command that was sent is read, also if its request has given up.
- A connection with unread answers is closed, whatever the reason.
- A command that may have been done is not sent twice. It is sent again if the server refused it because it takes no
  writes, so that nothing was done; and, if that does no harm (`repeatable`), if it was sent on a connection used before
  that was silent for half of the time, or broke. A new connection then has the other half.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import partial
from typing import Any

from hiredis import pack_command
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError, ResponseError

from .trust import Trust
from .turn import Asked, Kind, Turn
from .turns import Turns

_PAGE = 100  # keys of a listing at a time, more or less; a few milliseconds of the loop
_MOST = 500  # keys in a turn; one or two commands about each


class Pipeline:
    """The sender of one event loop's commands to one server.

    Args:
        pool: Of redis-py, for at least so many connections.
        connections: How many turns of the loop may be waiting for their answers; the next ones wait for them.
        seconds: After which a command has failed, waiting for a connection and connecting included.
    """

    _has_time_for_new = True  # whether a new connection may be silent for the rest of the time

    def __init__(self, pool: Any, connections: int, seconds: float) -> None:
        self._pool = pool
        self._turns = Turns(connections, seconds)
        self._trust = Trust()
        kind = partial(Kind, shares_ids=True, most=_MOST, needs_task=True)
        self._first_try = kind(partial(self._send, once_more=True))
        self._last_try = kind(partial(self._send, once_more=False))

    def ask(
        self, key: str | bytes, *command: Any, also: tuple[Any, ...] = (), repeatable: bool = False
    ) -> Awaitable[Any]:
        """Send a command.

        Args:
            key: That it is about; empty: about none.
            command: Its name and arguments.
            also: Another one about the same key, to send right after it; both are repeatable then.
            repeatable: Whether it does no harm to do it twice.

        Returns:
            The answer, as redis-py parses it, or both in a list; or an error, which is not raised since several
            requests may share it.
        """
        packed, commands = pack_command(command), (command, also) if also else (command,)
        if also:
            packed += pack_command(also)
        return self._turns.ask(self._first_try, "", packed, repeatable, key, commands, size=len(packed))

    async def pages(self, pattern: str) -> AsyncIterator[Sequence[bytes]]:
        """List the keys that match, some at a time; raises what the server or the connection says instead.

        The next page is asked for together with what the caller asks about the keys of one.
        """
        asking = asyncio.ensure_future(self._page(0, pattern))
        try:
            while True:
                answer = await asking
                if isinstance(answer, Exception):
                    raise answer
                cursor, keys = answer
                if int(cursor):
                    asking = asyncio.ensure_future(self._page(cursor, pattern))
                yield keys
                if not int(cursor):
                    return
        finally:
            asking.cancel()

    async def close(self) -> None:
        """Wait for the commands that are on their way, which have a time limit."""
        await self._turns.finish()

    def _page(self, cursor: object, pattern: str) -> Awaitable[Any]:
        return self.ask("", "SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, repeatable=True)

    async def _send(self, turn: Turn, *, once_more: bool) -> None:
        """Send a turn's commands, some of them once more if need be."""
        began = turn.loop.time()
        try:
            connection = await self._connect(turn)
            try:
                await self._exchange(connection, turn, once_more)
            finally:
                await self._pool.release(connection)
        except asyncio.CancelledError:
            if turn.until <= turn.loop.time() >= began + turn.patience:
                self._trust.lost()
            raise

    async def _exchange(self, connection: Any, turn: Turn, once_more: bool) -> None:
        """Send commands over a connection, and read their answers."""
        used_before = self._trust.knows(connection)
        if not used_before:
            self._trust.answered(connection)
        has_substitute = once_more and (used_before or not self._has_time_for_new)
        patience = turn.loop.call_later(turn.patience, self._lose_patience, turn) if has_substitute else None
        undone: dict[Asked, Exception] = {}
        takes_no_writes = False
        try:
            await connection.send_packed_command([asked.values[0] for asked in turn.asked])
            for asked in turn.asked:
                outcome, answers = None, []
                for _ in asked.values[3]:
                    try:
                        answers.append(await connection.read_response())
                    except (ResponseError, BusyLoadingError) as error:  # the server's answer; the next one's follows
                        outcome = outcome or error.with_traceback(None)
                if outcome is not None:
                    takes_no_writes |= is_refused(outcome)
                    if once_more and self._was_not_done(outcome):
                        undone[asked] = outcome
                        continue
                asked.tell(outcome or (answers if len(answers) > 1 else answers[0]))
            self._trust.answered(connection)
        except BaseException as error:
            await self._close(connection)
            if has_substitute and isinstance(error, (RedisError, OSError)):
                self._lose(turn)
            raise
        finally:
            if patience is not None:
                patience.cancel()
            if takes_no_writes:
                self._trust.demoted()
            if undone:
                self._hand_over(undone)
        if takes_no_writes:
            await self._close(connection)

    def _lose_patience(self, turn: Turn) -> None:
        """Go on waiting for a silent connection only where a command must not be sent twice."""
        self._lose(turn)
        if turn.task is not None and not turn.waiting():
            turn.task.cancel()

    def _lose(self, turn: Turn) -> None:
        """Send the repeatable commands of a silent or broken connection once more."""
        self._trust.lost()
        self._ask_again([asked for asked in turn.waiting() if asked.values[1]])

    def _hand_over(self, undone: dict[Asked, Exception]) -> None:
        """Send commands that the server has not done to another one, or once more."""
        self._ask_again([*undone])

    def _ask_again(self, commands: Sequence[Asked]) -> None:
        """Send commands once more, on another connection."""
        if commands:
            self._turns.again(commands, kind=self._last_try)

    def _was_not_done(self, error: Exception) -> bool:
        """Whether an answer says that nothing was done, and that it may be done elsewhere."""
        return is_refused(error)

    async def _connect(self, turn: Turn) -> Any:
        """Take a connection from the pool that may be used."""
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


def is_refused(error: Exception) -> bool:
    """Whether a server has done nothing because it is a replica, or is starting."""
    # Redis 6.2 gives a script's error as a text of its own.
    return isinstance(error, (ReadOnlyError, BusyLoadingError, MasterDownError)) or "-READONLY " in str(error)
