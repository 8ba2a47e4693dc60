"""The tests of every database server for requests that are no activity, and those that show no page, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from drivers.serving import ID
from node_session import NodeSession, SessionMixin
from node_session.testing import Visitor

LIFETIME = 3_600_000
OLD = 1_800_000  # how long the session was idle: far more than any test takes


class Page(SessionMixin, RequestHandler):
    def get(self):
        if self.get_query_argument("passive", ""):
            self.session.passive()
        for key in self.get_query_arguments("put"):
            self.session.put(key, True)
        if self.get_query_argument("flash", ""):
            self.session.flash("status", "Saved.")
        self.write(self.session.get("status", ""))


class Poll(Page):
    """A long poll, which goes on until it is told to end."""

    passive_session = True

    begun: asyncio.Event
    may_end: asyncio.Event

    async def get(self):
        self.begun.set()
        await self.may_end.wait()
        super().get()


class ActivityContract:
    """What passive requests and pages do on a real server; `ServerContract` has it."""

    @contextlib.asynccontextmanager
    async def _visited(self, **options) -> AsyncIterator[Visitor]:
        """A visitor of a program whose session has been idle for half its lifetime."""
        sessions = NodeSession(await self.with_table(self.config(lifetime=LIFETIME, **options)))
        Poll.begun, Poll.may_end = asyncio.Event(), asyncio.Event()
        server = HTTPServer(Application([("/", Page), ("/poll", Poll)], node_session=sessions))
        listening, port = bind_unused_port()
        server.add_socket(listening)
        visitor = Visitor(AsyncHTTPClient(force_instance=True), f"http://127.0.0.1:{port}", sessions)
        text = json.dumps({"_token": "t", "flash": {"old": [], "new": []}}, separators=(",", ":"))
        await (await sessions.driver()).write(ID, text, None, idle=OLD)
        visitor.use_id(ID)
        try:
            yield visitor
        finally:
            visitor._client.close()
            server.stop()
            await server.close_all_connections()
            await sessions.close()

    def test_passive_requests(self) -> None:
        """They write, but leave the session as old as it was, and send no cookie; a stranger's leave nothing."""

        async def main() -> None:
            async with self._visited() as visitor:
                driver = await visitor.sessions.driver()
                for path in ("/?passive=yes", "/?passive=yes&put=one", "/?passive=yes&put=two"):
                    assert "Set-Cookie" not in (await visitor.get(path)).headers
                    assert (await driver.read(ID)).idle >= OLD - 2
                stored = await visitor.stored()
                assert stored["one"] and stored["two"]
                assert "Set-Cookie" in (await visitor.get("/?put=three")).headers
                assert (await driver.read(ID)).idle < OLD
                visitor.cookie = None
                assert "Set-Cookie" not in (await visitor.get("/?passive=yes&put=one")).headers
                assert visitor.sessions.stats.created == 0

        asyncio.run(main())

    def test_a_poll_does_not_undo_a_renewal(self) -> None:
        """A session that a click has written or only renewed during a long poll is not set back by the poll's write."""

        async def main() -> None:
            for click in ("/", "/?put=clicked"):
                async with self._visited() as visitor:
                    driver = await visitor.sessions.driver()
                    poll = asyncio.ensure_future(visitor.get("/poll?put=polled"))
                    await Poll.begun.wait()
                    await visitor.get(click)
                    while (await driver.read(ID)).idle >= OLD:  # the renewal comes after the response
                        await asyncio.sleep(0.005)
                    Poll.may_end.set()
                    assert (await poll).code == 200
                    assert (await driver.read(ID)).idle < OLD
                    stored = await visitor.stored()
                    assert stored["polled"] and ("clicked" in stored) == ("clicked" in click)

        asyncio.run(main())

    def test_flash_data_waits_for_a_page(self) -> None:
        """With `flashOn` flash data stays through what is no page; the responses are private."""

        async def main() -> None:
            async with self._visited(flashOn="navigation", cacheControl="private") as visitor:
                page = {"Sec-Fetch-Mode": "navigate"}
                await visitor.get("/?flash=yes", headers=page)
                for mode in ("no-cors", "cors", "navigate"):
                    response = await visitor.get("/", headers={"Sec-Fetch-Mode": mode})
                    assert response.body == b"Saved."
                    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("private", "Cookie")
                assert (await visitor.get("/", headers=page)).body == b""

        asyncio.run(main())
