"""Tests of a server's driver: open WebSockets that are closed with their session."""

from __future__ import annotations

import asyncio

from tornado.httpclient import HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from drivers.serving import application
from node_session import SessionMixin, drivers
from node_session.config import Config
from node_session.drivers.turns import Turns

ENDED = (4401, "the session has ended")


class Socket(SessionMixin, WebSocketHandler):
    close_with_session = True

    async def on_message(self, message):
        await self.write_message(message)


class LogOut(SessionMixin, RequestHandler):
    def get(self):
        self.session.invalidate()


ROUTES = [("/socket", Socket), ("/logout", LogOut)]


async def connect(ask, cookie):
    return await websocket_connect(HTTPRequest(ask.url.replace("http", "ws") + "/socket", headers={"Cookie": cookie}))


async def closed_with(connection) -> tuple[int, str]:
    """Wait until the server has closed a socket; gives its code and reason."""
    assert await asyncio.wait_for(connection.read_message(), 120) is None
    connection.close()
    return connection.close_code, connection.close_reason


class SocketsContract:
    """The sockets of a program whose sessions are kept by a server."""

    def test_another_program_logs_out(self) -> None:
        """A log-out in one program closes the sockets in another one, and those of no other session."""

        async def main() -> None:
            config = await self.with_table(self.config(closeSocketsWithin=50))
            async with application(config, ROUTES) as ask, application(config, ROUTES) as ask_other:
                cookies = [(await ask(None))[2] for _ in range(2)]
                connections = [await connect(ask, cookie) for cookie in cookies]
                assert (await ask_other(cookies[0], "/logout"))[0] == 200
                assert await closed_with(connections[0]) == ENDED
                await connections[1].write_message("there?")
                assert await connections[1].read_message() == "there?"
                connections[1].close()

        asyncio.run(main())

    def test_an_open_socket_is_no_use(self) -> None:
        """A session of which nothing but an open socket is left expires, however often it is looked up."""

        async def main() -> None:
            config = await self.with_table(self.config(closeSocketsWithin=50, lifetime=1500))
            async with application(config, ROUTES) as ask:
                _, _, cookie = await ask(None)
                assert await closed_with(await connect(ask, cookie)) == ENDED

        asyncio.run(main())

    def test_five_hundred_ids(self, monkeypatch) -> None:
        """500 sessions are looked up in one turn, in a cluster in one for each of its servers, and none is read."""
        turns = []
        for name in ("_send", "_ask_alone"):
            send = getattr(Turns, name)

            def counted(self, *args, send=send):
                turns.append(args[0])
                return send(self, *args)

            monkeypatch.setattr(Turns, name, counted)

        async def main() -> None:
            driver = await drivers.create(Config.from_dict(await self.with_table(self.config())))
            ids = [f"{number:040d}" for number in range(500)]
            await asyncio.gather(*(driver.write(id, "text", None) for id in ids[::2]))
            assert await driver.alive(ids[:5]) == {*ids[:5:2]}
            turns.clear()
            assert await driver.alive(ids) == {*ids[::2]}
            assert len(turns) <= (3 if self.name == "redis-cluster" else 1)
            await driver.close()

        asyncio.run(main())
