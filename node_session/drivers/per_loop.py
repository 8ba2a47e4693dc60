"""Connections that belong to one event loop of one process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """A pool or client for each event loop of this process, opened when first needed.

    So a driver can be made before a fork and before there is a loop, and several loops can use it. If opening fails,
    the next call tries again.

    Args:
        open: Opens one, in the running loop.
        close: Closes it.
    """

    def __init__(self, open: Callable[[], Awaitable[T]], close: Callable[[T], Awaitable[None]]) -> None:
        self._open = open
        self._close = close
        self._opened: dict[asyncio.AbstractEventLoop, asyncio.Future[T]] = {}
        self._process = os.getpid()
        # The parent process has opened these: they are neither used nor closed here, and not collected either.
        self._inherited: list[object] = []

    def opened(self) -> T | None:
        """Find the running loop's; None unless it is open.

        For operations of a few microseconds, since `get` takes one.
        """
        opening = self._opened.get(asyncio.get_running_loop())
        if opening is None or not opening.done() or self._process != os.getpid():
            return None
        return None if opening.cancelled() or opening.exception() is not None else opening.result()

    async def get(self) -> T:
        """Find the running loop's, and open it if need be."""
        opened = self.opened()
        if opened is not None:
            return opened
        if self._process != os.getpid():
            self._inherited.append(self._opened)
            self._opened, self._process = {}, os.getpid()
        loop = asyncio.get_running_loop()
        opening = self._opened.get(loop)
        if opening is None or opening.done():  # the latter, if it has failed
            for other in [each for each in self._opened if each.is_closed()]:
                del self._opened[other]
            opening = self._opened[loop] = asyncio.ensure_future(self._open())
        return await asyncio.shield(opening)  # others may be waiting for it

    async def renew(self, old: T) -> T:
        """Close the running loop's and open it again, if it is still the old one."""
        if self.opened() is old:
            self._opened[asyncio.get_running_loop()] = asyncio.ensure_future(self._open_again(old))
        return await self.get()

    async def _open_again(self, old: T) -> T:
        await self._close(old)
        return await self._open()

    def discard(self, opened: T) -> bool:
        """Forget the running loop's, if it is still this one; the caller closes it."""
        if self.opened() is not opened:
            return False
        del self._opened[asyncio.get_running_loop()]
        return True

    async def close(self) -> None:
        """Close the running loop's."""
        if self._process != os.getpid():
            return
        opening = self._opened.pop(asyncio.get_running_loop(), None)
        if opening is None:
            return
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            await self._close(opening.result())
