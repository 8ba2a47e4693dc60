"""An object that the first caller makes for all, although making it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """An object that the first `get` makes. If that fails, the next one tries again.

    Args:
        make: Makes the object, in the running loop.

    Attributes:
        made: The object; None before it is made, and after `forget`.
    """

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._making: asyncio.Future[T] | None = None
        self.made: T | None = None

    async def get(self) -> T:
        """Return the object; concurrent callers get the same one."""
        if self.made is not None:
            return self.made
        making = self._making
        # A task that is done has failed, or there would be an object. One of another loop may not run any more.
        if making is None or making.done() or making.get_loop() is not asyncio.get_running_loop():
            making = self._making = asyncio.ensure_future(self._make_it())
        return await asyncio.shield(making)  # if this caller is cancelled, others may still wait for it

    def forget(self) -> T | None:
        """Return the object if it was made, and let the next `get` make another one."""
        made, self.made = self.made, None
        return made

    async def _make_it(self) -> T:
        self.made = await self._make()
        return self.made
