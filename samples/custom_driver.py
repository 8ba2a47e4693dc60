"""A driver of your own: three methods, here over a dict.

python samples/custom_driver.py [port]
"""

from __future__ import annotations

import asyncio
import sys

from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin


class DictDriver:
    """Sessions in a dict. If two requests save one concurrently, the later wins.

    To merge them, derive from `node_session.drivers.Driver`, and test with `node_session.testing`.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def read(self, id: str) -> str | None:
        return self.texts.get(id)

    async def write(self, id: str, text: str) -> None:
        self.texts[id] = text

    async def destroy(self, id: str) -> None:
        self.texts.pop(id, None)


NodeSession.register_handler("dict", lambda config: DictDriver())

SESSIONS = NodeSession({"secret": "a-secret-for-this-sample-only-never-for-yours", "driver": "dict"})


class Page(SessionMixin, RequestHandler):
    """A list of collected words."""

    def get(self) -> None:
        if self.get_query_argument("word", ""):
            self.session.push("words", self.get_query_argument("word"))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(" ".join(self.session.get("words", ["Say it: /?word=hello"])))


async def main(port: int = 3000) -> None:
    """Serve until the process is ended."""
    Application([("/", Page)], node_session=SESSIONS).listen(port, "127.0.0.1")
    print(f"http://127.0.0.1:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
