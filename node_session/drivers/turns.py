"""Operations of many requests, sent to a back-end together, for all drivers.

The operations of one turn of the event loop go to the back-end in one statement, thread hop or packet, and come back
together: a round trip for each was most of their cost.

- *An answer reaches the request that asked.*
- *A request that gives up* does not affect the others. If nobody waits for a turn any more, it frees its place, unless
  it ends by itself in a moment: to cancel a statement costs its connection.
- *An operation that fails fails alone.* If the back-end refuses a turn and has done nothing, halves of it are sent
  again, and halves of those, until only the operations at fault are left.
- *No operation that may have succeeded is sent twice.* After any other error each operation has that error.
- *First come, first served.* The number of turns under way is limited; the others wait in a queue of our own.
  (asyncio's Queue and Semaphore let newcomers overtake a waiter that has been woken, so a pool built on them starves
  some requests under load.) Newcomers join the last waiting turn of their kind: a busy back-end gets fewer and larger
  turns.
- *Two changes of one record* never share a turn.

While requests come one at a time, each sends its operation itself: collecting costs a task and two turns of the loop.
If such a request is cancelled, its statement is cancelled with it. So for a while after such a cancellation, all
operations are collected.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from async_timeout import timeout_at

from .turn import MOMENT, Asked, Kind, Turn

_WARY = 100  # turns, after a request was cancelled, that requests do not send themselves

_LATE = 0.02  # seconds by which a timer is late if the loop had no time for it; then no turn has had a chance either


class Turns:
    """The turns of one event loop.

    Args:
        under_way: The maximum number of turns under way.
        seconds: Time limit of an operation, waiting included.
    """

    def __init__(self, under_way: int, seconds: float = math.inf) -> None:
        self._lock = threading.Lock()  # decides whether an operation is done or its time is over
        self._loop = asyncio.get_running_loop()
        self._places = under_way
        self._seconds = seconds
        self._queue: deque[Turn] = deque()
        self._collecting: dict[Kind, Turn] = {}
        self._under_way: set[Turn] = set()
        self._timer: asyncio.TimerHandle | None = None  # one serves all
        self._wary = 1  # so many turns of one operation only must come before requests send them themselves

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
        if not self._wary and not self._under_way and not self._queue and not kind.needs_task:
            return await self._ask_alone(kind, id, values)
        turn = self._collecting.get(kind)
        if turn is None or not turn.has_room(id, size):
            turn = self._collecting[kind] = self._turn(kind)
            self._queue.append(turn)
        asked = Asked(id, values, self._loop.time() + self._seconds, turn)
        turn.add(asked, size)
        if self._timer is None:
            self._set_timer(asked.deadline)
        if self._queue and self._places:
            self._begin()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            self._wary = _WARY
            asked.turn.leave()
            raise

    async def _ask_alone(self, kind: Kind, id: str, values: tuple[Any, ...]) -> Any:
        """Send an operation in the task of its request, as no other request is there."""
        turn = self._turn(kind)
        asked = Asked(id, values, self._loop.time() + self._seconds, turn)
        turn.add(asked)
        self._places -= 1
        self._under_way.add(turn)
        error: BaseException | None = None
        try:
            try:
                async with timeout_at(None if kind.may_be_late else asked.deadline):
                    await kind.send(turn)
            except Exception as raised:
                error = raised
            finally:
                self._end(turn, error)
            return await asked.answer  # which comes later if it was sent again
        except asyncio.CancelledError:
            self._wary = _WARY
            asked.turn.leave()
            raise

    def again(self, *parts: Sequence[Asked], kind: Kind | None = None) -> None:
        """Send parts of a turn again, before all that wait; nothing of them was done.

        Args:
            parts: None of them empty; of other `Turns` as well.
            kind: How; None: as they were sent.
        """
        for part in reversed(parts):
            turn = self._turn(kind or part[0].turn.kind)
            for asked in part:
                turn.add(asked)
            self._queue.appendleft(turn)
            if self._timer is not None and self._timer.when() > part[0].deadline:
                self._timer.cancel()
                self._timer = None
            if self._timer is None:
                self._set_timer(part[0].deadline)
        self._begin()

    async def finish(self, seconds: float | None = None) -> None:
        """Send the operations that wait, and wait for all, within a time limit."""
        end = math.inf if seconds is None else self._loop.time() + seconds
        while self._under_way and self._loop.time() < end:
            ends = [turn.task or turn.asked[0].answer for turn in self._under_way]
            if all(end.done() for end in ends):
                await asyncio.sleep(0.001)  # a request has its outcome, and is still at work
            else:
                await asyncio.wait(ends, timeout=seconds)

    async def close(self) -> None:
        """End the operations that wait, and after a moment those under way."""
        while self._queue:
            turn = self._queue.pop()
            self._collects_no_more(turn)
            for asked in turn.waiting():
                asked.tell(_closing())
            turn.end()
        await self.finish(MOMENT)
        for turn in self._under_way:
            turn.close(_closing())
        while tasks := [turn.task for turn in self._under_way if turn.task]:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self, kind: Kind) -> Turn:
        return Turn(kind, self._loop, self._lock, self.again, self._seconds)

    def _begin(self) -> None:
        """Start the turns for which there are places."""
        while self._places and self._queue:
            turn = self._queue.popleft()
            self._places -= 1
            self._under_way.add(turn)  # the loop itself would forget its task
            # A task of its own, since a request that is cancelled must not take the others with it.
            turn.task = self._loop.create_task(self._send(turn))
            turn.task.add_done_callback(partial(self._has_ended, turn))

    async def _send(self, turn: Turn) -> None:
        self._collects_no_more(turn)  # now, and not before: the rest of this turn of the loop has joined it
        turn.asked = turn.waiting()
        self._wary = max(0, self._wary - 1) if len(turn.asked) == 1 else max(1, self._wary)
        if turn.asked:
            await turn.kind.send(turn)

    def _has_ended(self, turn: Turn, task: asyncio.Task[None]) -> None:
        self._collects_no_more(turn)  # if it was cancelled before it began
        self._end(turn, None if task.cancelled() else task.exception())

    def _end(self, turn: Turn, error: BaseException | None) -> None:
        """Free the place of a turn, and settle its operations without an outcome."""
        self._under_way.discard(turn)
        self._places += 1
        waiting, sent = turn.waiting(), len(turn.asked)
        turn.end()
        if waiting and isinstance(error, Exception) and sent > 1 and turn.kind.is_refusal(error):
            middle = len(waiting) // 2  # which may be 0, if the others have given up
            self.again(*filter(None, (waiting[:middle], waiting[middle:])))
        else:
            for asked in waiting:
                asked.tell(error or _closing())
        self._begin()

    def _collects_no_more(self, turn: Turn) -> None:
        if self._collecting.get(turn.kind) is turn:
            del self._collecting[turn.kind]

    def _expire(self, is_last_call: bool = False) -> None:
        """End the waiting of the requests whose time is over."""
        now, turns = self._loop.time(), [*self._under_way, *self._queue]
        deadlines = [asked.deadline for turn in turns for asked in turn.waiting()]
        if not is_last_call and deadlines and min(deadlines) < now - _LATE:
            self._timer = self._loop.call_later(_LATE, self._expire, True)
            return
        for turn in turns:
            turn.expire(now)
        self._timer = None
        if left := [deadline for deadline in deadlines if deadline > now]:
            self._set_timer(min(left))

    def _set_timer(self, deadline: float) -> None:
        if deadline < math.inf:
            self._timer = self._loop.call_at(deadline, self._expire)


def _closing() -> ConnectionError:
    return ConnectionError("the connection is being closed")
