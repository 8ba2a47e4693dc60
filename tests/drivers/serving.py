"""An application with sessions, for tests of drivers over HTTP, and a program that is interrupted."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin

SECRET = "a-secret-of-more-than-thirty-two-characters"
ID = "a" * 40

TABLES = (f"sessions_{number}" for number in itertools.count())


class Counter(SessionMixin, RequestHandler):
    """Counts the requests of a session."""

    def get(self):
        self.write(str(self.session.increment("count")))


class Reader(SessionMixin, RequestHandler):
    """Changes nothing."""

    def get(self):
        self.write(str(self.session.get("count")))


@contextlib.asynccontextmanager
async def application(config: dict, routes=()):
    """Serves `Counter` and `routes`; gives a function that asks with a cookie, for status, body and cookie.

    The function's `url` is the application's.
    """
    sessions = NodeSession(config)
    server = HTTPServer(Application([("/", Counter), ("/read", Reader), *routes], node_session=sessions))
    listening, port = bind_unused_port()
    server.add_socket(listening)
    client = AsyncHTTPClient(force_instance=True, max_clients=600)

    async def ask(cookie: str | None, path: str = "/") -> tuple[int, str, str | None]:
        headers = {"Cookie": cookie} if cookie else {}
        answer = await client.fetch(
            f"http://127.0.0.1:{port}{path}", headers=headers, raise_error=False, request_timeout=30
        )
        sent = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer.code, answer.body.decode(), sent or cookie

    ask.url = f"http://127.0.0.1:{port}"
    try:
        yield ask
    finally:
        client.close()
        server.stop()
        await server.close_all_connections()
        await sessions.close()


# A program that ends without closing its driver, which is referred to until the end.
INTERRUPTED = """
import asyncio, json, sys
from node_session import drivers
from node_session.config import Config

async def main():
    global driver
    driver = await drivers.create(Config.from_dict(json.loads(sys.argv[1])))
    await driver.write("a" * 40, "text", None)
    assert (await driver.read("a" * 40)).payload == "text"
    raise KeyboardInterrupt

asyncio.run(main())
"""


def check_interrupted(config: dict) -> None:
    """A program that is interrupted ends immediately, although nobody closes its driver."""
    program = [sys.executable, "-c", INTERRUPTED, json.dumps(config)]
    told = subprocess.run(program, capture_output=True, text=True, timeout=30).stderr.splitlines()
    assert "KeyboardInterrupt" in told
