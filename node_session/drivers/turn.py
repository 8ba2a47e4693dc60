"""A turn: operations of several requests that go to a back-end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

_MOST = 100  # operations in a turn; MongoDB answers so many with its first batch
_MOST_BYTES = 1 << 20  # in a turn of several: a large record must not delay many others

MOMENT = 1
"""Seconds that a turn under way still has after its last request has given up, or the driver is closed."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of operation that several requests can send together.

    Args:
        send: Sends a turn, and tells each of its operations its outcome. If it raises an error, the rest has that.
        shares_ids: Whether several operations on one id may go together, as none changes it or all make the same
            change.
        most: Operations in a turn.
        is_refusal: Whether an error of `send` says that nothing was done, so that parts may be sent again.
        needs_task: Whether `send` must run in a task of its own, so that it can be cancelled, even for a single
            request.
        may_be_late: Whether `send` must not be cancelled even if it is late, as a thread may be at work. It ends by
            itself.
    """

    send: Callable[[Turn], Awaitable[None]]
    shares_ids: bool = False
    most: int = _MOST
    is_refusal: Callable[[Exception], bool] = lambda error: False
    needs_task: bool = False
    may_be_late: bool = False


class Asked:
    """An operation and its outcome.

    An error is an outcome too, and is not raised here: several operations may share it.
    """

    __slots__ = ("answer", "deadline", "id", "turn", "values")

    def __init__(self, id: str, values: tuple[Any, ...], deadline: float, turn: Turn) -> None:
        self.id = id
        self.values = values
        self.deadline = deadline
        self.turn = turn
        self.answer: asyncio.Future[Any] = turn.loop.create_future()

    def tell(self, outcome: object) -> None:
        """Give the request its outcome, unless it has given up."""
        if not self.answer.done():
            self.answer.set_result(outcome)


class Turn:
    """Operations that go to the back-end together.

    Attributes:
        asked: The operations. After the turn has begun: those whose requests still waited for them then.
        until: The time of the loop when the last of its requests gives up.
        again: See `Turns.again`.
        patience: Half of the time limit, in seconds. A connection that was silent for less is slow and not dead, also
            where the turn has less time left since it waited for its place.
        task: The task that sends it; None before that, and where the request itself does so.
    """

    __slots__ = (
        "_bytes",
        "_ids",
        "_is_taken",
        "_leaving",
        "_lock",
        "again",
        "asked",
        "kind",
        "loop",
        "patience",
        "task",
        "until",
    )

    def __init__(
        self, kind: Kind, loop: asyncio.AbstractEventLoop, lock: Lock, again: Callable[..., None], seconds: float
    ) -> None:
        self.kind = kind
        self.loop = loop
        self.patience = seconds / 2
        self._lock = lock
        self.again = again
        self.asked: list[Asked] = []
        self.until = 0.0
        self.task: asyncio.Task[None] | None = None
        self._ids: set[str] = set()
        self._bytes = 0
        self._is_taken = False
        self._leaving: asyncio.TimerHandle | None = None

    def has_room(self, id: str, size: int) -> bool:
        """Whether an operation may join this turn."""
        if len(self.asked) >= self.kind.most or (self._bytes + size > _MOST_BYTES and self.asked):
            return False
        return not self._ids or id not in self._ids or all(asked.id != id for asked in self.waiting())

    def add(self, asked: Asked, size: int = 0) -> None:
        """Add an operation."""
        asked.turn = self
        self.asked.append(asked)
        if not self.kind.shares_ids:
            self._ids.add(asked.id)
        self._bytes += size
        self.until = asked.deadline

    def waiting(self) -> list[Asked]:
        """List the operations that have no outcome yet."""
        return [asked for asked in self.asked if asked.turn is self and not asked.answer.done()]

    def take(self) -> list[Asked]:
        """List the operations for a thread; their requests now wait without a limit."""
        with self._lock:
            self._is_taken = True
            return self.waiting()

    def leave(self) -> None:
        """Let a request give up; if it was the last one, the turn ends in a moment."""
        if self.task is not None and self._leaving is None and not self.waiting():
            self._leaving = self.loop.call_later(MOMENT, self.task.cancel)

    def expire(self, now: float) -> None:
        """Tell the requests whose time is over; if nobody waits any more, the turn ends."""
        with self._lock:
            if self._is_taken:
                return
            waiting = self.waiting()
            for asked in waiting:
                if asked.deadline <= now:
                    asked.tell(asyncio.TimeoutError())
        if self.task is not None and waiting and waiting[-1].answer.done():
            self.task.cancel()

    def close(self, error: Exception) -> None:
        """End a turn under way."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.asked[0].tell(error)

    def end(self) -> None:
        """Drop all references: operations and turn refer to each other."""
        if self._leaving is not None:
            self._leaving.cancel()
        self.task = None
        self.asked = []
