"""The end of graces: a farewell is destroyed when its grace is over.

    graces = Graces(seconds, records.destroy_farewell)
    graces.begin(id, at)                    # returns immediately; the rest happens in the background

Each event loop has one timer for all its farewells, and no request waits for it. If a process ends during a grace, the
farewell stays, since other processes may still need it. It expires like a session; if sessions never expire, a sweep
finds it (`node_session.orphans`).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from .errors import UnavailableError

logger = logging.getLogger("node_session")

# The timer may be late by this part of the grace, and by this many seconds at most, to destroy many farewells together.
_LATE_PART = 1 / 10
_LATEST = 1.0

# The number of farewells destroyed concurrently: enough for a driver to send them together, few enough not to keep
# requests waiting for a connection.
_TOGETHER = 4

# The shortest delay, in seconds, before the next try if the store is down.
_RETRY_AFTER = 1.0


class Graces:
    """The farewells of a program whose grace is not over.

    Only ids are kept, since a driver's version may be as long as the session.

    Args:
        seconds: The length of a grace.
        destroy: Destroys the farewell under an id that was written at a time (ms since 1970), if it is still there.
    """

    def __init__(self, seconds: float, destroy: Callable[[str, int], Awaitable[None]]) -> None:
        self._seconds = seconds
        self._destroy = destroy
        self._loops: dict[asyncio.AbstractEventLoop, _Waiting] = {}

    def begin(self, id: str, at: int) -> None:
        """Have the farewell under an id destroyed after the grace.

        Args:
            id: The id.
            at: When it was written, in milliseconds since 1970.
        """
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            for ended in [each for each in self._loops if each.is_closed()]:
                del self._loops[ended]
            here = self._loops[loop] = _Waiting()
        here.farewells.append((loop.time() + self._seconds, id, at))
        if here.timer is None and here.task is None:
            self._set_timer(loop, here)

    async def finish(self) -> None:
        """Stop the timer of this loop, and wait for the destroying under way."""
        here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is None:
            return
        here.farewells.clear()
        if here.task is not None:
            await asyncio.wait([here.task])
        if here.timer is not None:  # perhaps set by that task just now, to try again
            here.timer.cancel()

    def _set_timer(self, loop: asyncio.AbstractEventLoop, here: _Waiting) -> None:
        when = here.farewells[0][0] + min(self._seconds * _LATE_PART, _LATEST)
        # In a context of its own: otherwise the timer would keep what the request's context holds.
        here.timer = loop.call_at(when, self._begin_to_destroy, loop, here, context=contextvars.Context())

    def _begin_to_destroy(self, loop: asyncio.AbstractEventLoop, here: _Waiting) -> None:
        here.timer = None
        here.task = loop.create_task(self._destroy_due(loop, here))

    async def _destroy_due(self, loop: asyncio.AbstractEventLoop, here: _Waiting) -> None:
        waiting, now = here.farewells, loop.time()
        try:
            while waiting and waiting[0][0] <= now:
                together: list[tuple[str, int]] = []
                while waiting and waiting[0][0] <= now and len(together) < _TOGETHER:
                    together.append(waiting.popleft()[1:])
                failed = await self._destroy_together(together)
                if failed:
                    again_at = now + max(self._seconds, _RETRY_AFTER)
                    waiting.extend((again_at, id, at) for id, at in failed)
        finally:
            here.task = None
            if waiting:
                self._set_timer(loop, here)

    async def _destroy_together(self, farewells: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Destroy some farewells; return those for which the store could not be asked."""
        results = await asyncio.gather(*(self._destroy(id, at) for id, at in farewells), return_exceptions=True)
        if errors := [each for each in results if isinstance(each, Exception)]:
            logger.warning(
                "could not remove %d old records of regenerated sessions: %s: %s",
                len(errors),
                type(errors[0]).__name__,
                errors[0],
            )
        # Another error than this one, for example a custom encrypter's, would only be repeated.
        return [each for each, result in zip(farewells, results, strict=True) if isinstance(result, UnavailableError)]


class _Waiting:
    """The farewells of one event loop, the oldest first, with their timer and tasks."""

    def __init__(self) -> None:
        self.farewells: deque[tuple[float, str, int]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
