"""Work for a thread, handed over for many requests at once.

What is asked for in one turn of the event loop goes to a thread together, and comes back together. With a hop for each
request, the threads and the loop wait for the interpreter's lock at every system call, of which replacing a file makes
seventeen; that took longer than the work. Now the loop is mostly asleep while a thread works, as the requests it serves
wait for that thread.

It is for work that is quick where all is well. Where one waits for the disk, those of the same batch wait as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Job(NamedTuple):
    future: asyncio.Future[Any]
    work: Callable[..., Any]
    args: tuple[object, ...]


class Batches:
    """Runs functions in threads of the loop's default executor. May be used by several loops."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Job]] = {}

    def run(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Call a function in a thread; gives a future of what it returns or raises."""
        loop = asyncio.get_running_loop()
        jobs = self._waiting.get(loop)
        if jobs is None:
            jobs = self._waiting[loop] = []
            loop.call_soon(self._hand_over, loop)
        future: asyncio.Future[T] = loop.create_future()
        jobs.append(_Job(future, work, args))
        return future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = self._waiting.pop(loop)
        try:
            done = loop.run_in_executor(None, _run_all, jobs)
        except RuntimeError as error:  # the executor was shut down
            _hand_back(jobs, [(None, error)] * len(jobs))
        else:
            done.add_done_callback(lambda done: _hand_back(jobs, done.result()))


def _run_all(jobs: list[_Job]) -> list[tuple[Any, BaseException | None]]:
    return [_outcome(job) for job in jobs]


def _outcome(job: _Job) -> tuple[Any, BaseException | None]:
    try:
        return job.work(*job.args), None
    except BaseException as error:  # all of them: whoever waits for it would wait for ever
        return None, error


def _hand_back(jobs: list[_Job], outcomes: list[tuple[Any, BaseException | None]]) -> None:
    for job, (result, error) in zip(jobs, outcomes, strict=True):
        if job.future.done():  # nobody waits for it any more
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
