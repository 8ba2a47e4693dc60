"""Work for a thread, in one batch for all requests of a turn.

The jobs of one turn of the event loop go to a thread together, and come back together. With a hop for each request, the
threads and the loop wait for the GIL at every one of the seventeen system calls that replace a file; that took longer
than the work. Now the loop is mostly asleep while a thread works, since the requests it serves wait for that thread.

It is for work that is usually quick. If one job waits for the disk, the others of its batch wait as well.
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
    """Run functions in threads of the loop's executor. Several loops may use it."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Job]] = {}

    def run(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Call a function in a thread; gives a future of its result or error."""
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
    except BaseException as error:  # any of them, or its request would wait for ever
        return None, error


def _hand_back(jobs: list[_Job], outcomes: list[tuple[Any, BaseException | None]]) -> None:
    for job, (result, error) in zip(jobs, outcomes, strict=True):
        if job.future.done():  # its request has given up
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
