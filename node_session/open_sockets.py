"""The open WebSockets that are closed with their session.

    class Orders(SessionMixin, WebSocketHandler):
        close_with_session = True

An open socket asks nothing of the store, so it would stay open after its user has logged out, and also in another
process. Therefore each event loop has a timer, as long as it has such sockets. At each tick it looks up all their
sessions together, in pieces that do not keep the loop busy, and closes the sockets whose session is gone.

- *A socket is not use of its session*: looking it up renews nothing.
- *If the store cannot tell, no socket is closed.*
- *The handler may override what it likes*: `open`, `on_message` and `on_close` are not needed here.
- *No socket is kept alive*: the references are weak, and end with the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Iterator, Mapping, Sequence, Set

from tornado.websocket import WebSocketHandler

from . import lifetimes
from .drivers.base import pieces
from .records import Lack, Records
from .state import GONE
from .work import UnitOfWork

logger = logging.getLogger("node_session")

CODE = 4401
"""The close code that the browser sees. Codes from 4000 on are for applications; 401 is "log in" in HTTP."""

REASON = "the session has ended"

_INTERVAL = 0.8  # from the end of a look-up to the next one, as a part of the time limit; the rest is for the look-up

_CLOSINGS = 50  # that are done in one turn of the loop; each writes to its connection

_Socket = weakref.ref[WebSocketHandler]


class OpenSockets:
    """A program's open sockets that are closed with their session.

    Args:
        within: Milliseconds in which a socket is closed after its session has ended, if the store answers quickly.
    """

    def __init__(self, within: float) -> None:
        self._seconds = within / 1000 * _INTERVAL
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}

    @contextlib.contextmanager
    def watching(self, handler: WebSocketHandler, work: UnitOfWork) -> Iterator[None]:
        """Close a handler's socket with its session, if it says so, as long as the context is open."""
        if not getattr(handler, "close_with_session", False):
            yield
            return
        watch = self._watch()
        watch.add(handler, work)
        try:
            yield
        finally:
            watch.remove(handler)

    async def finish(self) -> None:
        """Forget the sockets of this loop, and wait for the look-up under way."""
        watch = self._watches.pop(asyncio.get_running_loop(), None)
        if watch is not None:
            await watch.finish()

    def _watch(self) -> _Watch:
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            for ended in [each for each in self._watches if each.is_closed()]:
                del self._watches[ended]
            watch = self._watches[loop] = _Watch(loop, self._seconds)
        return watch


class _Watch:
    """The sockets of one event loop, and its timer.

    Args:
        loop: The event loop.
        seconds: Between two look-ups.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._sockets: weakref.WeakKeyDictionary[WebSocketHandler, UnitOfWork] = weakref.WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._is_down = False  # whether the last look-up failed, which the log has said

    def add(self, handler: WebSocketHandler, work: UnitOfWork) -> None:
        self._sockets[handler] = work
        self._records = work.records  # those of all: after `NodeSession.close` others may be made, on the same store
        if self._timer is None and self._looking is None:
            self._set_timer()

    def remove(self, handler: WebSocketHandler) -> None:
        self._sockets.pop(handler, None)
        if not self._sockets and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def finish(self) -> None:
        for handler in list(self._sockets):
            self.remove(handler)
        if self._looking is not None:
            await asyncio.wait([self._looking])

    def _set_timer(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._sockets:
            self._looking = self._loop.create_task(self._look())
            self._looking.add_done_callback(self._has_looked)

    def _has_looked(self, looking: asyncio.Task[None]) -> None:
        self._looking = None
        if self._sockets and not looking.cancelled():
            self._set_timer()

    async def _look(self) -> None:
        """Look up all sessions once, and close the sockets of those that are gone."""
        try:
            for some in pieces(self._sockets.keyrefs()):
                await self._look_at(some, self._records)
                await asyncio.sleep(0)
        except Exception as error:  # of any driver; the timer must go on
            if not self._is_down:
                what = f"{type(error).__name__}: {error}"
                logger.warning("could not look up the sessions of open WebSockets; none is closed: %s", what)
            self._is_down = True
        else:
            self._is_down = False

    async def _look_at(self, sockets: Sequence[_Socket], records: Records) -> None:
        ids = self._ids_of(sockets)
        alive = await records.driver.alive([*{*ids.values()}])
        if not records.can_shift:  # then the store does not know the lifetimes that sessions have of their own
            alive -= await self._find_ended(ids, records)
        closed = 0
        for socket, id in ids.items():
            if self._close_if_over(socket, id, alive):
                closed += 1
                if closed % _CLOSINGS == 0:
                    await asyncio.sleep(0)

    def _ids_of(self, sockets: Sequence[_Socket]) -> dict[_Socket, str]:
        """List the ids of the sessions of these sockets, except those that were never stored."""
        ids = {}
        for socket in sockets:
            work = self._work_of(socket)
            if work is not None and (work.version is not None or work.state is GONE):
                ids[socket] = work.id
        return ids

    async def _find_ended(self, ids: Mapping[_Socket, str], records: Records) -> set[str]:
        """Load the sessions that have a lifetime of their own; return the ids of those that are over."""
        works = [work for work in map(self._work_of, ids) if work is not None]
        own = {work.id for work in works if lifetimes.KEY in work.content.attributes}
        return {id for id in own if isinstance(await records.load(id), Lack)}

    def _close_if_over(self, socket: _Socket, id: str, alive: Set[str]) -> bool:
        """Close a socket if its session is over; tell whether it was closed."""
        handler, work = socket(), self._work_of(socket)
        if handler is None or work is None or work.id != id:  # it has left meanwhile, or has another session
            return False
        policy, clock = work.records.policy, work.records.clock
        if id in alive and not policy.is_over(work.content.attributes, clock()):
            return False
        self.remove(handler)  # the client may take its time to answer
        try:
            handler.close(CODE, REASON)
        except Exception:  # of an override
            logger.exception("could not close a WebSocket whose session has ended")
        return True

    def _work_of(self, socket: _Socket) -> UnitOfWork | None:
        handler = socket()
        return None if handler is None else self._sockets.get(handler)
