"""The document that the npm original sends to MongoDB, and ours, byte by byte.

The original's client speaks a protocol (OP_QUERY) that no server of today understands. So it talks to a socket here,
which answers as an old server would, and keeps what it was sent.
"""

from __future__ import annotations

import asyncio
import json
import socketserver
import struct
import threading

import bson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument
from servers import start

from node_session.drivers.connection import Connection
from node_session.drivers.mongo import MongoDriver

OP_REPLY, OP_QUERY = 1, 2004
OLD_SERVER = {"ismaster": True, "maxWireVersion": 2, "minWireVersion": 0, "maxBsonObjectSize": 2**24, "ok": 1}


class OldServer(socketserver.ThreadingTCPServer):
    """MongoDB of 2014, as far as an insert needs it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.inserted: list[RawBSONDocument] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Conversation(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        while head := self.request.recv(16, 0x100):  # MSG_WAITALL
            length, number, _, code = struct.unpack("<iiii", head)
            body = self.request.recv(length - 16, 0x100)
            assert code == OP_QUERY, code
            query = body[body.index(b"\0", 4) + 9 :]
            documents = [bson.encode(self.answer(RawBSONDocument(query)))]
            if not body[4:].split(b"\0")[0].endswith(b".$cmd"):
                documents = []  # a search, which finds nothing
            reply = struct.pack("<iqii", 8, 0, 0, len(documents)) + b"".join(documents)
            self.request.sendall(struct.pack("<iiii", 16 + len(reply), 1, number, OP_REPLY) + reply)

    def answer(self, query) -> dict:
        if "insert" in query:
            self.server.inserted += query["documents"]
            return {"ok": 1, "n": len(query["documents"])}
        return OLD_SERVER


@pytest.fixture
def old_server():
    with OldServer() as server:
        yield server
        server.shutdown()


@pytest.fixture
def server():
    server = start("mongodb")
    yield server
    server.stop()


def test_same_document(open_door, old_server, server):
    """For the same session at the same time, the stored document is the same."""
    connection = {"adapter": "sails-mongo", "host": "127.0.0.1", "port": old_server.server_address[1], "database": "d"}
    door = open_door("original", driver="database", connection=connection)
    door.ask([["put", "key", 'ü"\n']], None)
    (theirs,) = old_server.inserted
    document = bson.decode(theirs.raw)

    to = Connection(adapter="mongodb", host="127.0.0.1", port=server.port, database="tests")
    middle = document["lastActivity"] + 0.5  # of that millisecond, as seconds are no whole number
    driver = MongoDriver(to, "sessions", 0, clock=lambda: middle / 1000)

    async def write() -> None:
        await driver.write(document["_id"], json.loads(document["payload"]), None)
        await driver.close()

    asyncio.run(write())
    with pymongo.MongoClient("127.0.0.1", server.port, document_class=RawBSONDocument) as client:
        (ours,) = client["tests"]["sessions"].find()
    # A server puts the id first, wherever it was sent.
    assert ours.raw == bson.encode({"_id": document.pop("_id"), **document})
