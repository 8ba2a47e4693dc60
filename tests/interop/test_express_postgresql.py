"""Connect-pg-simple and our driver on one table of a real database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from datetime import datetime, timezone

import asyncpg
import pytest
from doors import HERE
from servers import start

from node_session.drivers.connection import Connection
from node_session.drivers.express_postgresql import ExpressPostgresqlDriver
from node_session.errors import ConflictError

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules" / "connect-pg-simple").is_dir(),
    reason="connect-pg-simple is not installed: it needs Node and npm, and then make test",
)

DAY = 24 * 60 * 60
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}
SESSION = {"cookie": COOKIE, "passport": {"user": 0}, "text": "ü \u0000 \U0001f600 \"'\\", "list": [1.5, None, {}]}
ID = "cGFzc3BvcnQgYW5kIGZyaWVuZHMhISE0"

TABLES = (f"session_{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=[None, "America/St_Johns", "Asia/Kathmandu"])
def server(request):
    """A server whose default for connections is a time zone of its own."""
    server = start("postgresql")
    if request.param is not None:
        server.run_sql(f"ALTER ROLE tester SET timezone = '{request.param}'")
    yield server
    server.stop()


class Simple:
    """The store of connect-pg-simple, in a process of its own."""

    def __init__(self, server, **options) -> None:
        at = {name: value for name, value in server.connection.items() if name != "adapter"}
        command = ["node", "pg_simple.js", json.dumps({"conObject": at, **options})]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=HERE, text=True)

    def __call__(self, *call):
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer["result"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Both:
    """Both sides on one table, and a connection of our own to it."""

    def __init__(self, driver, simple, database) -> None:
        self.driver = driver
        self.simple = simple
        self.database = database

    async def row(self):
        """The text of the only record, and the seconds that it has left."""
        ((text, left),) = await self.database.fetch(
            f"SELECT sess::text, extract(epoch FROM expire - now()) FROM {self.driver.table}"
        )
        return text, float(left)

    async def later(self, seconds):
        """Make each record older."""
        await self.database.execute(f"UPDATE {self.driver.table} SET expire = expire - interval '{seconds} s'")


@contextlib.asynccontextmanager
async def both(server, *, made_by="theirs", connection=None, table=None, lifetime=DAY * 1000, **options):
    wanted, _ = Connection.from_options({**server.connection, **(connection or {})}, "postgresql")
    table = table or next(TABLES)
    schema, _, name = table.rpartition(".")
    driver = ExpressPostgresqlDriver(wanted, table, lifetime)
    where = {"tableName": name, **({"schemaName": schema} if schema else {})}
    simple = Simple(server, **where, createTableIfMissing=made_by == "theirs", **options)
    at = {name: value for name, value in server.connection.items() if name != "adapter"}
    database = await asyncpg.connect(**at)
    try:
        if made_by == "theirs":
            # They call the key and the index of any table by the names for "session".
            await database.execute('DROP TABLE IF EXISTS "session"')
            simple("get", "x")
        else:
            await driver.create_table()
        yield Both(driver, simple, database)
    finally:
        simple.close()
        await driver.close()
        await database.execute(f"DROP TABLE IF EXISTS {driver.table}")
        await database.close()


def iso(seconds: float) -> str:
    """A time from now on, as JavaScript writes it."""
    moment = datetime.fromtimestamp(time.time() + seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("made_by", ["theirs", "ours"])
def test_either_reads_what_the_other_has_written(server, made_by):
    """Either side reads, replaces, renews and destroys the other's records; both leave the same time."""

    async def main():
        async with both(server, made_by=made_by) as sides:
            driver, simple = sides.driver, sides.simple
            simple("set", ID, SESSION)
            record = await driver.read(ID)
            text, left = await sides.row()
            assert json.loads(record.payload) == SESSION and record.payload == text
            assert left == pytest.approx(DAY, abs=60) and record.idle == pytest.approx(0, abs=60_000)

            changed = json.dumps({**SESSION, "text": "ours"})
            version = await driver.write(ID, changed, record.version)
            assert simple("get", ID) == json.loads(changed)
            assert await sides.row() == (changed, pytest.approx(DAY, abs=60))

            simple("set", ID, SESSION)
            with pytest.raises(ConflictError):
                await driver.write(ID, changed, version)
            assert simple("get", ID) == SESSION

            await driver.destroy(ID)
            assert simple("get", ID) is None
            await driver.write(ID, changed, None)
            simple("destroy", ID)
            assert await driver.read(ID) is None

    asyncio.run(main())


def test_either_renews(server):
    """Either side's renewal is one for the other, and changes no text."""

    async def main():
        async with both(server) as sides:
            driver, simple = sides.driver, sides.simple
            version = await driver.write(ID, json.dumps(SESSION), None)
            for renew in ("theirs", "touch", "confirm"):
                await sides.later(DAY / 2)
                assert (await driver.read(ID)).idle == pytest.approx(DAY / 2 * 1000, abs=60_000)
                if renew == "theirs":
                    simple("touch", ID, SESSION)
                elif renew == "touch":
                    await driver.touch(ID)
                else:
                    assert await driver.confirm(ID, version)
                assert await sides.row() == (version, pytest.approx(DAY, abs=60))
                assert (await driver.read(ID)).idle == pytest.approx(0, abs=60_000)

    asyncio.run(main())


def test_lifetimes(server):
    """A session whose cookie says when it ends has that time, whoever writes it."""

    async def main():
        async with both(server) as sides:
            driver, simple = sides.driver, sides.simple
            for days in (0.25, 30):
                session = {**SESSION, "cookie": {**COOKIE, "originalMaxAge": DAY * days, "expires": iso(DAY * days)}}
                simple("set", ID, session)
                record = await driver.read(ID)
                idle = DAY * 1000 * (1 - days)
                assert record.idle == pytest.approx(idle, abs=60_000)
                await driver.write(ID, record.payload, record.version, idle=idle)
                assert await sides.row() == (record.payload, pytest.approx(DAY * days, abs=60))
                await sides.later(60 * 60)
                await driver.touch(ID, idle=idle)
                assert await sides.row() == (record.payload, pytest.approx(DAY * days, abs=60))

    asyncio.run(main())


def test_either_expires(server):
    """A record is over for both sides; either prunes what the other has left, and not what lives longer."""

    async def main():
        async with both(server) as sides:
            driver, simple = sides.driver, sides.simple
            text = json.dumps(SESSION)
            ids = [f"{ID}{number}" for number in range(6)]

            async def fill() -> None:
                for id in ids[:2]:
                    simple("set", id, SESSION)
                await asyncio.gather(*(driver.write(id, text, None) for id in ids[2:4]))
                await asyncio.gather(*(driver.write(id, text, None, idle=-DAY * 1000) for id in ids[4:]))

            async def found() -> tuple[list, list]:
                ours = await asyncio.gather(*map(driver.read, ids))
                return [record and record.payload for record in ours], [simple("get", id) for id in ids]

            for prune in ("theirs", "ours"):
                await fill()
                await sides.later(DAY - 60)
                ours, theirs = await found()
                assert None not in ours and theirs == [SESSION] * 6
                assert await driver.gc(DAY * 1000) == 0 and simple("pruneSessions") is None
                await sides.later(120)
                assert await found() == ([None] * 4 + [text] * 2, [None] * 4 + [SESSION] * 2)
                if prune == "theirs":
                    simple("pruneSessions")
                    assert await driver.gc(DAY * 1000) == 0
                else:
                    assert await driver.gc(DAY * 1000) == 4
                rows = await sides.database.fetch(f"SELECT sid FROM {driver.table} ORDER BY sid")
                assert [id for (id,) in rows] == ids[4:]
                await asyncio.gather(*map(driver.destroy, ids))

    asyncio.run(main())


def test_our_ttl(server):
    """With a lifetime of ours that is their `ttl`, both sides give a record the same time."""

    async def main():
        async with both(server, lifetime=3_600_000, ttl=3600) as sides:
            await sides.driver.write(ID, json.dumps(SESSION), None)
            assert (await sides.row())[1] == pytest.approx(3600, abs=60)
            sides.simple("set", ID, SESSION)
            assert (await sides.row())[1] == pytest.approx(3600, abs=60)
            assert (await sides.driver.read(ID)).idle == pytest.approx(0, abs=60_000)

    asyncio.run(main())


def test_connections_in_a_time_zone_of_their_own(server):
    """If the connections of Node have another time zone than the server's default, a URL gives it to ours as well."""

    async def main():
        url = f"postgres://tester:pass%20word@127.0.0.1:{server.port}/postgres?timezone=Pacific/Auckland"
        at = {name: value for name, value in server.connection.items() if name != "adapter"}
        there = {"conObject": {**at, "options": "-c timezone=Pacific/Auckland"}}
        async with both(server, connection={"url": url}, **there) as sides:
            driver, simple = sides.driver, sides.simple
            simple("set", ID, SESSION)
            assert (await driver.read(ID)).idle == pytest.approx(0, abs=60_000)
            await sides.later(DAY / 2)
            await driver.touch(ID)
            await sides.later(DAY - 60)
            assert simple("get", ID) == SESSION and await driver.read(ID)
            await sides.later(120)
            assert simple("get", ID) is None and await driver.read(ID) is None
            simple("pruneSessions")
            assert await driver.gc(DAY * 1000) == 0

    asyncio.run(main())


def test_schema_and_quotes(server):
    """`schemaName` and a `tableName` that needs quotes are the same table to both."""

    async def main():
        server.run_sql('CREATE SCHEMA IF NOT EXISTS "Web"')
        async with both(server, table="Web.user-Sessions") as sides:
            sides.simple("set", ID, SESSION)
            record = await sides.driver.read(ID)
            await sides.driver.write(ID, '{"cookie":{}}', record.version)
            assert sides.simple("get", ID) == {"cookie": {}}

    asyncio.run(main())
