"""The adapters of databases: when they and their client libraries are imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CLIENTS = ["aiosqlite", "asyncmy", "asyncpg", "bson", "motor", "pymongo", "redis", "sqlite3"]

ADAPTERS = {
    "sqlite": ("database", {"adapter": "sqlite"}, ["aiosqlite", "sqlite3"]),
    "postgresql": ("database", {"adapter": "postgresql", "port": 1}, ["asyncpg"]),
    "mysql": ("database", {"adapter": "mysql", "port": 1}, ["asyncmy"]),
    "mongodb": ("database", {"adapter": "mongodb", "port": 1}, ["bson", "motor", "pymongo"]),
    "redis": ("redis", {"port": 1}, ["redis"]),
    "file": ("file", None, []),
    "memory": ("memory", None, []),
}

PROGRAM = """
import asyncio, json, sys
import tornado.httpclient, tornado.netutil, tornado.web, tornado.httpserver
from node_session import NodeSession, SessionMixin

config, clients = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def imported():
    return {name for name in sys.modules if name.partition(".")[0] in [*clients, "node_session"]}

class Page(SessionMixin, tornado.web.RequestHandler):
    def get(self):
        self.session.put("a", 1)

async def request():
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Page)], node_session=sessions))
    (socket,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_socket(socket)
    url = f"http://127.0.0.1:{socket.getsockname()[1]}/"
    answer = await tornado.httpclient.AsyncHTTPClient().fetch(url, raise_error=False)
    server.stop()
    await sessions.close()
    return answer.code

light = imported()
sessions = NodeSession(config)
made = imported()
code = asyncio.run(request())
tops = lambda names: sorted({name.partition(".")[0] for name in names} - {"node_session"})
print(json.dumps([tops(light), tops(made), sorted(imported() - made), code]))
"""


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_are_imported_when_a_node_session_is_made(adapter, tmp_path):
    """Importing the package imports no client library; the NodeSession imports its own, and no request does."""
    driver, connection, clients = ADAPTERS[adapter]
    config = {"secret": "s" * 40, "driver": driver, "files": str(tmp_path / "sessions")}
    if connection is not None:
        config["connection"] = {**connection, "timeout": 1_000}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(config), json.dumps(CLIENTS)], capture_output=True, text=True
    )
    light, made, late, code = json.loads(run.stdout)
    assert (light, made, late) == ([], clients, [])
    assert code in (200, 503)
