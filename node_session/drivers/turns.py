"""Operations of many requests, sent to a back-end together: one way for all drivers.

Operations that are asked for in one turn of the event loop go to the back-end in one statement, thread hop or packet,
and come back together: a round trip for each was most of their cost.

- *An answer reaches the request that asked.*
- *A request that gives up* takes nothing from the others. A turn that nobody waits for any more frees its place.
- *One that fails fails alone.* If the back-end refuses a turn and has done nothing, halves of it are sent again, and
  halves of those, until only the operations at fault are left.
- *Nothing that may have been done is sent twice.* After any other error each operation has that error.
- *First come, first served.* At most so many turns are under way; the others wait in a queue of our own. (asyncio's
  Queue and Semaphore let newcomers overtake a waiter that has been woken; a pool built on them starves some under
  load.) Newcomers join the last waiting turn of their kind: a busy back-end gets fewer and larger turns.
- *Two changes of one record* never share a turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

_MOST = 100  # operations in a turn; MongoDB answers so many with its first batch
_MOST_BYTES = 1 << 20  # in a turn of several: a large record must not delay many others
_CLOSING = 1  # seconds that a turn under way has when the driver is closed


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of operation that several requests can send together.

    Args:
        send: Sends a turn, and tells each of its operations its outcome. If it raises an error, the rest has that.
        shares_ids: Whether several operations on one id may go together, since they change nothing, or all the same.
        most: Operations in a turn.
        is_refusal: Whether an error of `send` says that nothing was done, so that parts may be sent again.
    """

    send: Callable[[Turn], Awaitable[None]]
    shares_ids: bool = False
    most: int = _MOST
    is_refusal: Callable[[Exception], bool] = lambda error: False


class Asked:
    """An operation, and its outcome, which may be an error: it is not raised, since several share the object."""

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
    """

    def __init__(self, kind: Kind, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        self.kind = kind
        self.loop = loop
        self.turns = turns
        self.asked: list[Asked] = []
        self.until = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._ids: dict[str, Asked] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def has_room(self, id: str, size: int) -> bool:
        """Whether an operation may join this turn."""
        if len(self.asked) >= self.kind.most or (self._bytes + size > _MOST_BYTES and self.asked):
            return False
        same = None if self.kind.shares_ids else self._ids.get(id)
        return same is None or same.answer.done()

    def add(self, asked: Asked, size: int = 0) -> None:
        """Take an operation in."""
        if self._timer is None:
            self._timer = self.loop.call_at(asked.deadline, self._expire)
        asked.turn = self
        self.asked.append(asked)
        if not self.kind.shares_ids:
            self._ids[asked.id] = asked
        self._bytes += size
        self.until = asked.deadline

    def waiting(self) -> list[Asked]:
        """List the operations that have no outcome yet."""
        return [asked for asked in self.asked if not asked.answer.done() and asked.turn is self]

    def patience(self) -> float:
        """Count half of the seconds that the first of its requests has left."""
        return (min(asked.deadline for asked in self.asked) - self.loop.time()) / 2

    def begin(self) -> None:
        """Note the running task as the one that sends this turn, which no operation joins from now on."""
        self._task = asyncio.current_task()
        self.asked = self.waiting()

    def leave(self) -> None:
        """Let a request give up; the last one ends the turn."""
        if self._task is not None and not self.waiting():
            self._task.cancel()

    def end(self) -> None:
        """Let go of everything: operations and turn refer to each other."""
        if self._timer is not None:
            self._timer.cancel()
        self._task = None
        self.asked = []
        self._ids = {}

    def _expire(self) -> None:
        """Tell the requests whose time is over; one timer serves all of the turn."""
        now = self.loop.time()
        waiting = self.waiting()
        for asked in waiting:
            if asked.deadline <= now:
                asked.tell(asyncio.TimeoutError())
        left = [asked.deadline for asked in waiting if asked.deadline > now]
        self._timer = self.loop.call_at(min(left), self._expire) if left else None


class Turns:
    """The turns of one event loop.

    Args:
        under_way: How many turns may be under way.
        seconds: After which an operation has failed, waiting included.
    """

    def __init__(self, under_way: int, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = under_way
        self._seconds = seconds
        self._queue: deque[Turn] = deque()
        self._collecting: dict[Kind, Turn] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself would forget them

    async def ask(self, kind: Kind, id: str, *values: Any, size: int = 0) -> Any:
        """Send an operation with the others of its kind.

        Args:
            kind: Says how.
            id: Of the record.
            values: What else `Kind.send` needs.
            size: Bytes to send.

        Returns:
            The outcome that `Kind.send` has told, or an error: `asyncio.TimeoutError` if there was none in time.
        """
        turn = self._collecting.get(kind)
        if turn is None or not turn.has_room(id, size):
            turn = self._collecting[kind] = Turn(kind, self._loop, self)
            self._queue.append(turn)
        asked = Asked(id, values, self._loop.time() + self._seconds, turn)
        turn.add(asked, size)
        if self._places:
            self._begin()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            asked.turn.leave()
            raise

    def again(self, *parts: Sequence[Asked]) -> None:
        """Send parts of a turn by themselves, before all that wait; nothing of them may have been done."""
        for part in reversed(parts):
            turn = Turn(part[0].turn.kind, self._loop, self)
            for asked in part:
                turn.add(asked)
            self._queue.appendleft(turn)
        self._begin()

    async def close(self) -> None:
        """End the operations that wait, and after a second those under way."""
        while self._queue:
            turn = self._queue.pop()
            self._collects_no_more(turn)
            for asked in turn.waiting():
                asked.tell(ConnectionError("the connection is being closed"))
            turn.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSING)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _begin(self) -> None:
        """Start the turns for which there are places."""
        while self._places and self._queue:
            turn = self._queue.popleft()
            self._places -= 1
            # A task of its own, since a request that is cancelled must not take the others with it.
            task = self._loop.create_task(self._send(turn))
            self._tasks.add(task)
            task.add_done_callback(partial(self._end, turn))

    async def _send(self, turn: Turn) -> None:
        self._collects_no_more(turn)  # now, and not before: the rest of this turn of the loop has joined it
        turn.begin()
        if turn.asked:
            await turn.kind.send(turn)

    def _end(self, turn: Turn, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._collects_no_more(turn)  # if it was cancelled before it began
        self._places += 1
        waiting, sent = turn.waiting(), len(turn.asked)
        turn.end()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and sent > 1 and turn.kind.is_refusal(error):
            middle = len(waiting) // 2  # which may be 0, if the others have given up
            self.again(*filter(None, (waiting[:middle], waiting[middle:])))
        else:
            for asked in waiting:
                asked.tell(error or ConnectionError("the connection is being closed"))
        self._begin()

    def _collects_no_more(self, turn: Turn) -> None:
        if self._collecting.get(turn.kind) is turn:
            del self._collecting[turn.kind]
