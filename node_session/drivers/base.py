"""What a driver is: the class that keeps the records of one back-end.

A driver stores text under an id and knows nothing of what the text means. Two drivers differ only in where they keep
it; how each method ends is spelt out here, and `node_session.testing.DriverContract` tests a driver against it.

The smallest driver of your own needs none of this: a class with ``async read(id)`` giving text or None,
``async write(id, text)`` and ``async destroy(id)`` will do (`PlainDriver` adapts it). Derive from `Driver` to have
what such a class cannot offer: two requests that save the same session at once both keep their changes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from ..errors import ConfigError, UnavailableError, UnreadableError

T = TypeVar("T")

# How a driver of three methods says that its store is down. Before Python 3.11 these were three kinds of TimeoutError.
FAILURES = (OSError, asyncio.TimeoutError, concurrent.futures.TimeoutError)


class Record(NamedTuple):
    """What a driver read.

    Attributes:
        payload: The stored text.
        version: What `Driver.write` compares to know whether the record is still this one. Only its driver looks
            inside; it is never None. For most drivers it is the payload itself: two equal texts are the same
            session, and a table made for the original needs no new column.
        idle: Milliseconds since its last activity, where the driver learns that by the way. A session that was active
            a moment ago is not renewed again, which spares most of a busy session's requests a `Driver.touch`.
    """

    payload: str
    version: object
    idle: float = float("inf")


class Entry(NamedTuple):
    """A record in a listing.

    Attributes:
        id: The id under which it is kept.
        payload: The stored text; empty where what is stored is not text, or cannot be read.
        last_activity: Milliseconds since 1970.
    """

    id: str
    payload: str
    last_activity: float


class Driver(ABC):
    """Keeps records: id, text, time of last activity.

    Every method may be called concurrently, by several tasks, processes and machines. An id is always valid
    (`node_session.ids.is_valid`): the session layer checks it before it asks. A driver that makes paths of ids
    checks again. Any method raises `UnavailableError` when the store cannot be reached or does not answer in time.

    Connections are opened by the first call, inside the running loop, so that a driver can be made before a fork.

    Attributes:
        renews_on_read: Whether `read` renews the last activity as well, so that no `touch` is needed after it.
        half_written_for: Milliseconds after its last activity for which a record that looks damaged may be one that
            another program is still writing, so that it is read again. 0: every record is replaced as a whole.
    """

    renews_on_read = False
    half_written_for: float = 0

    @abstractmethod
    async def read(self, id: str) -> Record | None:
        """Read a record.

        Returns:
            The record; None when there is none **or its last activity is longer ago than the lifetime**.

        Raises:
            DamagedError: It is there, but what is stored is not text. It has `idle`, as a record has.
            UnreadableError: It may be there, but cannot be read (permissions, a broken disk, a lost connection).
        """

    @abstractmethod
    async def write(self, id: str, payload: str, version: object) -> object:
        """Store a record, if nobody else was first. Its last activity is now.

        Args:
            id: The session's id.
            payload: The text to store. What was written is read again byte for byte.
            version: None creates a record, if none is there or what is there has expired. Anything else is the version
                of a read or a write: that version is replaced and no other, **also if it has expired meanwhile** and
                is still there, as its request was under way. (Where the store itself removes what has expired, it
                is no longer there.)

        Returns:
            The version of what is stored now.

        Raises:
            ConflictError: Somebody else created, changed or destroyed the record, or gc has removed it. Nothing was
                written.
        """

    @abstractmethod
    async def touch(self, id: str) -> None:
        """Set the last activity to now, without changing the version. An absent or expired record stays as it is."""

    @abstractmethod
    async def destroy(self, id: str, version: object = None) -> None:
        """Remove a record. That there is none is no error.

        Args:
            id: The session's id.
            version: Of a read or a write: remove the record only if it is still that one, expired or not. None:
                whatever it is.

        Raises:
            ConflictError: It is there, but of another version. Nothing was removed.
        """

    @abstractmethod
    async def gc(self, lifetime: float) -> int:
        """Remove the records whose last activity is more than `lifetime` milliseconds ago.

        Returns:
            How many were removed; 0 for a store that expires records by itself.
        """

    def scan(self) -> AsyncIterator[Entry]:
        """Every record that has not expired, in no order; for the command line, no request asks for it.

        It holds a part of the records in memory, never all. What is created, changed or destroyed meanwhile may be
        in it or not. A record that is damaged or cannot be read is in it, and does not end it.

        Raises:
            NotImplementedError: This driver cannot list its records.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot list its records: it has no method scan()")

    async def set_aside(self, id: str, version: object) -> None:  # noqa: B027 - optional, not forgotten
        """Keep a damaged record for its owner to look at, out of the way of sessions.

        By default it is left where it is: its session goes on under a fresh id, so nobody asks for this one again,
        and gc removes it in time. A driver whose records others can trip over moves it, if it is still `version`.
        """

    async def close(self) -> None:  # noqa: B027 - optional, not forgotten
        """Release connections and files. The driver is not used afterwards."""


class PlainDriver(Driver):
    """Adapts an object with read(id), write(id, text) and destroy(id), be they async or not.

    It has no versions, so of two requests that save the same session at once the later one wins. `touch(id)`,
    `gc(lifetime)` and `close()` are called where the object has them. Without `touch` an unchanged session is not
    renewed: writing its text again instead could undo what another request writes at that moment.

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

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`. An empty text means no record, as in the original."""
        payload = await self._ask("read", id)
        if not payload:
            return None
        if not isinstance(payload, str):
            raise TypeError(f"{type(self.plain).__name__}.read() returned {type(payload).__name__}, not str or None")
        return Record(payload, payload)

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`; there is no version to compare, so this always writes."""
        await self._ask("write", id, payload)
        return payload

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        await self._ask("touch", id)

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

    async def _ask(self, name: str, *args: object) -> Any:
        """The result of a method; None if it is an optional one that the object has not."""
        method: Callable[..., Any] | None = getattr(self.plain, name, None)
        if method is None:
            return None
        try:
            return await settle(method(*args))
        except FAILURES as error:
            kind = UnreadableError if name == "read" else UnavailableError
            raise kind(f"{type(self.plain).__name__}.{name}() failed: {reason(error)}") from error


async def settle(result: T | Awaitable[T]) -> T:
    """A result, if need be awaited."""
    return await result if inspect.isawaitable(result) else result


def reason(error: BaseException) -> str:
    """What one of the `FAILURES` was. Not its whole text, which may quote a path, and with it a session's id."""
    return getattr(error, "strerror", None) or type(error).__name__
