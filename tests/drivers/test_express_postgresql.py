"""The PostgreSQL driver on connect-pg-simple's table, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime

import asyncpg
import pytest

from drivers.on_server import OnServer
from drivers.removal_contract import EXPIRED, HOUR, RemovalContract
from drivers.server_contract import ServerContract
from drivers.serving import ID, TABLES
from drivers.turns_contract import gather, name, payloads
from node_session import NodeSession
from node_session.drivers import payload
from node_session.drivers.connection import Connection
from node_session.drivers.express_postgresql import ExpressPostgresqlDriver
from node_session.errors import ConflictError, DamagedError, UnavailableError

DAY = 24 * HOUR
TEXT = '{"cookie":{"originalMaxAge":null,"expires":null},"a" : [1.0, "\\u0000 \\ud800 ü"],"a":2}'


UNFIT = {
    "jsonb": ("sid varchar PRIMARY KEY, sess jsonb, expire timestamp(6)", "sess of type jsonb, not json, which"),
    "uuid": ("sid uuid PRIMARY KEY, sess json, expire timestamp(6)", "sid of type uuid, not varchar"),
    "date": ("sid varchar PRIMARY KEY, sess json, expire date", r"expire of type date, not timestamp\(6\)"),
    "no key": ("sid varchar, sess json, expire timestamp(6)", "no unique index on sid alone"),
    "a key of two": ("sid varchar, sess json, expire timestamp(6), UNIQUE (sid, expire)", "no unique index"),
}


def near(values, expected, within):
    """Whether all values are close to the expected one."""
    return [float(each) for each in values] == pytest.approx([expected] * len(values), abs=within)


class OnPostgresql:
    """Connections of our own to the server."""

    def connected(self):
        at = {name: value for name, value in self.server.connection.items() if name != "adapter"}
        return asyncpg.create_pool(**at, min_size=0)

    async def execute(self, *statements):
        async with self.connected() as database:
            for statement in statements:
                await database.execute(statement)


class TestContract(OnPostgresql, RemovalContract, ServerContract):
    """It keeps the contract, and survives its server.

    The column takes JSON only, and these tests store any text: here a record is that text as a JSON string.
    """

    name = "postgresql"

    # Programs of their own, which a test of this process cannot give the driver; `TestFormat` has them.
    test_nothing_is_lost_by_several_processes = test_interrupted = test_command_line = None

    @pytest.fixture(autouse=True)
    def _choose(self, monkeypatch):
        def create(options, connection):
            driver = ExpressPostgresqlDriver(connection, options.table, options.lifetime)
            driver.layout = driver.layout._replace(encode=payload.encode, decode=payload.decode)
            return driver

        monkeypatch.setattr("node_session.drivers.postgresql.create", create)

    async def age(self, driver, id, milliseconds):
        await self.execute(
            f"UPDATE {driver.table} SET expire = expire - interval '{milliseconds} ms' WHERE sid = '{id}'"
        )

    async def age_all(self, driver, milliseconds):
        later = f"interval '1 ms' * ({milliseconds} + right(sid, 4)::int)"
        await self.execute(f"UPDATE {driver.table} SET expire = expire - {later}")

    def test_sweep(self):
        """`sessions.sweep()` gives the exact number. A record expires when it says, whatever the sweeper's lifetime."""

        async def main():
            driver = await self._with_expired()
            sessions = NodeSession({**self.config(lifetime=HOUR), "table": self.table})
            assert await sessions.sweep() == 0
            await self.age_all(driver, 23 * HOUR)
            assert await sessions.sweep() == EXPIRED
            await sessions.close()
            await driver.close()

        asyncio.run(main())

    def test_gc_beside_a_held_record(self):
        """A sweep passes over a record that another transaction holds, and the next sweep removes it."""

        async def main():
            driver = await self._with_expired()
            async with self.connected() as database, database.acquire() as holder:
                transaction = holder.transaction()
                await transaction.start()
                await holder.execute(f"SELECT 1 FROM {driver.table} WHERE sid = $1 FOR UPDATE", name(50))
                assert await driver.gc(HOUR) == EXPIRED - 1
                await transaction.rollback()
            assert await driver.gc(HOUR) == 1
            await driver.close()

        asyncio.run(main())


class TestFormat(OnPostgresql, OnServer):
    """By the option `format`, it serves sessions over HTTP, to several programs and on the command line."""

    name = "postgresql"
    test_sessions = ServerContract.test_sessions
    test_log_out_against_rotations = ServerContract.test_log_out_against_rotations
    test_the_old_record_is_gone_after_the_grace = ServerContract.test_the_old_record_is_gone_after_the_grace
    test_nothing_is_lost_by_several_processes = ServerContract.test_nothing_is_lost_by_several_processes
    test_command_line = ServerContract.test_command_line

    def config(self, connection=None, **options):
        """See `OnServer.config`."""
        return super().config(connection, format="express-session", **options)


class TestTable(OnPostgresql, OnServer):
    """The table is connect-pg-simple's; one in which it would not work is an error that names the cure."""

    name = "postgresql"

    @contextlib.asynccontextmanager
    async def opened(self, lifetime=DAY, *, table=None, is_made=True, **connection):
        """A driver, on a table of its own."""
        wanted, _ = Connection.from_options({**self.server.connection, **connection}, "postgresql")
        driver = ExpressPostgresqlDriver(wanted, table or next(TABLES), lifetime)
        if is_made:
            await driver.create_table()
        try:
            yield driver
        finally:
            await driver.close()

    def url(self, zone):
        """A URL for connections in a time zone."""
        return f"postgres://tester:pass%20word@127.0.0.1:{self.server.port}/postgres?timezone={zone}"

    async def fetch(self, query, *values):
        async with self.connected() as database:
            return await database.fetch(query, *values)

    @pytest.mark.parametrize("number", [1, 3])
    def test_record(self, number):
        """A record is its text, byte for byte, and the time at which it expires."""

        async def main():
            async with self.opened() as driver:
                ids = [name(each) for each in range(number)]
                for text, version in ((TEXT, None), (f" {TEXT}\n", TEXT)):
                    versions = await gather(*(driver.write(id, text, version) for id in ids))
                    assert versions == [text] * number
                    found = await gather(*map(driver.read, ids))
                    assert [(record.payload, record.version) for record in found] == [(text, text)] * number
                    assert near([record.idle for record in found], 0, 60_000)
                    rows = await self.fetch(
                        f"SELECT sess::text, extract(epoch FROM expire - now()) FROM {driver.table}"
                    )
                    assert [text for text, _ in rows] == [text] * number
                    assert near([left for _, left in rows], DAY / 1000, 60)
                assert await gather(*(driver.confirm(id, versions[0]) for id in ids)) == [True] * number
                outcomes = await gather(*(driver.write(id, TEXT, TEXT) for id in ids))
                assert {type(outcome) for outcome in outcomes} == {ConflictError}

        asyncio.run(main())

    def test_text_is_compared_byte_by_byte(self):
        """The same JSON in another spelling is another version."""

        async def main():
            async with self.opened() as driver:
                await driver.write(ID, '{"a":1}', None)
                for other in ('{"a": 1}', '{"a":1.0}', '{"A":1}'):
                    with pytest.raises(ConflictError):
                        await driver.write(ID, "{}", other)
                    with pytest.raises(ConflictError):
                        await driver.destroy(ID, other)
                    assert not await driver.confirm(ID, other)

        asyncio.run(main())

    @pytest.mark.parametrize("number", [1, 3])
    def test_lifetimes(self, number):
        """`idle` makes a record expire earlier or later: written, renewed, confirmed, alone and with others."""

        async def main():
            async with self.opened(HOUR) as driver:
                ids = [name(each) for each in range(number)]
                ways = [
                    lambda idle: [driver.write(id, "{}", None, idle=idle) for id in ids],
                    lambda idle: [driver.write(id, "{}", "{}", idle=idle) for id in ids],
                    lambda idle: [driver.touch(id, idle=idle) for id in ids],
                    lambda idle: [driver.confirm(id, "{}", idle=idle) for id in ids],
                ]
                for way, idle in zip(ways, (HOUR / 2, -9 * HOUR, HOUR / 4, -7 * DAY), strict=True):
                    assert not [each for each in await gather(*way(idle)) if isinstance(each, Exception)]
                    rows = await self.fetch(f"SELECT extract(epoch FROM expire - now()) FROM {driver.table}")
                    assert near([left for (left,) in rows], (HOUR - idle) / 1000, 60)
                    found = await gather(*map(driver.read, ids))
                    assert near([record.idle for record in found], idle, 60_000)

        asyncio.run(main())

    def test_times_by_hand(self):
        """A time that is infinite, long ago or in thousands of years is one like any other."""

        async def main():
            async with self.opened() as driver:
                times = ["infinity", "9999-12-31", "-infinity", "1970-01-01"]
                for number, expire in enumerate(times):
                    await self.execute(f"INSERT INTO {driver.table} VALUES ('{name(number)}', '{{}}', '{expire}')")
                for ids in (range(4), [0], [1], [2], [3]):
                    found = payloads(await gather(*(driver.read(name(each)) for each in ids)))
                    assert found == ["{}" if each < 2 else None for each in ids]
                entries = [entry async for entry in driver.scan()]
                assert [entry.id for entry in entries] == [name(0), name(1)]
                assert max(entry.last_activity for entry in entries) < 253_402_300_800_000  # the year 10,000
                assert await driver.gc(DAY) == 2 and await driver.gc(DAY) == 0
                await driver.touch(name(0))
                assert (await driver.read(name(0))).idle == pytest.approx(0, abs=60_000)

        asyncio.run(main())

    @pytest.mark.parametrize(("lifetime", "milliseconds"), [(0.5, 1), (1000, 1000), (0, 100 * 365 * DAY)])
    def test_whole_milliseconds(self, lifetime, milliseconds):
        """A lifetime is a whole number of milliseconds, and never none: 0 is for ever."""
        driver = ExpressPostgresqlDriver(Connection(adapter="postgresql"), "session", lifetime)
        assert driver.layout.time("$1") == f"to_timestamp(($1::float8 + {milliseconds}) / 1000)"

    def test_for_ever(self):
        """With a lifetime of 0 a record does not expire, and one that expires soon is due to be renewed."""

        async def main():
            async with self.opened(0) as driver:
                await driver.write(name(1), "{}", None)
                await driver.write(name(2), "{}", None)
                await self.execute(f"UPDATE {driver.table} SET expire = now() + '1 day' WHERE sid = '{name(2)}'")
                assert (await driver.read(name(1))).idle == pytest.approx(0, abs=60_000)
                assert (await driver.read(name(2))).idle > 99 * 365 * DAY

        asyncio.run(main())

    @pytest.mark.parametrize("kind", ["timestamp(6)", "timestamptz", "timestamp(0)"])
    @pytest.mark.parametrize("zone", ["America/Caracas", "Asia/Kathmandu"])
    def test_time_zones(self, zone, kind):
        """In any time zone of the connections, and with a column that has one, a record lives for its lifetime."""

        async def main():
            async with self.opened(HOUR, url=self.url(zone)) as driver:
                assert (await driver._fetch("SELECT current_setting('TimeZone')"))[0][0] == zone
                await self.execute(f"ALTER TABLE {driver.table} ALTER expire TYPE {kind}")
                ids = [name(each) for each in range(3)]
                await gather(*(driver.write(id, "{}", None) for id in ids))
                await gather(*map(driver.touch, ids))
                for count in (3, 1):
                    found = await gather(*map(driver.read, ids[:count]))
                    assert near([record.idle for record in found], 0, 60_000)
                seconds = "extract(epoch FROM expire::timestamptz - now())"
                rows = await driver._fetch(f"SELECT {seconds} FROM {driver.table}")
                assert near([left for (left,) in rows], HOUR / 1000, 60)
                await driver._change(f"UPDATE {driver.table} SET expire = expire - interval '61 minutes'")
                assert payloads([await driver.read(ids[0]), *await gather(*map(driver.read, ids))]) == [None] * 4
                assert await driver.gc(HOUR) == 3

        asyncio.run(main())

    def test_names(self):
        """A table in a schema, with letters of both cases and signs that need quotes, is found and made."""

        async def main():
            await self.execute('CREATE SCHEMA "Web"')
            async with self.opened(table="Web.user-Sessions$") as driver:
                await driver.create_table()
                ids = [name(each) for each in range(3)]
                await gather(*(driver.write(id, "{}", None) for id in ids))
                assert payloads(await gather(*map(driver.read, ids))) == ["{}"] * 3
                rows = await self.fetch('SELECT sid FROM "Web"."user-Sessions$" ORDER BY sid')
                assert [id for (id,) in rows] == ids

        asyncio.run(main())

    @pytest.mark.parametrize("kind", UNFIT)
    @pytest.mark.parametrize("number", [1, 3])
    def test_unfit(self, kind, number):
        """In a table that does not fit nothing is read or written; the error names the flaw, and a cure that works."""
        columns, flaw = UNFIT[kind]

        async def main():
            table = next(TABLES)
            await self.execute(f"CREATE TABLE {table} ({columns})")
            async with self.opened(table=table, is_made=False) as driver:
                ids = [name(each)[8:] for each in range(number)]  # valid as a UUID as well
                for ask in (
                    driver.read,
                    driver.touch,
                    lambda id: driver.confirm(id, "{}"),
                    lambda id: driver.write(id, "{}", None),
                    lambda id: driver.write(id, "{}", "{}"),
                ):
                    outcomes = await gather(*map(ask, ids))
                    assert {type(outcome) for outcome in outcomes} == {UnavailableError}
                    assert len({id(outcome) for outcome in outcomes}) == number
                    with pytest.raises(UnavailableError, match=rf"{table}.*{flaw}.*nothing was written: ALTER TABLE"):
                        raise outcomes[0]
                assert await self.fetch(f"SELECT FROM {table}") == []
                await self.execute(str(outcomes[0]).rpartition("nothing was written: ")[2])
                await gather(*(driver.write(id, "{}", None) for id in ids))
                assert payloads(await gather(*map(driver.read, ids))) == ["{}"] * number

        asyncio.run(main())

    def test_another_table(self):
        """A table that is not connect-pg-simple's at all, and one that is not there, are errors that say so."""

        async def main():
            table = next(TABLES)
            async with self.opened(table=table, is_made=False) as driver:
                with pytest.raises(UnavailableError, match=r"no table .*python -m node_session table"):
                    await driver.read(ID)
                await self.execute(f'CREATE TABLE {table} (id text PRIMARY KEY, payload text, "lastActivity" bigint)')
                with pytest.raises(UnavailableError, match=r"no column sid.*connect-pg-simple.*option table"):
                    await driver.read(ID)

        asyncio.run(main())

    @pytest.mark.parametrize("kind", ["text", "view", "char", "narrow", "citext", "nullable"])
    def test_other_tables(self, kind):
        """Many sessions in one turn work in any table that serves Express; one that is too long harms no other."""
        columns = {
            "text": "sid text UNIQUE, sess text, expire timestamp",
            "char": "sid char(64) PRIMARY KEY, sess json, expire timestamp(6)",
            "narrow": "sid varchar(40) PRIMARY KEY, sess json, expire timestamp(6)",
            "citext": "sid citext PRIMARY KEY, sess varchar, expire timestamp(6)",
        }.get(kind, "sid varchar PRIMARY KEY, sess json, expire timestamp(6)")

        async def main():
            table = next(TABLES)
            base = f"{table}_base" if kind == "view" else table
            await self.execute("CREATE EXTENSION IF NOT EXISTS citext", f"CREATE TABLE {base} ({columns})")
            if kind == "view":
                await self.execute(f"CREATE VIEW {table} AS SELECT * FROM {base}")
            async with self.opened(table=table, is_made=False) as driver:
                ids = [*("a" * 39 + chr(98 + each) for each in range(20)), "x" * 50]
                outcomes = await gather(*(driver.write(id, TEXT, None) for id in ids))
                failed = outcomes[20:] if kind == "narrow" else []
                assert [each for each in outcomes if each != TEXT] == failed
                assert all("make the columns sid and sess as long as" in str(each) for each in failed)
                await gather(*map(driver.touch, ids))
                await gather(*(driver.write(id, f'"{id}"', TEXT) for id in ids[::2]))
                found = payloads(await gather(*map(driver.read, ids)))
                assert found[:20] == [f'"{id}"' if each % 2 == 0 else TEXT for each, id in enumerate(ids[:20])]
                upper = [id.upper() for id in ids]
                assert payloads(await gather(*map(driver.read, upper))) == [None] * 21
                assert len([entry async for entry in driver.scan()]) == 21 - len(failed)
                await gather(*map(driver.destroy, ids[:19]))
                assert (await self.fetch(f"SELECT count(*) FROM {table}"))[0][0] == 2 - len(failed)

        asyncio.run(main())

    def test_null(self):
        """A record without a text is damaged, and does not stop a listing."""

        async def main():
            async with self.opened() as driver:
                await self.execute(
                    f"ALTER TABLE {driver.table} ALTER sess DROP NOT NULL",
                    f"INSERT INTO {driver.table} VALUES ('{ID}', NULL, now() + '1 day')",
                )
                with pytest.raises(DamagedError):
                    await driver.read(ID)
                assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]

        asyncio.run(main())

    def test_ids_of_other_programs(self):
        """Ids of any length with any signs are theirs, and nothing else."""

        async def main():
            async with self.opened() as driver:
                ids = ["1", "%", "_", "'; DROP TABLE x; --", '"', "\\", "?", "$1", "{}", "a" * 200]
                await gather(*(driver.write(id, f"[{number}]", None) for number, id in enumerate(ids)))
                assert payloads([await driver.read(id) for id in ids]) == [f"[{each}]" for each in range(10)]
                assert payloads(await gather(*map(driver.read, ids))) == [f"[{each}]" for each in range(10)]
                assert sorted([entry.id async for entry in driver.scan()]) == sorted(ids)

        asyncio.run(main())

    @pytest.mark.parametrize(
        "statement", ["_select", "_touch_many", "_swap_many", "_select_many", "_delete_many", "_expired"]
    )
    def test_uses_the_indexes(self, statement):
        """Each statement finds its rows by an index of the table, as connect-pg-simple makes it."""
        values = {
            "_select": [name(1), 0],
            "_select_many": [[name(1), name(2)], 0],
            "_touch_many": [[name(1), name(2)], [1, 1], [name(1), name(2)], 0],
            "_swap_many": [[name(1)], [1], ["old"], ["new"], [name(1)]],
            "_delete_many": [[name(1), name(2)], datetime.min, datetime.max],
            "_expired": [datetime.min, 1],
        }

        async def main():
            async with self.opened() as driver, self.connected() as database, database.acquire() as connection:
                await connection.execute(
                    f"INSERT INTO {driver.table} SELECT lpad(n::text, 40, '0'), '{{}}', to_timestamp(86400 + n)"
                    " FROM generate_series(1, 20000) AS n"
                )
                await connection.execute(f"ANALYZE {driver.table}")
                for mode in ("force_custom_plan", "force_generic_plan"):  # PostgreSQL changes to the second one
                    await connection.execute(f"SET plan_cache_mode = {mode}")
                    plan = await connection.fetch(f"EXPLAIN {getattr(driver, statement)}", *values[statement])
                    lines = "\n".join(line for (line,) in plan)
                    assert ("IDX_" if statement == "_expired" else "_pkey") in lines, lines
                    assert "Seq Scan on" not in lines, lines

        asyncio.run(main())

    def test_gc_is_exact(self):
        """A sweep removes records whose times have microseconds, in steps, and counts them."""

        async def main():
            async with self.opened(HOUR) as driver:
                await self.execute(
                    f"INSERT INTO {driver.table} SELECT lpad(n::text, 40, '0'), '{{}}',"
                    " now()::timestamp(0) - interval '1 day' + n * interval '1.000337 s'"
                    " FROM generate_series(1, 2500) AS n"
                )
                assert [step async for step in driver.gc_in_steps(HOUR)] == [1000, 1000, 500]

        asyncio.run(main())


def test_ddl():
    """The DDL makes connect-pg-simple's table, with its key and its index under their names."""
    driver = ExpressPostgresqlDriver(Connection(adapter="postgresql"))
    assert driver.ddl() == (
        'CREATE TABLE IF NOT EXISTS "session" (\n'
        '    sid varchar COLLATE "default" PRIMARY KEY,\n'
        "    sess json NOT NULL,\n"
        "    expire timestamp(6) NOT NULL\n"
        ");\n"
        'CREATE INDEX IF NOT EXISTS "IDX_session_expire" ON "session" (expire);\n'
    )
