"""The npm original and ours on one table of a real database, asked alternately."""

from __future__ import annotations

import asyncio
import json

import calls
import pytest
from doors import SECRET, SEQUENCES, Browser
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import start

from node_session import drivers
from node_session.config import Config
from node_session.legacy_encryption import LegacyEncrypter

LEGACY = LegacyEncrypter([SECRET])


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def server(request):
    server = start(request.param)
    yield server
    server.stop()


class Table:
    """A table, made by our DDL; `options` are those of a config that uses it."""

    def __init__(self, server, name: str, encrypt: bool) -> None:
        connection = {**server.connection, "adapter": f"sails-{server.adapter}", "charset": "utf8mb4"}
        self.options = {"driver": "database", "connection": connection, "table": name, "encrypt": encrypt}
        self.loop = asyncio.new_event_loop()
        self.driver = self.run(drivers.create(Config.from_dict({"secret": SECRET, **self.options})))
        self.run(self.driver.create_table())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def payload(self, id: str) -> str:
        """The raw content of an id's row."""
        ((payload,),) = self.run(self.driver._fetch(f"SELECT payload FROM {self.driver.table} WHERE id = '{id}'"))
        return payload

    def stored(self, id: str) -> str:
        """The text in the payload."""
        return json.loads(self.payload(id))

    def close(self) -> None:
        self.run(self.driver.close())
        self.loop.close()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "encrypted"])
def encrypt(request):
    return request.param


@pytest.fixture(scope="module")
def doors(server, encrypt, open_door):
    """The original alone on a table; the original and ours on another."""
    alone, shared = (Table(server, f"{name}_{encrypt}".lower(), encrypt) for name in ("alone", "shared"))

    def opened(side, table):
        door = open_door(side, **table.options)
        door.stored = table.stored
        return door

    yield opened("original", alone), [opened(side, shared) for side in ("original", "ours")], shared
    alone.close()
    shared.close()


@settings(SEQUENCES, max_examples=SEQUENCES.max_examples // 20)
@given(requests=calls.SEQUENCES, data=st.data())
def test_same_session(doors, encrypt, requests, data):
    """A session served by either side at random has the same results and texts as served by the original alone."""
    alone, sides, _ = doors
    pure, mixed = (Browser(LEGACY.decrypt if encrypt else lambda text, id: text) for _ in range(2))
    for each in requests:
        side = data.draw(st.integers(0, 1))
        assert mixed.visit(sides[side], each) == pure.visit(alone, each)


@pytest.mark.parametrize("value", ['"quoted"', "back\\slash", "\n\t\r\b\f\0\x1f\x7f", "ü\u2028😀", "a'; --", "%s ? $1"])
def test_same_bytes(doors, value):
    """The payload is encoded twice to the same bytes, whichever side writes it."""
    _, sides, table = doors
    payloads = []
    for side in sides:
        browser = Browser(lambda text, id: "{}")
        browser.visit(side, [["flush"], ["put", "value", value]])
        (id,) = browser.known
        payloads.append(table.payload(id))
    assert payloads[0] == payloads[1]
