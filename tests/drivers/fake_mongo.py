"""A server of MongoDB's protocol that says what a test wants, as for real failovers one needs a replica set."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import bson


class FakeMongo:
    """Each connection is told what `answer(number of the connection, command)` gives; by default, that all is well."""

    def __init__(self, answer, *, replica_set: bool = False) -> None:
        self.answer = answer
        self.replica_set = replica_set
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.commands: list[tuple[int, dict]] = []

    async def __aenter__(self) -> FakeMongo:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0.1)

    async def serve(self, reader, writer) -> None:
        self.writers.append(writer)
        self.connections += 1
        number = self.connections
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, request, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                if kind == 2004:  # a query of old, with which each connection begins
                    start = body.index(b"\0", 4) + 9
                    reply = struct.pack("<iqii", 0, 0, 0, 1) + bson.encode(self.greeting())
                else:
                    start = 5
                    (size,) = struct.unpack_from("<i", body, start)
                    reply = struct.pack("<iB", 0, 0) + bson.encode(self.reply(number, body[start : start + size]))
                head = struct.pack("<iiii", 16 + len(reply), 0, request, 1 if kind == 2004 else 2013)
                writer.write(head + reply)
        writer.close()

    def greeting(self) -> dict:
        me = f"127.0.0.1:{self.port}"
        member = {"setName": "rs0", "setVersion": 1, "hosts": [me], "primary": me, "me": me} if self.replica_set else {}
        return {
            **{"ismaster": True, "isWritablePrimary": True, "helloOk": True, "minWireVersion": 0, "maxWireVersion": 21},
            **{"maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000},
            **{"logicalSessionTimeoutMinutes": 30, "ok": 1.0, **member},
        }

    def reply(self, number: int, text: bytes) -> dict:
        command = bson.decode(text)
        name = next(iter(command))
        if name in ("hello", "ismaster"):
            return self.greeting()
        self.commands.append((number, command))
        return self.answer(number, command) or {"ok": 1.0, "n": 1, "nModified": 1}
