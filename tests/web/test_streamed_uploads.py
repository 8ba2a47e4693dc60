"""Streamed uploads (`stream_request_body`): a handler ends one as it does without sessions, wherever it ends it.

Each scenario is run with a plain `RequestHandler`, and with sessions that have to be saved first. What the handler
sees and what the client gets must be equal, and so must the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import re
import socket
from collections import Counter, defaultdict
from urllib.parse import urlencode

import pytest
from stores import SLOW, STORES, SlowDriver
from tornado.web import Finish, HTTPError, RequestHandler, stream_request_body

from node_session import NodeSession, Session, SessionMixin
from node_session.errors import UnavailableError

pytestmark = pytest.mark.gen_test

all_stores = pytest.mark.parametrize("options", [*STORES, SLOW], ids=lambda options: options["driver"])

PIECES = [b"first-", b"second-", b"third-", b"last"]
SIZE = len(b"".join(PIECES))


# -------------------------------------------------------------------- the handlers


class Next(RequestHandler):
    def get(self):
        self.write("next")


class Seen:
    """A handler's view of one upload."""

    def __init__(self) -> None:
        self.events: list = []
        self.session: Session | None = None
        self.received = 0
        self.ended = False


class Upload(RequestHandler):
    """Ends where the query says, in the way that it says; notes all that Tornado calls."""

    def initialize(self, seen):
        self.seen = seen[self.request.uri]
        self.moment, self.way = self.get_query_argument("moment"), self.get_query_argument("way")

    def end_at(self, moment):
        if moment != self.moment or self.seen.ended:
            return
        self.seen.ended = True
        match self.way:
            case "raise":
                raise HTTPError(401)
            case "raise Finish":
                self.set_status(401)
                raise Finish("over")
            case "refuse":
                self.refuse()
            case "redirect":
                self.redirect("/login")
            case "send_error":
                self.send_error(401)
            case "finish":
                self.finish("over")
            case "flush":
                self.write("over")
                self.flush()
                self.finish()
            case "large":
                self.finish("x" * 20_000_000)

    def refuse(self):
        raise HTTPError(403, reason="CSRF token missing: send it as the form field _token or as X-CSRF-Token")

    def change(self):
        """Give the session something to save, if there is one."""

    async def prepare(self):
        self.seen.events.append("prepare")
        self.change()
        self.end_at("prepare")
        await asyncio.sleep(0)
        self.end_at("prepare, later")

    def data_received(self, chunk):
        seen = self.seen
        seen.events.append(chunk)
        seen.received += len(chunk)
        is_last = seen.received == SIZE
        if self.moment == ("after the data" if is_last else "between data"):
            asyncio.get_running_loop().call_soon(self.end_at, self.moment)
        moment = "last data" if is_last else "data"
        self.end_at(moment)
        return self.end_later(moment + ", later")

    async def end_later(self, moment):
        await asyncio.sleep(0)
        self.end_at(moment)

    def post(self):
        self.seen.events.append("post")
        self.end_at("post")
        if not self.seen.ended:
            self.write("done")

    def on_finish(self):
        self.seen.events.append(("finish", self.get_status()))
        super().on_finish()

    def on_connection_close(self):
        self.seen.events.append("connection closed")
        super().on_connection_close()


class PlainUpload(Upload):
    """With a `data_received` that is no coroutine."""

    def data_received(self, chunk):
        super().data_received(chunk).close()


class SessionUpload(SessionMixin, Upload):
    def change(self):
        self.session.increment("uploads")
        self.seen.session = self.session

    def refuse(self):
        self.check_csrf()


class SessionPlainUpload(SessionUpload, PlainUpload):
    pass


for each in (Upload, PlainUpload, SessionUpload, SessionPlainUpload):
    stream_request_body(each)


# -------------------------------------------------------------------- the clients


def body_in(framing: str) -> list[bytes]:
    """The pieces of a body, and the header before them."""
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in PIECES]
    match framing:
        case "length":
            return [b"Content-Length: %d\r\n\r\n" % SIZE, *PIECES]
        case "too long":
            return [b"Content-Length: %d\r\n\r\n" % 10**12, *PIECES]
        case "chunked":
            return [b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n"]
        case "malformed":
            return [b"Transfer-Encoding: chunked\r\n\r\n", chunks[0], b"no number\r\n", chunks[1]]
        case "half":
            return [b"Content-Length: %d\r\n\r\n" % SIZE, *PIECES[:2]]
        case "left":
            return [b"Content-Length: %d\r\n\r\n" % SIZE, PIECES[0]]
        case "nothing":
            return [b"\r\n"]
    raise ValueError(framing)


async def upload(port: int, path: str, seen: Seen, framing: str, expect: bool) -> bytes:
    """Send an upload in pieces, and the next request behind it; give all that was answered."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n".encode() + b"Expect: 100-continue\r\n" * expect
    header, *pieces = body_in(framing)
    if framing not in ("half", "left"):
        pieces.append(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        with contextlib.suppress(ConnectionError):  # the answer can be read all the same
            await loop.sock_sendall(client, head + header)
            for number, piece in enumerate(pieces, 1):
                await loop.sock_sendall(client, piece)
                await is_seen(seen, min(SIZE, sum(map(len, PIECES[:number]))))
        if framing == "left":
            return b""
        answer = b""
        with contextlib.suppress(ConnectionError):
            while got := await loop.sock_recv(client, 1 << 20):
                answer += got
    return answer


async def is_seen(seen: Seen, size: int) -> None:
    """Wait until the handler has got so much, or wants no more; then give the server time for what comes of it."""
    while seen.received < size and not seen.ended:
        await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0.001)


# -------------------------------------------------------------------- the scenarios

WAYS = ["raise", "raise Finish", "refuse", "redirect", "send_error", "finish", "flush"]
MOMENTS = ["prepare", "prepare, later", "data", "data, later", "last data", "last data, later"]
TIMERS = ["between data", "after the data"]
SCENARIOS = [  # when, how, what comes, and whether the client asks for leave to send it
    *itertools.product([*MOMENTS, "post", "never"], WAYS, ["length", "chunked"], [False, True]),
    *itertools.product(TIMERS[:1], WAYS[3:], ["length", "chunked", "half"], [False]),
    *itertools.product(TIMERS[1:], WAYS[3:], ["chunked"], [False]),
    *itertools.product(MOMENTS[:4], WAYS, ["half", "left", "malformed"], [False]),
    *itertools.product(MOMENTS[:2], WAYS, ["too long", "nothing"], [False, True]),
]


def is_possible(handler, scenario) -> bool:
    """Whether it can end there: a `data_received` that is no coroutine does not end later."""
    return not (issubclass(handler, PlainUpload) and scenario[0].endswith("data, later"))


async def run_all(app, http_server, http_port, handler) -> dict[tuple, tuple[Seen, bytes]]:
    """Run all scenarios with a handler; what it saw and what the client got, of each."""
    seen = defaultdict(Seen)
    places = asyncio.Semaphore(60)  # fewer than the system lets wait for a listening socket
    app.add_handlers(".*", [(f"/{handler.__name__}", handler, {"seen": seen}), ("/next", Next)])

    async def run(moment, way, framing, expect):
        path = f"/{handler.__name__}?" + urlencode({"moment": moment, "way": way, "in": framing, "expect": expect})
        async with places:
            return seen[path], await upload(http_port, path, seen[path], framing, expect)

    tasks = {each: asyncio.ensure_future(run(*each)) for each in SCENARIOS if is_possible(handler, each)}
    await asyncio.wait(tasks.values(), timeout=120)
    stuck = [each for each, task in tasks.items() if not task.done()]
    for task in tasks.values():
        task.cancel()
    assert not stuck
    for each in seen.values():  # of a client that has left, too
        while each.ended and each.events[-1] != "connection closed" and not any(e[0] == "finish" for e in each.events):
            await asyncio.sleep(0.001)
    await http_server.close_all_connections()
    return {each: task.result() for each, task in tasks.items()}


def compared(scenario, seen: Seen, answer: bytes) -> tuple[list, bytes]:
    """The values that must be equal with and without sessions."""
    answer = re.sub(rb"(Date|Set-Cookie): [^\r]*\r\n", b"", answer)
    if scenario[0] in TIMERS:
        # Tornado may have read the body's end while the response was held, and goes on with the next request.
        answer = answer[: answer.find(b"HTTP/1.1", 1)] if b"next" in answer else answer
    return seen.events, answer


@pytest.mark.parametrize(
    "handlers", [(Upload, SessionUpload), (PlainUpload, SessionPlainUpload)], ids=["async", "plain"]
)
@all_stores
@pytest.mark.gen_test(timeout=300)
async def test_ends_as_without_sessions(app, http_server, http_port, sessions, caplog, handlers):
    """Whenever and however it ends: the handler sees the same, the client gets the same, and the session is saved."""
    caplog.set_level(logging.WARNING)
    logs, ran = [], []
    for handler in handlers:
        caplog.clear()
        ran.append(await run_all(app, http_server, http_port, handler))
        gc.collect()
        # If data_received raises, only with sessions does the log name lost changes: no response can save them.
        lines = [each for each in caplog.records if "before its client left during an upload" not in each.getMessage()]
        logs.append(Counter((each.name, each.levelname, each.msg) for each in lines))
    bare, ours = ran
    driver = await sessions.driver()
    records = {each: asyncio.ensure_future(driver.read(seen.session.get_id())) for each, (seen, _) in ours.items()}
    for scenario, (seen, answer) in ours.items():
        assert compared(scenario, seen, answer) == compared(scenario, *bare[scenario]), scenario
        is_over = any(event[0] == "finish" for event in seen.events)
        assert (b"Set-Cookie" in answer) is (is_over and scenario[2] != "left"), scenario
        assert (await records[scenario] is not None) is is_over, scenario
    assert logs[0] == logs[1]


@pytest.mark.parametrize("moment", MOMENTS[:4])
@all_stores
@pytest.mark.gen_test(timeout=60)
async def test_large(app, http_server, http_port, moment):
    """A client may send all of a large body before it reads a large response: neither side waits for the other."""
    seen = Seen()
    path = "/large?" + urlencode({"moment": moment, "way": "large"})
    app.add_handlers(".*", [("/large", SessionUpload, {"seen": {path: seen}})])
    loop = asyncio.get_running_loop()
    sent = 0
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", http_port))
        header = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE + 30_000_000}\r\n\r\n"
        await loop.sock_sendall(client, header.encode() + PIECES[0])
        while sent < 30_000_000:
            await loop.sock_sendall(client, b"x" * 100_000)
            sent += 100_000
    await http_server.close_all_connections()
    assert ("finish", 200) in seen.events


class Broken(SlowDriver):
    """A store that goes down before anything is written."""

    async def write(self, id, payload, version):
        await asyncio.sleep(0.02)
        raise UnavailableError("it is down")


NodeSession.register_handler("goes_down", lambda config: Broken(config.lifetime))


@pytest.mark.parametrize("options", [{"driver": "goes_down"}])
@pytest.mark.gen_test(timeout=300)
async def test_failing_save(app, http_server, http_port):
    """If the session cannot be saved, the handler still gets nothing more, and the client a 503."""
    bare = await run_all(app, http_server, http_port, Upload)
    for scenario, (seen, answer) in (await run_all(app, http_server, http_port, SessionUpload)).items():
        expected = [("finish", 503) if event[0] == "finish" else event for event in bare[scenario][0].events]
        assert seen.events == expected, scenario
        assert (b"HTTP/1.1 503" in answer) is (("finish", 503) in expected and scenario[2] != "left"), scenario


@pytest.mark.parametrize("options", [{**store, "csrf": True, "saveUninitialized": True} for store in [*STORES, SLOW]])
async def test_csrf(app, http_server, http_port):
    """What the option `csrf` refuses reaches nobody: not the handler's prepare, and no byte of the body."""
    seen = defaultdict(Seen)
    app.add_handlers(".*", [("/page", SessionUpload, {"seen": seen}), ("/next", Next)])
    path = "/page?moment=never&way=none"
    seen[path].ended = True  # as far as the client is concerned: it waits for nothing
    for framing in ("length", "chunked", "half"):
        answer = await upload(http_port, path, seen[path], framing, False)
        assert answer.startswith(b"HTTP/1.1 403") and b"next" not in answer
    await http_server.close_all_connections()
    assert set(seen[path].events) == {("finish", 403), "connection closed"}
