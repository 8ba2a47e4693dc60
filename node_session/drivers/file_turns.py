"""Work for a thread, in one hop for all requests of a turn.

The jobs of one turn of the event loop go to a thread together, and come back together (see `turns`). With a hop for
each request, the threads and the loop wait for the GIL at every one of the seventeen system calls that replace a file;
that took longer than the work. Now the loop is mostly asleep while a thread works, since the requests it serves wait
for that thread.

Use it for work that is usually quick. If one job waits for the disk, the others of its turn wait as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .per_loop import PerLoop
from .turn import Kind, Turn
from .turns import Turns

T = TypeVar("T")

_UNDER_WAY = 32  # the loop's executor has no more threads
_MOST = 1000  # jobs in a turn, so that those of one turn of the loop are one hop


class FileTurns:
    """Run functions in threads of the loop's executor. Several loops may use it."""

    def __init__(self) -> None:
        self._turns = PerLoop(_open, Turns.finish)

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Call a function in a thread; return its result, or raise its error."""
        turns = self._turns.opened() or await self._turns.get()
        outcome = await turns.ask(_JOBS, "", work, args)
        if isinstance(outcome, BaseException):
            raise outcome
        result: T = outcome
        return result


async def _open() -> Turns:
    return Turns(_UNDER_WAY)


async def _send(turn: Turn) -> None:
    outcomes = await turn.loop.run_in_executor(None, _run_all, [asked.values for asked in turn.asked])
    for asked, outcome in zip(turn.asked, outcomes, strict=True):
        asked.tell(outcome)


def _run_all(jobs: Sequence[tuple[Callable[..., Any], tuple[object, ...]]]) -> list[Any]:
    return [_outcome(work, args) for work, args in jobs]


def _outcome(work: Callable[..., Any], args: tuple[object, ...]) -> Any:
    try:
        return work(*args)
    except BaseException as error:  # any of them, or its request would wait for ever
        return error


_JOBS = Kind(_send, shares_ids=True, most=_MOST, may_be_late=True)
