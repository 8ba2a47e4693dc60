"""A client with a cookie: it sends requests, or breaks them off, and notes what their answers say of the session."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from .expected import Expected

PATIENCE = 120  # seconds for an answer; one that takes longer counts as none

# A session counts as kept for this part of its lifetime: stores may round its last activity.
SAFE_PART = 0.9


@dataclass
class Tally:
    """The observations of all visitors.

    Attributes:
        counts: How often something happened, by its name.
        refused: Answers other than 200, and requests without an answer.
        problems: Contents that were not as they must be.
        slowest: Seconds of the slowest answer, and its path.
    """

    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


class RefusedError(Exception):
    """No answer, or not a 200; the tally has it."""


class Client:
    """A browser of one visitor.

    Args:
        name: Of the visitor.
        port: Of the server.
        client: Sends the requests.
        tally: Is added to.
        lifetime: Seconds that a session may be idle.
        chance: Makes all the choices.
    """

    def __init__(
        self, name: str, port: int, client: AsyncHTTPClient, tally: Tally, lifetime: float, chance: random.Random
    ) -> None:
        self.name = name
        self._port = port
        self._client = client
        self._tally = tally
        self._lifetime = lifetime
        self._chance = chance
        self._numbers = itertools.count()
        self._begin()

    def _begin(self) -> None:
        """Forget the cookie."""
        self._cookie: str | None = None
        self._expected = Expected()
        self._safe_until = 0.0
        self._is_late = False  # the session may have expired, as this machine was too slow

    async def _ask(self, method: str, path: str, *, rotates: bool = False, body: bytes = b"", **query: object) -> bytes:
        """The body of an answer.

        Raises:
            RefusedError: There was none, or not a 200.
        """
        cookie, sent = self._cookie, time.monotonic()
        response = await self._fetch(method, path, body, query)
        self._note_answer(sent, path)
        line = response.headers.get("Set-Cookie", "").partition(";")[0]
        if rotates or self._cookie is None:
            self._cookie = line
        elif line and line not in (cookie, self._cookie) and not self._is_late:
            self._tally.problems.append(f"{self.name}, {path}: the session is lost, there is another cookie")
            raise RefusedError
        if method != "GET" or self._safe_until == 0:
            self._safe_until = max(self._safe_until, sent + SAFE_PART * self._lifetime)
        return response.body

    async def _fetch(self, method: str, path: str, body: bytes, query: dict[str, object]) -> HTTPResponse:
        try:
            response = await self._client.fetch(
                f"http://127.0.0.1:{self._port}{path}?{urlencode(query)}",
                method=method,
                body=None if method == "GET" else body,
                headers={"Cookie": self._cookie} if self._cookie else {},
                raise_error=False,
                connect_timeout=PATIENCE,
                request_timeout=PATIENCE,
            )
        except OSError as error:
            self._refuse(path, error)
        if response.code != 200:
            self._refuse(path, response.code)
        return response

    def _note_answer(self, sent: float, path: str) -> None:
        now = time.monotonic()
        self._tally.counts["requests"] += 1
        self._tally.slowest = max(self._tally.slowest, (now - sent, path))
        self._is_late |= self._may_have_expired()

    def _may_have_expired(self) -> bool:
        return self._safe_until != 0 and time.monotonic() > self._safe_until

    def _refuse(self, path: str, why: object) -> None:
        self._tally.refused.append(f"{self.name}, {path}: {why}")
        raise RefusedError

    async def _change(self, method: str, path: str, **query: object) -> None:
        tag = self._tag()
        await self._ask(method, path, tag=tag, **query)
        self._expected.acknowledge(tag)

    def _tag(self) -> str:
        return f"{self.name}-{next(self._numbers)}"

    async def _abort(self, method: str, path: str) -> None:
        tags = self._tag(), self._tag()
        self._expected.doubt(*tags)
        self._tally.counts["aborted"] += 1
        query = urlencode({"tag": tags[0], "then": tags[1], "takes": 0.01})
        size = 100_000 if path == "/upload" else 0
        headers = ["Host: x", f"Cookie: {self._cookie}", f"Content-Length: {size}"]
        head = "\r\n".join([f"{method} {path}?{query} HTTP/1.1", *headers, "", ""])
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(head.encode() + b"x" * self._chance.randint(0, size))
        await asyncio.sleep(self._chance.uniform(0, 0.03))
        self._chance.choice([writer.close, writer.transport.abort])()

    async def _say(self, socket, tag: str) -> None:
        sent = time.monotonic()
        await socket.write_message(tag)
        if await socket.read_message() != tag:
            raise ConnectionError("it was closed instead of an answer")
        self._note_answer(sent, "/socket")
        self._safe_until = max(self._safe_until, sent + SAFE_PART * self._lifetime)
        self._expected.acknowledge(tag)
