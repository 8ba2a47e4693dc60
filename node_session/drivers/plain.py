"""Drivers of three methods: read, write and destroy, like the original's handlers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ..errors import ConfigError, UnavailableError, UnreadableError
from .base import Driver, Entry, Record, has_idle

T = TypeVar("T")

# How such a driver says that its store is down. Before Python 3.11 these were three kinds of TimeoutError.
FAILURES = (OSError, asyncio.TimeoutError, concurrent.futures.TimeoutError)


class PlainDriver(Driver):
    """A driver of an object with read(id), write(id, text) and destroy(id).

    They may be async. There are no versions: if two requests save one session concurrently, the later wins. It calls
    `touch(id)`, `gc(lifetime)` and `close()` if the object has them. Without `touch` an unchanged session is not
    renewed: writing its text again instead could undo what another request writes at that moment. A session with a
    lifetime of its own is written and touched with the argument ``idle``, if both methods have one: how many
    milliseconds before now its last activity is (less than 0: after now).

    An OSError or TimeoutError means that the store is down: it becomes an `UnavailableError`, and so a 503.
    """

    def __init__(self, plain: Any) -> None:
        missing = [name for name in ("read", "write", "destroy") if not callable(getattr(plain, name, None))]
        if missing:
            raise ConfigError(
                f"{type(plain).__name__} cannot be a session driver: it has no method {', '.join(missing)}. "
                "A driver needs read(id), write(id, text) and destroy(id)."
            )
        self.plain = plain
        self.takes_idle = all(has_idle(method) for method in (plain.write, getattr(plain, "touch", None)) if method)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`. An empty text means no record, as in the original."""
        payload = await self._ask("read", id)
        if not payload:
            return None
        if not isinstance(payload, str):
            raise TypeError(f"{type(self.plain).__name__}.read() returned {type(payload).__name__}, not str or None")
        return Record(payload, payload)

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`; there is no version to compare, so this always writes."""
        await self._ask("write", id, payload, **({"idle": idle} if idle and self.takes_idle else {}))
        return payload

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        await self._ask("touch", id, **({"idle": idle} if idle and self.takes_idle else {}))

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`; there is no version to compare, so this always removes."""
        await self._ask("destroy", id)

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`."""
        removed = await self._ask("gc", lifetime)
        return removed if isinstance(removed, int) else 0

    def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`; three methods are not enough to list records."""
        raise NotImplementedError(
            f"{type(self.plain).__name__} cannot list its records: read, write and destroy are not enough for that. "
            "Derive it from node_session.drivers.Driver, and give it a method scan()"
        )

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._ask("close")

    async def _ask(self, name: str, *args: object, **more: object) -> Any:
        """Call a method; None if it is an optional one that the object does not have."""
        method: Callable[..., Any] | None = getattr(self.plain, name, None)
        if method is None:
            return None
        try:
            return await settle(method(*args, **more))
        except FAILURES as error:
            kind = UnreadableError if name == "read" else UnavailableError
            raise kind(f"{type(self.plain).__name__}.{name}() failed: {reason(error)}") from error


async def settle(result: T | Awaitable[T]) -> T:
    """Await a result if need be."""
    return await result if inspect.isawaitable(result) else result


def reason(error: BaseException) -> str:
    """Name one of the `FAILURES`, without its whole text, which may quote an id."""
    return getattr(error, "strerror", None) or type(error).__name__
