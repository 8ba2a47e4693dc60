"""Commands to a Redis cluster, each by itself, to the server of its key."""

from __future__ import annotations

import asyncio
from typing import Any

from async_timeout import timeout
from redis.exceptions import BusyLoadingError, ClusterDownError, ReadOnlyError
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError


class OneByOne:
    """The sender of one event loop's commands, like `Pipeline` to a single server.

    Args:
        client: Of redis-py, for a cluster.
        connections: How many commands may be waiting for their answers; the next ones wait for them.
        seconds: After which a command has failed, waiting for its turn and connecting included.
    """

    def __init__(self, client: Any, connections: int, seconds: float) -> None:
        self._client = client
        self._gate = asyncio.Semaphore(connections)  # redis-py's own limit is an error there instead of a queue
        self._seconds = seconds

    async def ask(self, *command: Any, repeatable: bool = False) -> Any:
        """Send a command; gives its answer.

        Args:
            command: Its name and arguments.
            repeatable: Whether it does no harm to do it twice.
        """
        async with timeout(self._seconds), self._gate:
            try:
                return await self._execute(*command)
            except (BusyLoadingError, ClusterDownError, ReadOnlyError):  # nothing was done
                pass
            except (BrokenError, SilentError):  # redis-py closes that server's other connections, too
                if not repeatable:
                    raise
            return await self._execute(*command)

    async def close(self) -> None:
        """Do nothing: no command goes on without the request that waits for it."""

    async def _execute(self, *command: Any) -> Any:
        try:
            return await self._client.execute_command(*command)
        except (AttributeError, RuntimeError, TypeError) as error:
            # While redis-py looks for the servers again it closes all connections, also those that others are using.
            # They see it as a TypeError from Python 3.12 on.
            raise BrokenError("the connection was closed, as the cluster changes") from error
