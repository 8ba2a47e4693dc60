"""Commands to a Redis cluster, sent together to the servers of their keys.

Each server has a `Pipeline`, and connections, of its own: if it is slow or silent, only its own sessions wait. redis-py
knows which server has a key, and follows the commands that were sent to the wrong one:

- If a server has not done a command, because the key is on another server now, or the cluster is changing, redis-py
  sends this command again, by itself, to the right server. The other commands of the turn are not affected. We send
  only the commands whose keys are being moved: redis-py may send the word ASKING, which must precede them, on another
  connection.
- If there is no connection to a server, redis-py sends the commands again as well. It does the same after the server
  was silent for half of the time, or the connection broke, where repeating a command does no harm. Before that, the
  cluster is asked which servers it has now.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from async_timeout import timeout
from hiredis import pack_command
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError

from .pipeline import Pipeline, is_refused
from .turn import Asked, Kind, Turn
from .turns import Turns

_ASKING = pack_command(("ASKING",))
_UNDONE = (AskError, TryAgainError, ClusterDownError)  # a MovedError is an AskError


class Cluster:
    """The sender of one event loop's commands, like `Pipeline` to a single server.

    Args:
        client: Of redis-py, for a cluster.
        make_client: Makes one of redis-py for one of its servers, of a host and a port.
        connections: The maximum number of turns of the loop that wait for a server's answers; the next ones wait for
            them.
        seconds: After which a command has failed, waiting and connecting included.
    """

    def __init__(self, client: Any, make_client: Callable[[str, int], Any], connections: int, seconds: float) -> None:
        self._client = client
        self._make_client = make_client
        self._connections = connections
        self._seconds = seconds
        self._servers: dict[tuple[str, int], _Server] = {}
        # redis-py's own limit of connections is an error instead of a queue.
        self._turns = Turns(connections, seconds)
        self._following = Kind(self._follow, most=1)
        self._looking: asyncio.Task[None] | None = None

    def ask(
        self, key: str | bytes, *command: Any, also: tuple[Any, ...] = (), repeatable: bool = False
    ) -> Awaitable[Any]:
        """Send a command to the server of its key; see `Pipeline.ask`."""
        try:
            node = self._client.get_node_from_key(key)
        except SlotNotCoveredError:  # or it is not known yet which servers there are
            commands = (command, also) if also else (command,)
            return self._turns.ask(self._following, "", b"", repeatable, key, commands)
        return self.server(node.host, node.port).ask(key, *command, also=also, repeatable=repeatable)

    async def pages(self, pattern: str) -> AsyncIterator[Sequence[bytes]]:
        """List the keys of all servers that match; see `Pipeline.pages`."""
        async with timeout(self._seconds):
            await self._client.initialize()
        for node in self._client.get_primaries():
            async for keys in self.server(node.host, node.port).pages(pattern):
                yield keys

    async def close(self) -> None:
        """Wait for the commands under way, which have a time limit."""
        while self._servers:  # a command that is on its way may lead to another one
            await self._servers.popitem()[1].close()
        await self._turns.finish()
        if self._looking is not None:
            await asyncio.wait([self._looking])

    def follow(self, commands: Sequence[Asked]) -> None:
        """Let redis-py send the commands that their server has not done, each by itself."""
        self._turns.again(*([asked] for asked in commands), kind=self._following)

    def look_again(self) -> None:
        """Ask the cluster which servers it has now."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def server(self, host: str, port: int) -> _Server:
        """Find the sender to a server."""
        server = self._servers.get((host, port))
        if server is None:
            client = self._make_client(host, port)
            server = self._servers[host, port] = _Server(self, client, self._connections, self._seconds)
        return server

    async def _look(self) -> None:
        with contextlib.suppress(Exception):  # those that need an answer get the error as well
            await self._client.nodes_manager.initialize()

    async def _follow(self, turn: Turn) -> None:
        """Send a command by redis-py, and once more where that is safe."""
        (asked,) = turn.asked
        _, repeatable, _, commands = asked.values
        if self._looking is not None and not self._looking.done():
            await asyncio.wait([self._looking])
        try:
            outcome = await self._execute(commands)
        except RedisError as error:
            is_lost = isinstance(error, (BrokenError, SilentError))
            if not (was_not_done(error) or (is_lost and repeatable)):
                raise
            outcome = await self._execute(commands)
        asked.tell(outcome)

    async def _execute(self, commands: Sequence[Sequence[Any]]) -> Any:
        try:
            answers = [await self._client.execute_command(*command) for command in commands]
            return answers if len(answers) > 1 else answers[0]
        except (AttributeError, RuntimeError, TypeError) as error:
            # While redis-py looks for the servers again it closes all connections, also those that others are using.
            # They see it as a TypeError from Python 3.12 on.
            raise BrokenError("the connection was closed, as the cluster changes") from error


class _Server(Pipeline):
    """The sender of commands to one server of a cluster."""

    _has_time_for_new = False  # another server may have the key meanwhile

    def __init__(self, cluster: Cluster, client: Any, connections: int, seconds: float) -> None:
        super().__init__(client.connection_pool, connections, seconds)
        self._cluster = cluster
        self._client = client
        self._moving = Kind(self._send_moving, most=1)

    def take(self, asked: Asked) -> None:
        """Send a command whose key is being moved to this server."""
        self._turns.again([asked], kind=self._moving)

    async def close(self) -> None:
        await super().close()
        await self._client.aclose()

    async def _connect(self, turn: Turn) -> Any:
        try:
            async with timeout(turn.patience):
                return await super()._connect(turn)
        except (RedisError, OSError, asyncio.TimeoutError):
            self._cluster.look_again()
            if turn.kind is not self._last_try:
                self._ask_again(turn.waiting())  # nothing of it was sent
            raise

    def _lose(self, turn: Turn) -> None:
        self._cluster.look_again()
        super()._lose(turn)

    def _was_not_done(self, error: Exception) -> bool:
        return was_not_done(error)

    def _hand_over(self, undone: dict[Asked, Exception]) -> None:
        for asked, error in undone.items():
            if isinstance(error, AskError) and not isinstance(error, MovedError):
                self._cluster.server(error.host, error.port).take(asked)
            else:
                self._ask_again([asked])

    async def _send_moving(self, turn: Turn) -> None:
        (asked,) = turn.asked
        connection = await self._connect(turn)
        try:
            commands = asked.values[3]
            await connection.send_packed_command([_ASKING + pack_command(command) for command in commands])
            answers = []
            for _ in commands:
                await connection.read_response()
                answers.append(await connection.read_response())
            asked.tell(answers if len(answers) > 1 else answers[0])
        except BaseException as error:
            await self._close(connection)  # an answer may be unread
            if isinstance(error, (RedisError, OSError)):
                if was_not_done(error):
                    self._ask_again([asked])
                elif not isinstance(error, ResponseError):
                    self._lose(turn)
            raise
        finally:
            await self._pool.release(connection)

    def _ask_again(self, commands: Sequence[Asked]) -> None:
        # Only this server can go on with its listing; such a command is about no key.
        super()._ask_again([asked for asked in commands if not asked.values[2]])
        self._cluster.follow([asked for asked in commands if asked.values[2]])


def was_not_done(error: Exception) -> bool:
    """Whether a server of a cluster has not done a command."""
    return isinstance(error, _UNDONE) or is_refused(error)
