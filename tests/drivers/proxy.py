"""A proxy that has the faults of a network: connections that are cut, mute or forgotten."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """Passes connections on to a server; can cut them all, or let them in and never pass anything on.

    Or it can forget those that are there now, as a firewall does: nothing says so, and new ones work. With
    ``answers``, only what the server says is lost. Or it passes on so many answers more, and cuts the connection in
    place of the next one (`answers_left`).
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.mute = False
        self.connections = self.forgotten = self.unanswered = 0
        self.answers_left: int | None = None
        self.writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error) -> None:
        self.server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    def forget(self, *, answers: bool = False) -> None:
        self.unanswered = self.connections
        if not answers:
            self.forgotten = self.connections

    async def serve(self, reader, writer) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(OSError, asyncio.CancelledError):
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            self.writers |= {writer, forth}
            await asyncio.gather(
                self.pump(reader, forth, lambda: self.mute or number <= self.forgotten),
                self.pump(back, writer, lambda: self.mute or number <= self.unanswered, self.cuts_here),
            )

    def cuts_here(self) -> bool:
        if self.answers_left is None:
            return False
        self.answers_left -= 1
        if self.answers_left >= 0:
            return False
        self.answers_left = None
        return True

    async def pump(self, reader, writer, is_mute, cuts_here=lambda: False) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                while is_mute():
                    await asyncio.sleep(0.01)
                if cuts_here():
                    writer.transport.abort()
                    return
                writer.write(data)
                await writer.drain()
        writer.close()


async def fill_pool(proxy: Proxy, ask) -> None:
    """Have several connections in the pool, however fast each request is answered."""
    while proxy.connections < 4:
        proxy.mute = True
        asking = []
        for _ in range(4):
            asking.append(asyncio.ensure_future(ask()))
            await asyncio.sleep(0.05)
        proxy.mute = False
        assert {answer[0] for answer in await asyncio.gather(*asking)} == {200}
