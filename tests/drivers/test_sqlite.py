"""The SQLite driver, on real files."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pymongo
import pytest

from drivers.clock import ClockContract
from drivers.serving import ID, SECRET, application, check_interrupted
from node_session import NodeSession
from node_session.drivers.sqlite import SqliteDriver
from node_session.errors import ConfigError, ConflictError, DamagedError, UnavailableError


class TestContract(ClockContract):
    """The SQLite driver keeps the contract."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.path = str(tmp_path / "deep" / "sessions.sqlite")

    def make_driver(self, lifetime):
        return SqliteDriver(self.path, "sessions", lifetime, clock=self.clock)


class TestContractInMemory(TestContract):
    """So does one without a file."""

    def make_driver(self, lifetime):
        return SqliteDriver(":memory:", "sessions", lifetime, clock=self.clock)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "sessions.sqlite")


def test_record(path):
    """The record is the original's: the text as a JSON string, the time in milliseconds."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        await driver.write(ID, '{"a":"ü\\n"}', None)
        await driver.close()

    asyncio.run(main())
    with sqlite3.connect(path) as database:
        ((id, payload, last_activity),) = database.execute("SELECT id, payload, lastActivity FROM sessions")
    database.close()
    assert (id, payload) == (ID, '"{\\"a\\":\\"ü\\\\n\\"}"')
    assert abs(last_activity - time.time() * 1000) < 60_000


def test_private_file(tmp_path):
    """The file and its folder, with the log beside it, are their owner's alone."""

    async def main():
        driver = SqliteDriver(str(tmp_path / "own" / "sessions.sqlite"), "sessions", 0)
        await driver.write(ID, "text", None)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "own").iterdir()}
        await driver.close()
        return modes

    modes = asyncio.run(main())
    assert "sessions.sqlite-wal" in modes and set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def test_default_file(tmp_path):
    """Without a connection, the file is beside the folder of the file driver."""

    async def main():
        async with application({"secret": SECRET, "driver": "database", "files": str(tmp_path / "sessions")}) as ask:
            _, _, cookie = await ask(None)
            await asyncio.gather(*(ask(cookie) for _ in range(20)))
            assert (await ask(cookie, "/read"))[1] == "21"

    asyncio.run(main())
    assert (tmp_path / "sessions.sqlite").is_file() and not (tmp_path / "sessions").exists()


@pytest.mark.parametrize(("adapter", "is_file"), [("sails-disk", True), ("sqlite", True), ("sails-memory", False)])
def test_adapters(tmp_path, adapter, is_file):
    """The original's embedded adapters are SQLite here; sails-memory has no file."""

    async def main():
        config = {"secret": SECRET, "driver": "database", "connection": {"adapter": adapter}}
        async with application({**config, "files": str(tmp_path / "sessions")}) as ask:
            _, _, cookie = await ask(None)
            assert (await ask(cookie))[1] == "2"

    asyncio.run(main())
    assert bool(list(tmp_path.iterdir())) is is_file


def test_reading_does_not_wait_for_a_writer(path):
    """While another process holds the write lock, sessions are read; a write waits, and then says what is wrong."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0, timeout=200)
        version = await driver.write(ID, "text", None)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert (await driver.read(ID)).payload == "text"
        with pytest.raises(UnavailableError, match="locked"):
            await driver.write(ID, "mine", version)
        other.execute("COMMIT")
        await driver.write(ID, "mine", version)
        other.close()
        await driver.close()

    asyncio.run(main())


def test_reading_that_has_to_wait(path):
    """A read that finds the database locked, as while it is recovered, waits in the thread and not in the loop."""

    class Locked:
        def execute(self, *args):
            raise sqlite3.OperationalError("database is locked")

        def close(self):
            pass

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        await driver.write(ID, "text", None)
        opening = next(iter(driver._connections._opened.values()))
        opening.result().reader.close()
        driver._connections._opened[asyncio.get_running_loop()] = made = asyncio.get_running_loop().create_future()
        made.set_result(opening.result()._replace(reader=Locked()))
        assert (await driver.read(ID)).payload == "text"
        await driver.close()

    asyncio.run(main())


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"x" * 2000])
def test_not_a_database(path, content):
    """A file that is no database is an error that names it, and is left as it is."""
    Path(path).write_bytes(content)

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        for _ in range(2):
            with pytest.raises(UnavailableError, match=r"sessions\.sqlite"):
                await driver.read(ID)
        await driver.close()

    asyncio.run(main())
    assert Path(path).read_bytes() == content


def test_damaged_payload(path):
    """A payload that is no JSON string is damaged, and does not stop a listing."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        await driver.write(ID, "text", None)
        with sqlite3.connect(path) as other:
            other.execute("UPDATE sessions SET payload = '{'")
        other.close()
        with pytest.raises(DamagedError):
            await driver.read(ID)
        assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]
        await driver.close()

    asyncio.run(main())


def test_many_records_are_listed(path):
    """A listing is whole, however many pages it takes."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        for number in range(1203):
            await driver.write(f"{number:040d}", str(number), None)
        assert [int(entry.payload) async for entry in driver.scan()] == list(range(1203))
        await driver.close()

    asyncio.run(main())


def test_durable(path):
    """With durable, each write waits for the disk."""

    async def synchronous(durable):
        driver = SqliteDriver(path, "sessions", 0, durable=durable)
        writer = (await driver._connections.get()).writer.connection
        ((level,),) = await writer.execute_fetchall("PRAGMA synchronous")
        await driver.close()
        return level

    assert (asyncio.run(synchronous(False)), asyncio.run(synchronous(True))) == (1, 2)


def test_cancelled_write(path):
    """A request that is cancelled while it writes neither stops the driver nor leaves a lock."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        version = await driver.write(ID, "0", None)
        for number in range(20):
            task = asyncio.ensure_future(driver.write(ID, str(number), version))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            version = (await driver.read(ID)).version
        await driver.close()

    asyncio.run(main())


PROGRAM = """
import asyncio, json, os, sys
from tornado.process import fork_processes
from node_session import drivers
from node_session.config import Config
from node_session.errors import ConflictError

config = Config.from_dict(json.loads(sys.argv[1]))
ID = "a" * 40

async def made():
    driver = await drivers.create(config)
    await driver.write(ID, "0", None)
    return driver

async def count(driver):
    for _ in range(50):
        while True:
            record = await driver.read(ID)
            try:
                await driver.write(ID, str(int(record.payload) + 1), record.version)
                break
            except ConflictError:
                pass
    await driver.close()

driver = asyncio.run(made())  # opened before the fork, on purpose
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        asyncio.run(count(driver))
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)

async def total():
    print((await driver.read(ID)).payload)
    await driver.close()

asyncio.run(total())
"""


def test_after_a_fork(path):
    """A driver that was used before a fork is used by each child with connections of its own; no count is missed."""
    config = {"secret": SECRET, "driver": "database", "connection": {"adapter": "sqlite", "database": path}}
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(config)]
    assert subprocess.run(program, capture_output=True, text=True, check=True, timeout=120).stdout.strip() == "200"


@pytest.mark.parametrize("connection", [{"adapter": "sqlite"}, {"adapter": "sails-memory"}])
def test_interrupted(tmp_path, connection):
    """See `check_interrupted`: aiosqlite's thread, too, ends with the program."""
    files = str(tmp_path / "sessions")
    check_interrupted({"secret": SECRET, "driver": "database", "files": files, "connection": connection})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"connection": {"adapter": "oracle"}}, "adapter 'oracle' is not known"),
        ({"connection": {"adapter": "sqlite", "databse": "x"}}, "databse: is not known; did you mean 'database'?"),
        ({"connection": {"adapter": "sqlite", "timeout": "5s"}}, "timeout: must be a number of milliseconds"),
        ({"connection": {"adapter": "sqlite", "port": 99999}}, "port: must be a number from 1 to 65535, not 99999"),
        ({"connection": {"password": 12345678}}, "password: must be a string, not int"),
        ({"connection": {"poolSize": 0}}, "poolSize: must be a whole number"),
        ({"table": "a; DROP TABLE b"}, "table: must be a name"),
        ({"connection": {"url": "host/database", "user": 5}}, "url: must be a URL such as"),
    ],
)
def test_wrong_options(options, told):
    """Wrong options of a connection are told at construction, all of them, and no password with them."""
    with pytest.raises(ConfigError) as error:
        NodeSession({"secret": SECRET, "driver": "database", **options})
    assert told in str(error.value) and "12345678" not in str(error.value)


@pytest.mark.parametrize(
    ("adapter", "client", "extra"),
    [("postgresql", "asyncpg", "postgresql"), ("sails-mysql", "asyncmy", "mysql"), ("redis", "redis", "redis")],
)
def test_missing_client(monkeypatch, adapter, client, extra):
    """A missing client library is told at construction, with what to install."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == client else find_spec(name))
    with pytest.raises(ConfigError, match=rf'needs {client}: pip install "node-session\[{extra}\]"'):
        NodeSession({"secret": SECRET, "driver": "database", "connection": {"adapter": adapter}})


def test_options_of_waterline_are_none_of_ours():
    """Options that only the original's adapters know are ignored, so that one dict configures both."""
    connection = {"adapter": "sqlite", "schema": True, "wlNext": {}, "password": "", "port": None}
    NodeSession({"secret": SECRET, "driver": "database", "connection": connection})


def test_errors_of_the_folder(tmp_path):
    """A folder that cannot be made is told as what it is."""
    (tmp_path / "file").write_text("")

    async def main():
        driver = SqliteDriver(str(tmp_path / "file" / "sessions.sqlite"), "sessions", 0)
        with pytest.raises(UnavailableError, match=r"sessions\.sqlite"):
            await driver.read(ID)
        await driver.close()

    asyncio.run(main())


def test_create_conflict_in_two_processes(path):
    """Two drivers that create one record: one does."""

    async def main():
        first, second = (SqliteDriver(path, "sessions", 0) for _ in range(2))
        await first.write(ID, "first", None)
        with pytest.raises(ConflictError):
            await second.write(ID, "second", None)
        await first.close()
        await second.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        ({"adapter": "redis", "database": "sessions"}, "database: must be a number for Redis, not 'sessions'"),
        ({"adapter": "redis", "url": "redis://h/abc"}, "the database of Redis is a number"),
        ({"adapter": "redis", "url": "http://h/0"}, "url: begins with 'redis'"),
        ({"adapter": "redis", "url": "redis://h/0", "ssl": True}, "begins with 'rediss' for TLS"),
        ({"adapter": "redis", "client": object()}, "client: only MongoDB"),
        ({"adapter": "mysql", "url": "postgres://h/d"}, "url: begins with 'mysql'"),
        ({"adapter": "mysql", "url": "mysql://h/d?ssl-mode=REQUIRED"}, "for TLS set ssl to true"),
        ({"adapter": "sqlite", "url": "sqlite:///x.db"}, "url: SQLite takes none"),
        ({"adapter": "mongodb", "client": pymongo.MongoClient(connect=False)}, "client: must be asynchronous"),
        ({"adapter": "mongodb", "url": "mongodb://a,b:99999/d"}, "not this one (not shown"),
        ({"adapter": "redis", "url": "redis://user:1234/se@cret@h/0"}, "percent-encoded"),
        ({"adapter": "postgresql", "ssl": "yes"}, "ssl: must be true, false"),
    ],
    ids=str,
)
def test_misfits(connection, told):
    """What is no connection for its adapter is told at construction, and never a part of a password."""
    with pytest.raises(ConfigError) as error:
        NodeSession({"secret": SECRET, "driver": "database", "connection": connection})
    assert told in str(error.value) and "cret@" not in str(error.value)


def test_writes_do_not_wait_one_after_the_other(path):
    """While another process writes for long, all who want to write are told so within about one time limit."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0, timeout=2000)
        await driver.write(ID, "text", None)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writes = [driver.write(f"{number:040d}", "text", None) for number in range(20)]
        outcomes = await asyncio.wait_for(
            asyncio.gather(*writes, return_exceptions=True), 20
        )  # one after the other: 40
        assert {type(each) for each in outcomes} == {UnavailableError}
        other.close()
        await driver.close()

    asyncio.run(main())


def test_table_with_another_column(path):
    """A record that a table of somebody else's refuses is an error, and no session that vanishes."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, payload TEXT, lastActivity, createdAt NOT NULL)")
    database.close()

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        with pytest.raises(UnavailableError, match="createdAt"):
            await driver.write(ID, "text", None)
        await driver.close()

    asyncio.run(main())


@pytest.mark.parametrize(("number", "size", "turns"), [(3000, 100, 6), (60, 50_000, 25)])
def test_scan_lets_others_have_their_turn(path, number, size, turns):
    """Listing all records reads some at a time, of so many bytes, and lets the event loop go on in between."""

    async def main():
        driver = SqliteDriver(path, "sessions", 60_000)
        ids = [f"{each:040d}" for each in range(number)]
        await asyncio.gather(*(driver.write(id, "x" * size, None) for id in ids))
        counted = 0

        async def count():
            nonlocal counted
            while True:
                counted += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await asyncio.sleep(0)
        found, before = [], counted
        async for entry in driver.scan():
            found.append(entry.id)
        counting.cancel()
        assert found == ids and counted - before >= turns
        await driver.close()

    asyncio.run(main())


def test_sweep_rests_between_its_steps(path):
    """Beside requests, expired sessions are removed in steps, and a sweep can end after each of them."""

    async def main():
        driver = SqliteDriver(path, "sessions", 60_000, clock=lambda: 0)
        await asyncio.gather(*(driver.write(f"{each:040d}", "x", None) for each in range(250)))
        later = SqliteDriver(path, "sessions", 60_000, clock=lambda: 61)
        async with contextlib.aclosing(later.gc_in_steps(60_000)) as steps:
            assert await anext(steps) == 100
        assert [removed async for removed in later.gc_in_steps(60_000)] == [100, 50]
        await driver.close()
        await later.close()

    asyncio.run(main())
