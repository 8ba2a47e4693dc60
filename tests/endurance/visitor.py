"""A visitor, who acts at random and knows what the session must hold."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from .client import PATIENCE, Client, RefusedError
from .expected import Expected

FETCHES = 10  # of one page, concurrently
LARGE = 70_000  # characters; sessions of 64 KB are merged in a thread


async def _all(*asking: Awaitable[Any]) -> list[Any]:
    """Wait for all, even if one is refused: a late answer would be taken for one of the next session."""
    answers = await asyncio.gather(*asking, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


class Visitor(Client):
    """A client that acts.

    Args:
        rest: Seconds between two acts, now and then.
        others: As of `Client`.
    """

    def __init__(self, *others: Any, rest: float, **named: Any) -> None:
        super().__init__(*others, **named)
        self._long_rest = rest
        self._acts = [
            *[self._read, self._push, self._push_concurrently, self._stream, self._upload] * 3,
            *[self._leave, self._time_out, self._desert, self._open_socket] * 3,
            *[self._order, self._log_in, self._log_in_while_busy, self._log_out, self._rest, self._go_away],
        ]

    async def visit(self, go_on: Callable[[], bool], pause: float) -> None:
        """Act until told to stop, with pauses of so many seconds at most; in the end, check everything."""
        while go_on():
            await self._do(self._chance.choice(self._acts))
            await asyncio.sleep(self._chance.uniform(0, pause))
        await self._do(self._check)
        self._begin()

    async def _do(self, act: Callable[[], object]) -> None:
        self._tally.counts["acts"] += 1
        try:
            if self._cookie is None:
                await self._ask("GET", "/look")
            problems = await act() or []
        except RefusedError:
            self._begin()  # nobody knows what is stored now
            return
        self._count_checked()
        if self._is_late:
            self._tally.counts["late"] += 1
            self._begin()
        elif problems:
            self._tally.counts["lost"] += self._expected.lost
            self._tally.problems += [f"{self.name}, {act.__name__.strip('_')}: {problem}" for problem in problems]
            self._begin()
        elif act == self._go_away:
            self._begin()

    def _count_checked(self) -> None:
        self._tally.counts["checked"] += self._expected.checked
        self._expected.checked = 0

    # ---------------------------------------------------------------- acts: each returns problems, or None

    async def _check(self) -> list[str]:
        return self._expected.check(json.loads(await self._ask("GET", "/look")))

    async def _read(self) -> list[str]:
        await self._ask("GET", "/page")
        return await self._check()

    async def _push(self) -> None:
        await self._change("POST", "/push", takes=self._chance.uniform(0, 0.01))

    async def _push_concurrently(self) -> list[str]:
        await _all(*(self._push() for _ in range(FETCHES)))
        return await self._check()

    async def _order(self) -> list[str]:
        return self._expected.order(json.loads(await self._ask("POST", "/order"))["tags"])

    async def _stream(self) -> None:
        then = self._tag()
        await self._change("GET", "/stream", then=then)
        self._expected.acknowledge(then)

    async def _upload(self) -> list[str]:
        size = self._chance.randrange(300_000)
        tag = self._tag()
        received = int(await self._ask("PUT", "/upload", body=b"x" * size, tag=tag))
        self._expected.acknowledge(tag)
        return [] if received == size else [f"{received} of {size} bytes were received"]

    async def _time_out(self) -> None:
        tag, endless = self._tag(), self._chance.choice(["", "1"])
        within = self._chance.uniform(0, 0.01)
        answer = await self._ask("POST", "/timed-out", tag=tag, endless=endless, within=within)
        if json.loads(answer)["done"]:
            self._expected.acknowledge(tag)
        elif endless:
            self._expected.undo(tag)
        else:
            self._expected.doubt(tag)  # it may have been cancelled while it was saved

    async def _desert(self) -> list[str]:
        await self._change("POST", "/deserted")
        await self._abort("POST", "/deserted")
        return await self._check()

    async def _leave(self) -> None:
        """Close the connection in the middle of something."""
        method, path = self._chance.choice(
            [("POST", "/push"), ("GET", "/page"), ("GET", "/stream"), ("PUT", "/upload"), ("POST", "/deserted")]
        )
        await self._abort(method, path)

    async def _open_socket(self) -> list[str]:
        sent = time.monotonic()
        request = HTTPRequest(
            f"ws://127.0.0.1:{self._port}/socket", headers={"Cookie": self._cookie}, connect_timeout=PATIENCE
        )
        try:
            socket = await websocket_connect(request)
            for _ in range(self._chance.randrange(5)):
                await self._say(socket, self._tag())
            if self._chance.random() < 0.3:  # leave without waiting for an answer
                tag = self._tag()
                self._expected.doubt(tag)
                await socket.write_message(tag)
            socket.close()
        except Exception as error:  # tornado raises errors of many kinds
            if self._may_have_expired():  # then the server has closed the socket, and rightly
                raise RefusedError from error
            self._refuse("/socket", error)
        self._note_answer(sent, "/socket")
        return await self._check()

    async def _log_in(self) -> list[str]:
        expected = self._expected
        profile = self._chance.choice([100, 100, 100, LARGE])
        await self._ask("POST", "/login", rotates=True, user=self.name, profile=profile)
        expected.user, expected.profile = self.name, profile
        return await self._check()

    async def _log_in_while_busy(self) -> list[str]:
        """Log in while other requests of the page are under way, with the old cookie."""
        tags = [self._tag() for _ in range(3)]
        self._expected.doubt(*tags)  # a request with the old cookie changes nothing any more
        others = [self._ask("POST", "/push", tag=tag, takes=self._chance.uniform(0, 0.01)) for tag in tags]
        others += [self._ask("GET", "/page") for _ in range(3)]
        problems, *_ = await _all(self._log_in(), *others)
        return [*problems, *await self._check()]

    async def _log_out(self) -> list[str]:
        """Log out, and look with the old cookie whether somebody is still logged in."""
        old, problems = self._cookie, await self._check()
        if problems:
            return problems
        self._count_checked()
        await self._abort("POST", "/push")  # it may be late, and must not bring the session back
        await self._ask("POST", "/logout", rotates=True)
        self._expected = Expected()
        problems = await self._check()
        new, self._cookie = self._cookie, old
        found = json.loads(await self._ask("GET", "/look", rotates=True))
        self._cookie = new
        return [*problems, *Expected().check(found)]

    async def _rest(self) -> list[str]:
        """Come back when the session is due for renewal, in a long run."""
        await asyncio.sleep(self._long_rest)
        problems = await self._read()
        await self._push()  # a change keeps the session for sure; a read renews it a little later
        return problems

    async def _go_away(self) -> list[str]:
        """Never come back; the session expires."""
        return await self._check()
