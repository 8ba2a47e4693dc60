"""The base class of drivers, which keep the records of one back-end each.

A driver stores text under an id and knows nothing of what the text means. Two drivers differ only in where they keep
it. This module spells out how each method ends, and `node_session.testing.DriverContract` tests a driver against it.

The smallest driver of your own needs none of this: a class with ``async read(id)`` giving text or None,
``async write(id, text)`` and ``async destroy(id)`` will do (`PlainDriver` adapts it). Derive from `Driver` to have
what such a class cannot offer: of two requests that save the same session concurrently, both keep their changes.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from ..errors import DamagedError

T = TypeVar("T")

_TOGETHER = 16  # records that are read concurrently; more would only queue for connections


class Record(NamedTuple):
    """A record as a driver has read it.

    Attributes:
        payload: The stored text.
        version: `Driver.write` compares it to know whether the record is still this one. Only its driver looks
            inside; it is never None. For most drivers it is the payload itself: two equal texts are the same
            session, and a table made for the original needs no new column.
        idle: Milliseconds since its last activity, if the driver learns that without another question; less than 0 if
            that is in the future. A session that was active a moment ago is not renewed again, which spares most
            requests of a busy session a `Driver.touch`.
    """

    payload: str
    version: object
    idle: float = float("inf")


class Entry(NamedTuple):
    """A record in a listing.

    Attributes:
        id: The id under which it is kept.
        payload: The stored text; empty if the record is not text or cannot be read.
        last_activity: Milliseconds since 1970.
    """

    id: str
    payload: str
    last_activity: float


class Driver(ABC):
    """A keeper of records: id, text, time of last activity.

    Every method may be called concurrently, by several tasks, processes and machines. An id is always valid
    (`node_session.ids.is_valid`): the session layer checks it before it asks. A driver that makes paths of ids
    checks again. Any method raises `UnavailableError` if the store cannot be reached or does not answer in time.

    Connections are opened by the first call, inside the running loop, so that a driver can be made before a fork.

    Attributes:
        half_written_for: Milliseconds after its last activity for which a record that looks damaged may be one that
            another program is still writing, so that it is read again. 0: every record is replaced as a whole.
        longest_rest: Seconds that the caller of `gc_in_steps` rests after a step at most. By default it rests nine
            times as long as the step has taken.
        takes_idle: Whether `write`, `touch` and `confirm` take the argument `idle`. Those of a driver written for an
            earlier version do not: all its records have the same lifetime, and each write renews them.
    """

    half_written_for: float = 0
    longest_rest = float("inf")
    takes_idle = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.takes_idle = has_idle(cls.write) and has_idle(cls.touch) and has_idle(cls.confirm)

    @abstractmethod
    async def read(self, id: str) -> Record | None:
        """Read a record.

        Returns:
            The record; None if there is none **or its last activity is longer ago than the lifetime**.

        Raises:
            DamagedError: It is there, but it is not text. The error has `idle`, as a record has.
            UnreadableError: It may be there, but cannot be read (permissions, a broken disk, a lost connection).
        """

    @abstractmethod
    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """Store a record, unless somebody else was first. Its last activity is now, or `idle` before now.

        Args:
            id: The session's id.
            payload: The text to store. `read` gives it back byte for byte.
            version: None creates a record, if there is none or an expired one. Anything else is the version of a read
                or a write: the driver replaces that version and no other, **also if it has expired meanwhile** and
                is still there, since its request was under way. (A store that removes expired records by itself has
                it no longer.)
            idle: Milliseconds since the last activity that the record gets. More than 0 for a session that was not
                active just now, or expires earlier than others; less than 0 for one that lives longer: its last
                activity is in the future then, so that no reader and no gc, not even that of another program, takes
                the record for an expired one too early.

        Returns:
            The version of the record that is stored now.

        Raises:
            ConflictError: Somebody else created, changed or destroyed the record, or gc has removed it. Nothing was
                written.
        """

    @abstractmethod
    async def touch(self, id: str, *, idle: float = 0) -> None:
        """Set the last activity to now, or `idle` milliseconds before now, and keep the version.

        An absent or expired record stays as it is.
        """

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """Do the same if the record is still this version, and tell whether it is.

        A request that was long, and whose session is due for renewal, asks this before it sends the cookie again. A
        driver that cannot tell in one operation says False, as this one does: then the record is read.
        """
        return False

    @abstractmethod
    async def destroy(self, id: str, version: object = None) -> None:
        """Remove a record. An absent one is no error.

        Args:
            id: The session's id.
            version: Of a read or a write: remove the record only if it is still that one, expired or not. None:
                remove any version.

        Raises:
            ConflictError: It is there, but of another version. Nothing was removed.
        """

    def kept_id(self, id: str) -> str:
        """The id under which the store keeps a session's record: its own, but for `hashIds`."""
        return id

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """Find out which of some sessions still have a record that has not expired; this renews none.

        Open WebSockets that are closed with their session ask this, for all of them together, every few seconds. By
        default every record is read, a few of them concurrently. Override this method if the store can answer for many
        ids at a time, without their texts.

        Args:
            ids: Any number of ids.

        Returns:
            Those that have a record, also a damaged one.

        Raises:
            UnreadableError: It cannot tell for some of them, as in `read`.
        """
        found: set[str] = set()
        for some in pieces(ids, _TOGETHER):
            answers = await asyncio.gather(*map(self._has_record, some))
            found.update(id for id, has_record in zip(some, answers, strict=True) if has_record)
        return found

    async def _has_record(self, id: str) -> bool:
        try:
            return await self.read(id) is not None
        except DamagedError:
            return True

    @abstractmethod
    async def gc(self, lifetime: float) -> int:
        """Remove the records that have been idle for more than `lifetime` milliseconds.

        Returns:
            How many were removed, or fewer if an answer of the store was lost; 0 for a store that expires records by
            itself.
        """

    async def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """Remove expired records like `gc`, beside requests: the caller rests after each step, or stops there.

        By default `gc` is the only step. Override this method if a long `gc` would slow down the requests of its
        process, or if one process is to remove expired records for all.

        Yields:
            How many records this step has removed.
        """
        yield await self.gc(lifetime)

    def scan(self) -> AsyncIterator[Entry]:
        """List every record that has not expired, in no order.

        For the command line: no request asks for it. It holds a part of the records in memory, never all. A record
        that is created, changed or destroyed meanwhile may be listed or not. One that is damaged or cannot be read is
        listed, and does not end the listing.

        Raises:
            NotImplementedError: This driver cannot list its records.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot list its records: it has no method scan()")

    async def set_aside(self, id: str, version: object) -> None:  # noqa: B027 - optional, not forgotten
        """Keep a damaged record for its owner to look at, out of the way of sessions.

        By default it stays where it is: its session goes on under a fresh id, so nobody asks for this one again,
        and gc removes it in time. A driver whose records other programs read as well moves it, if it is still
        `version`.
        """

    async def close(self) -> None:  # noqa: B027 - optional, not forgotten
        """Release connections and files. Nobody uses the driver afterwards."""


def has_idle(method: Callable[..., Any]) -> bool:
    """Whether a method of a driver has the argument `idle`."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # it is not written in Python
        return False
    return any(each.name == "idle" or each.kind is each.VAR_KEYWORD for each in parameters)


def pieces(all: Sequence[T], most: int = 500) -> Iterator[Sequence[T]]:
    """Divide a sequence into pieces, each for one statement and a moment of the event loop."""
    return (all[start : start + most] for start in range(0, len(all), most))
