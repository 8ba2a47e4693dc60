"""The examples of docs/websockets.md do what the page says."""

from __future__ import annotations

import asyncio

import pytest

PAGE = "docs/websockets.md"


def test_socket_that_saves(run, visit, sessions):
    """Each message of a WebSocket is in the session; flash data waits for the next page."""
    handler = run(PAGE, "class Socket")["Socket"]
    handler = type("Socket", (handler,), {"on_pong": lambda self, data: None})

    async def scenario(visitor):
        async with visitor.session() as session:
            session.flash("status", "Welcome!")
        connection = await visitor.websocket("/")
        await connection.write_message("hello")
        for _ in range(2000):
            if "messages" in await visitor.stored():
                break
            await asyncio.sleep(0.005)
        await visitor.assert_has("messages", ["hello"])
        await visitor.assert_has("status", "Welcome!")
        connection.close()

    visit(scenario, handler, node_session=sessions)


@pytest.mark.parametrize("end", ["destroyed", "another id"])
def test_socket_that_asks(run, visit, sessions, end):
    """A socket that asks before it answers learns of a logout, and of a login that has changed the id."""
    handler = run(PAGE, "class Orders")["Orders"]

    async def scenario(visitor):
        await visitor.become({"user.name": "Ann"})
        connection = await visitor.websocket("/")
        await connection.write_message("orders?")
        assert await connection.read_message() == "Orders of Ann"
        async with visitor.session() as session:
            session.invalidate() if end == "destroyed" else session.regenerate(True)
        await connection.write_message("orders?")
        assert await connection.read_message() is None
        assert connection.close_code == 4401
        connection.close()

    visit(scenario, handler, node_session=sessions)


def test_socket_that_ends_with_its_session(run, visit, sessions):
    """A socket that only says so is closed when its session is logged out."""
    handler = run(PAGE, "class News")["News"]

    async def scenario(visitor):
        await visitor.become({"user.name": "Ann"})
        connection = await visitor.websocket("/")
        await connection.write_message("news?")
        assert await connection.read_message() == "News for Ann"
        async with visitor.session() as session:
            session.invalidate()
        assert await connection.read_message() is None
        assert connection.close_code == 4401
        connection.close()

    visit(scenario, handler, node_session=sessions)


def test_event_stream(run, visit, sessions):
    """An event stream goes on while its session is alive."""
    handler = run(PAGE, "class Ticks")["Ticks"]

    async def scenario(visitor):
        await visitor.become({"user.name": "Ann"})
        body = (await visitor.get("/")).body.decode()
        assert body == "".join(f"data: {number} for Ann\n\n" for number in range(3))

    visit(scenario, handler, node_session=sessions)
