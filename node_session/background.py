"""Work for which no request waits: renew sessions, and remove expired ones; `open_sockets` closes their WebSockets.

A session is in use while a request is under way, so its record is renewed in time: otherwise a store that expires
records by itself would have removed it before the save. Each event loop has one timer for all its requests, which runs
only while there are any.

A response whose headers were sent renews nothing: otherwise an open event stream or a WebSocket would keep its session
for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from tornado.httputil import HTTPServerRequest

from .config import Config
from .events import Events, Reported
from .loading import touch
from .open_sockets import OpenSockets
from .work import UnitOfWork

logger = logging.getLogger("node_session")

# Parts of the lifetime, which may be the session's own. A session that has been idle for half of it is renewed at the
# timer's next tick, which may be late by a quarter. A session that is loaded with less than that left is renewed
# immediately. The shortest lifetime of all sets the timer.
_TICK = 1 / 8
_DUE = 1 / 2
_URGENT = 3 / 4

# After each step of a sweep comes a rest of this many times its length, if its driver wants no shorter one. So removing
# expired sessions takes about a tenth of one thread, even if the lottery is won often and the store is large.
_REST = 9


class _UnderWay:
    """The requests under way of an event loop, and the timer of their renewals."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[_UnderWay], None]) -> None:
        self.loop = loop
        self.requests: dict[HTTPServerRequest, UnitOfWork] = {}
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None

    def tick_within(self, seconds: float) -> None:
        """Set the timer for a session with this lifetime, unless it is set for a shorter one."""
        when = self.loop.time() + seconds * _TICK
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._end_of_wait)

    def _end_of_wait(self) -> None:
        self._timer = None
        self._tick(self)


class Background:
    """The background work of a program.

    Args:
        config: The program's; its `lifetime` and `lottery` count here.
        events: Receives the end of each request.
        sweep: Removes the expired sessions, in steps. Yields after each how many seconds to rest at most.

    Attributes:
        sockets: The open WebSockets that are closed with their session.
    """

    def __init__(self, config: Config, events: Events, sweep: Callable[[], AsyncGenerator[float, None]]) -> None:
        self.sockets = OpenSockets(config.close_sockets_within)
        self._seconds = config.lifetime / 1000
        self._lottery = config.lottery
        self._events = events
        self._sweep = sweep
        self._sweep_again_at = 0.0
        self._end_of_sweep: asyncio.Future[None] | None = None  # set when a sweep is to end after its step
        self._requests: dict[asyncio.AbstractEventLoop, _UnderWay] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no strong references

    def request_began(self, request: HTTPServerRequest, work: UnitOfWork) -> None:
        """Keep a request's session alive until the request ends or its headers are sent."""
        own, seconds = work.own_lifetime, self._seconds
        if own is not None:
            seconds = own / 1000
        elif not seconds:
            return
        loop = asyncio.get_running_loop()
        here = self._requests.get(loop)
        if here is None:
            here = self._begin(loop, seconds)
        elif own is not None:
            here.tick_within(seconds)
        here.requests[request] = work
        if seconds * _URGENT < work.idle_before < math.inf:
            self._run(touch(work), "renew a session")

    def lifetime_noted(self, milliseconds: float) -> None:
        """Renew in time a session that has got this lifetime, perhaps while its request is under way."""
        here = self._requests.get(asyncio.get_running_loop())
        if here is not None:
            here.tick_within(milliseconds / 1000)

    def request_ended(self, request: HTTPServerRequest, session: Reported, work: UnitOfWork) -> None:
        """Do the work that could wait until the response has left.

        Args:
            request: The answered request.
            session: Its session.
            work: The session's.
        """
        here = self._requests.get(asyncio.get_running_loop())
        if here is not None:
            here.requests.pop(request, None)
        if work.is_left_alone and work.wants_touch:
            self._run(self._renew(request, session, work), "renew a session")
        else:
            self._events.request_ended(session, request.method or "", request.path)
        first, of = self._lottery
        if random.random() * of < first and time.monotonic() >= self._sweep_again_at:  # noqa: S311 - no secret
            self._sweep_again_at = math.inf  # one sweep at a time
            self._end_of_sweep = asyncio.get_running_loop().create_future()
            self._run(self._sweep_and_rest(self._end_of_sweep), "remove expired sessions")

    async def finish(self) -> None:
        """Wait for the tasks of this loop; another loop may not run any more.

        A sweep ends after its step, and open WebSockets are no longer closed with their session.
        """
        loop = asyncio.get_running_loop()
        end = self._end_of_sweep
        if end is not None and end.get_loop() is loop and not end.done():
            end.set_result(None)
        await self.sockets.finish()
        while here := [task for task in self._tasks if task.get_loop() is loop]:
            await asyncio.wait(here)
        if end is None or end.get_loop() is loop or not end.get_loop().is_running():
            self._sweep_again_at = 0.0  # otherwise another loop may be sweeping

    async def _renew(self, request: HTTPServerRequest, session: Reported, work: UnitOfWork) -> None:
        try:
            await touch(work)
        finally:
            self._events.request_ended(session, request.method or "", request.path)

    async def _sweep_and_rest(self, end: asyncio.Future[None]) -> None:
        started = time.monotonic()
        try:
            async with contextlib.aclosing(self._sweep()) as steps:
                async for longest_rest in steps:
                    rest = min(longest_rest, _REST * (time.monotonic() - started))
                    await asyncio.wait([end], timeout=rest)
                    if end.done():
                        break
                    started = time.monotonic()
        finally:
            now = time.monotonic()
            self._sweep_again_at = now + _REST * (now - started)

    def _begin(self, loop: asyncio.AbstractEventLoop, seconds: float) -> _UnderWay:
        for ended in [each for each in self._requests if each.is_closed()]:
            del self._requests[ended]
        here = self._requests[loop] = _UnderWay(loop, self._tick)
        here.tick_within(seconds)
        return here

    def _tick(self, here: _UnderWay) -> None:
        shortest = math.inf
        for request, work in list(here.requests.items()):
            seconds = self._seconds if work.own_lifetime is None else work.own_lifetime / 1000
            if work.headers_sent or _has_left(request) or not seconds:
                del here.requests[request]
                continue
            if work.idle > seconds * _DUE:
                self._run(touch(work), "renew a session")
            shortest = min(shortest, seconds)
        if here.requests:
            here.tick_within(shortest)
        elif self._requests.get(here.loop) is here:
            del self._requests[here.loop]

    def _run(self, coroutine: Coroutine[Any, Any, None], purpose: str) -> None:
        task = asyncio.ensure_future(_warn_if_it_fails(coroutine, purpose))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _warn_if_it_fails(coroutine: Coroutine[Any, Any, None], purpose: str) -> None:
    try:
        await coroutine
    except Exception as error:
        # No request waits for it and nothing is lost, so this is one line, not a traceback.
        logger.warning("could not %s: %s: %s", purpose, type(error).__name__, error)


def _has_left(request: HTTPServerRequest) -> bool:
    """Whether the client is gone. After a broken-off upload nothing else tells."""
    stream = getattr(request.connection, "stream", None)
    return stream is not None and stream.closed()
