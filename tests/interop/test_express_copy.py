"""`copy` between stores and formats: a user of the real Express stays logged in, there and in ours, by one cookie."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from doors import SECRET

from node_session import NodeSession

ROOT = Path(__file__).parent.parent.parent
HOUR = 3_600_000
OURS = {"cookie": "connect.sid", "otherIds": True}

# Of each store: the options of Express' store that part this test from others, and the same in our config.
APART = {
    "redis": ({"prefix": "copied:"}, {"driver": "redis", "prefix": "copied:"}),
    "postgresql": ({"tableName": "copied"}, {"driver": "database", "table": "copied"}),
    "mongodb": (
        {"collectionName": "copied", "stringify": False},
        {"driver": "database", "table": "copied", "connection": {"stringify": False}},
    ),
}


@pytest.fixture
def config(tmp_path, express_stores):
    """Writes our config for a store, parted from other tests."""

    def write(store: str, **options) -> Path:
        ours = {"secret": SECRET, "lifetime": HOUR, "sameSite": None, **options}
        if store == "file":
            ours |= {"driver": "file", "files": str(tmp_path / "copied")}
        else:
            ours |= APART[store][1]
            ours["connection"] = {**express_stores(store).config["connection"], **ours.get("connection", {})}
        path = tmp_path / f"{store}{len(options)}.json"
        path.write_text(json.dumps(ours))
        if store == "postgresql":
            run("table", path, "--create")
        return path

    return write


def run(command: str, *arguments: object) -> str:
    full = [sys.executable, "-m", "node_session", command, *map(str, arguments)]
    done = subprocess.run(full, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def content(path: Path, cookie: str) -> dict:
    """The content of the session of a browser's cookie, for a program of ours with this config."""

    async def find() -> dict:
        sessions = NodeSession(json.loads(path.read_text()))
        session = await sessions.get_session(SimpleNamespace(headers={"Cookie": cookie}, remote_ip="127.0.0.1"))
        await session.start()
        found = dict(session.all())
        await sessions.close()
        return found

    return asyncio.run(find())


@pytest.mark.parametrize("target", ["postgresql", "mongodb", "file"])
def test_logged_in_after_a_copy(express_stores, open_express_door, config, tmp_path, target):
    """From Redis to our own format in SQLite, and from there to another store of Express."""
    options = {"cookie": {"maxAge": HOUR}}
    store_options, _ = APART["redis"]
    before = open_express_door("express5", express_stores("redis"), options, storeOptions=store_options)
    calls = [
        ["login", "carl", "password of carl"],
        ["set", "cart", ["mug", {"number": 2}]],
        ["flash", "info", "Hello."],
    ]
    cookie = before.ask(calls, None)[1].partition(";")[0]
    source = config("redis", format="express-session")

    between = tmp_path / "between.json"
    connection = {"adapter": "sqlite", "database": str(tmp_path / "between.sqlite")}
    between.write_text(json.dumps({"secret": SECRET, **OURS, "driver": "database", "connection": connection}))
    assert run("copy", source, between) == "copied 1 session"
    found = content(between, cookie)
    assert found["passport"] == {"user": {"id": 7, "roles": ["läser"]}} and found["info"] == ["Hello."]

    last = config(target, format="express-session")
    assert run("copy", between, last) == "copied 1 session"
    changed = {"files": str(tmp_path / "copied")} if target == "file" else {"storeOptions": APART[target][0]}
    after = open_express_door("express4", express_stores(target), options, **changed)
    results, _ = after.ask([["user"], ["get", "cart"], ["logout"]], cookie)
    assert results == ["carl", ["mug", {"number": 2}], None]
    assert run("destroy", source, "--all", "--yes") == "destroyed 1 session"
