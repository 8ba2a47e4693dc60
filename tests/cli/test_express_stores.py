"""The commands on the servers of express-session's stores: `check`, and `copy` between them and the formats."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from servers import Server, start
from visitors import SECRET

from cli.test_formats import COOKIE, ID, content
from node_session import drivers
from node_session.cli import DONE, UNAVAILABLE
from node_session.config import Config

EXPRESS = {"format": "express-session"}
RECORD = {
    "cookie": {**COOKIE, "path": "/app"},
    "csrfSecret": "s" * 24,
    "passport": {"user": "ann"},
    "name": "Jörg \U0001f600",
}
SERVERS = ("redis", "postgresql", "exact-mongodb")


@pytest.fixture(scope="module")
def servers():
    """Gives the server of a name, each started once."""
    started: dict[str, Server] = {}

    def get(name: str) -> Server:
        if name not in started:
            started[name] = start(name)
        return started[name]

    yield get
    for server in started.values():
        server.stop()


@pytest.fixture
def config(shop, servers):
    """Writes the config of a store on a server."""

    def write(name: str, server: str, **options) -> str:
        driver = "redis" if server == "redis" else "database"
        connection = {**servers(server).connection, **options.pop("connection", {})}
        path = shop.write(name, driver=driver, connection=connection, **options)
        if server == "postgresql":
            run("table", path, "--create")
        return path

    return write


def run(*arguments: str, code: int = DONE) -> str:
    """The whole output of a command, in a process of its own: its loop's clients go with it."""
    done = subprocess.run(
        [sys.executable, "-m", "node_session", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert done.returncode == code, done
    assert SECRET not in done.stdout + done.stderr and "pass word" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def put(path: str, record: dict, id: str = ID) -> None:
    async def write() -> None:
        driver = await drivers.create(Config.from_dict(json.loads(Path(path).read_text())))
        await driver.write(id, json.dumps(record), None)
        await driver.close()

    asyncio.run(write())


def stored(path: str, id: str = ID) -> dict | None:
    async def read() -> dict | None:
        driver = await drivers.create(Config.from_dict(json.loads(Path(path).read_text())))
        record = await driver.read(id)
        await driver.close()
        return None if record is None else json.loads(record.payload)

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("server", "connection"), [*((server, {}) for server in SERVERS), ("exact-mongodb", {"stringify": False})], ids=str
)
def test_check(config, server, connection):
    """It writes a record of its own, in the form that the store has, and leaves nothing."""
    path = config("checked.json", server, table="checked", connection=connection, **EXPRESS)
    assert "OK       a record was written, read, replaced and removed" in run("check", path)
    assert "0 sessions" in run("ls", path)


@pytest.mark.parametrize("server", SERVERS)
def test_check_of_a_store_that_is_not_there(shop, config, server):
    """A server that does not answer is a problem that names its address; a wrong password says so."""
    path = config("there.json", server, **EXPRESS)
    options = json.loads(Path(path).read_text())
    options["connection"] |= {"port": 9, "timeout": 500}
    gone = shop.write("gone.json", **options)
    assert f"PROBLEM  the store cannot be used: {options['connection']['adapter']} at 127.0.0.1:9" in run(
        "check", gone, code=UNAVAILABLE
    )


@pytest.mark.parametrize(("server", "said"), [("redis", "password"), ("postgresql", "password authentication failed")])
def test_check_of_a_wrong_password(shop, config, server, said):
    """The problem is the server's own words, without the password."""
    options = json.loads(Path(config("there.json", server, **EXPRESS)).read_text())
    options["connection"] |= {"password": "wr0ng"}
    problem = run("check", shop.write("wrong.json", **options), code=UNAVAILABLE)
    assert said in problem and "wr0ng" not in problem


def test_check_of_a_table_that_is_not_the_right_one(config, shop, servers):
    """A table of jsonb, the table of node-session and one that is missing are problems that name the cure."""
    other = json.loads(Path(config("own.json", "postgresql")).read_text())
    servers("postgresql").run_sql(
        "CREATE TABLE binary_ones (sid varchar PRIMARY KEY, sess jsonb NOT NULL, expire timestamp(6) NOT NULL)"
    )
    for table, cure in (
        ("binary_ones", 'ALTER TABLE "binary_ones" ALTER COLUMN sess TYPE json'),
        ("sessions", "is not one of connect-pg-simple; nothing was written: give the option table the name"),
        ("missing", "node_session table CONFIG.json --create makes it"),
    ):
        path = shop.write(f"{table}.json", **other | EXPRESS | {"table": table})
        assert cure in run("check", path, code=UNAVAILABLE)


@pytest.mark.parametrize("server", SERVERS)
def test_between_stores_and_formats(config, server):
    """A session goes from Redis to each store, in either format, and back, with its id and all that is in it."""
    first = config("first.json", "redis", prefix=f"first-{server}:", **EXPRESS)
    put(first, RECORD)
    shown = {key: value for key, value in RECORD.items() if key != "cookie"}

    same = config("same.json", server, table=f"same_{server[:5]}", **EXPRESS)
    assert run("copy", first, same).strip() == "copied 1 session"
    assert content(same, ID) == shown
    assert stored(same)["cookie"] == stored(first)["cookie"]

    # away from Express, and back
    other = config("other.json", server, table=f"other_{server[:5]}", cookie="connect.sid", otherIds=True)
    assert run("copy", same, other).strip() == "copied 1 session"
    assert content(other, ID) == {**shown, "flash": {"old": [], "new": []}}
    back = config("back.json", "redis", prefix=f"back-{server}:", **EXPRESS)
    assert run("copy", other, back).strip() == "copied 1 session"
    assert content(back, ID) == shown and stored(back)["cookie"]["path"] == "/"
    assert "already there" in run("copy", other, back)
    assert "1 session," in run("ls", back, "--user", "passport.user=ann")
    assert run("destroy", back, "--user", "passport.user=ann").startswith("destroyed 1 session")
    assert content(back, ID) is None
