"""The Redis driver, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import math

import pytest
import redis.asyncio
from servers import Sentinel, start

from drivers.proxy import Proxy
from drivers.server_contract import ServerContract
from drivers.serving import ID, SECRET, TABLES, application
from drivers.turns_contract import sent_turns
from node_session import drivers
from node_session.config import Config
from node_session.errors import ConflictError, DamagedError, UnavailableError
from node_session.testing import DriverContract


class TestContract(ServerContract):
    """The Redis driver keeps the contract, and survives its server."""

    name = "redis"
    driver = "redis"
    unknown_database = "9999"
    expired_is_gone = True

    @contextlib.asynccontextmanager
    async def connected(self):
        """A client of our own."""
        async with redis.asyncio.Redis(port=self.server.port, password="pass word") as client:
            yield client

    async def age(self, driver, id, milliseconds):
        async with self.connected() as client:
            (key,) = await client.keys(f"{self.table}:{id}")
            await client.pexpire(key, max(1, int(await client.pttl(key) - milliseconds)))
        await asyncio.sleep(0.01)

    def test_record(self):
        """A record is one key, its value the text, and it expires by itself."""

        async def scenario(driver):
            await driver.write(ID, '{"a":"ü"}', None)
            async with self.connected() as client:
                assert (await client.get(f"{self.table}:{ID}")).decode() == '{"a":"ü"}'
                assert 59_000 < await client.pttl(f"{self.table}:{ID}") <= 60_000

        self._run(scenario, lifetime=60_000)

    @pytest.mark.filterwarnings("ignore:lifetime")
    def test_lifetime_zero(self):
        """With lifetime 0 nothing expires, when written, replaced, read, touched or confirmed."""

        async def scenario(driver):
            version = await driver.write(ID, "text", None, idle=-1000)
            version = await driver.write(ID, "next", version, idle=1000)
            assert (await driver.read(ID)).idle == math.inf
            await driver.touch(ID, idle=1000)
            assert await driver.confirm(ID, version, idle=1000)
            async with self.connected() as client:
                assert await client.pttl(f"{self.table}:{ID}") == -1

        self._run(scenario, lifetime=0)

    def test_one_round_trip_to_read(self, monkeypatch):
        """A request that changes nothing asks the server once for the record and its time; it renews a record in time.

        With that, reading alone is written to no log and sent to no replica.
        """

        async def calls(client) -> dict[str, int]:
            stats = await client.info("commandstats")
            names = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
            return {name: number for name, number in names.items() if "config" not in name and name != "info"}

        async def main():
            config = self.config(lifetime=3_600_000)
            async with application(config) as ask, self.connected() as client:
                _, _, cookie = await ask(None)
                await ask(cookie, "/read")
                await client.config_resetstat()
                sent.clear()
                await ask(cookie, "/read")
                await ask(cookie, "/read")
                assert await calls(client) == {"get": 2, "pttl": 2} and sent == [1, 1]
                (key,) = await client.keys(f"{config['table']}:*")
                await client.pexpire(key, 3_500_000)
                await client.config_resetstat()
                await ask(cookie, "/read")
                while "pexpire" not in await calls(client):  # the renewal follows the response
                    await asyncio.sleep(0.01)
                made = await calls(client)  # a script compares the version, and renews
                assert (made["get"], made["pttl"], made["pexpire"]) == (2, 1, 1)
                assert await client.pttl(key) > 3_500_000

        sent = sent_turns(monkeypatch)
        asyncio.run(main())

    def test_lifetimes(self):
        """A record expires later or earlier by the idle time that it is given, and tells it when it is read."""

        async def scenario(driver):
            async with self.connected() as client:
                version = await driver.write(ID, "text", None, idle=-100_000.5)
                assert 150_000 < await client.pttl(f"{self.table}:{ID}") <= 160_000
                assert -100_001 <= (await driver.read(ID)).idle < -90_000
                assert await driver.confirm(ID, version, idle=20_000)
                assert 30_000 < await client.pttl(f"{self.table}:{ID}") <= 40_000
                assert not await driver.confirm(ID, b"other", idle=-100_000)
                assert 20_000 <= (await driver.read(ID)).idle < 30_000
                await driver.touch(ID, idle=-40_000)
                assert 90_000 < await client.pttl(f"{self.table}:{ID}") <= 100_000
                await client.persist(f"{self.table}:{ID}")
                assert (await driver.read(ID)).idle == math.inf  # so that it is renewed, and expires again
                await driver.touch(ID)
                assert 50_000 < await client.pttl(f"{self.table}:{ID}") <= 60_000

        self._run(scenario, lifetime=60_000)

    def test_many_at_once(self):
        """Many concurrent requests each read, replace and destroy their own record, over one connection."""

        async def scenario(driver):
            async with self.connected() as client:
                await driver.write(ID, "next", await driver.write(ID, "text", None))  # so that the server knows the
                await driver.destroy(ID, b"next")  # scripts, and a connection is there
                before = (await client.info("stats"))["total_connections_received"]
                ids = [f"{number:040d}" for number in range(50)]
                versions = await asyncio.gather(*(driver.write(id, "of " + id, None) for id in ids))
                await asyncio.gather(
                    *(driver.write(id, "again " + id, version) for id, version in zip(ids, versions, strict=True))
                )
                records = await asyncio.gather(*(driver.read(id) for id in ids))
                assert [record.payload for record in records] == ["again " + id for id in ids]
                outcomes = await asyncio.gather(
                    *(driver.destroy(id, record.version) for id, record in zip(ids[:25], records, strict=False)),
                    *(driver.destroy(id, b"another") for id in ids[25:]),
                    return_exceptions=True,
                )
                assert outcomes[:25] == [None] * 25
                assert {type(outcome) for outcome in outcomes[25:]} == {ConflictError}
                assert [await driver.read(id) is None for id in ids] == [True] * 25 + [False] * 25
                assert (await client.info("stats"))["total_connections_received"] == before

        self._run(scenario)

    def test_server_that_forgot_the_scripts(self):
        """A server that does not know the scripts, or no longer, learns them by the way."""

        async def scenario(driver):
            async with self.connected() as client:
                for _ in range(2):
                    versions = [await driver.write(id * 40, "text", None) for id in "ab"]
                    await client.script_flush()
                    await asyncio.gather(
                        *(driver.write(id * 40, "next", version) for id, version in zip("ab", versions, strict=True))
                    )
                    await client.script_flush()
                    with pytest.raises(ConflictError):
                        await driver.destroy(ID, b"text")
                    await client.script_flush()
                    await asyncio.gather(*(driver.destroy(id * 40, b"next") for id in "ab"))
                    assert [await driver.read(id * 40) for id in "ab"] == [None, None]

        self._run(scenario)

    def test_idle_connection_was_closed(self):
        """A connection that was closed while idle costs nothing: another one is made immediately."""

        async def main():
            async with Proxy(self.server.port) as proxy:
                driver = await drivers.create(Config.from_dict(self.config({"port": proxy.port})))
                for _ in range(3):
                    assert await driver.read(ID) is None
                    proxy.cut()
                    await asyncio.sleep(0.1)
                await driver.close()

        asyncio.run(main())

    def test_unix_socket(self):
        """A server on a Unix socket is as good."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            config = {"secret": SECRET, "driver": "redis", "table": self.table}
            url = f"unix://:pass%20word@{self.server.folder}/socket"
            other = await drivers.create(Config.from_dict({**config, "connection": {"url": url}}))
            assert (await other.read(ID)).payload == "text"
            await other.close()

        self._run(scenario)

    def test_damaged(self):
        """A value that is not text is damaged, and does not stop a listing."""

        async def scenario(driver):
            async with self.connected() as client:
                await client.set(f"{self.table}:{ID}", b"\xff\xfe")
            with pytest.raises(DamagedError):
                await driver.read(ID)
            assert [entry.id async for entry in driver.scan()] == [ID]

        self._run(scenario)

    def test_scan_keeps_to_its_own(self):
        """A listing shows the keys of its table, whatever signs are in the name, and no others."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            async with self.connected() as client:
                await client.set("sessionsX:" + ID, "other")
                await client.set(f"{self.table}x:{ID}", "other")
            assert [entry.payload async for entry in driver.scan()] == ["text"]

        self._run(scenario)

    def test_scan_by_pages(self, monkeypatch):
        """A listing takes one round trip for each page, and renews nothing."""

        async def scenario(driver):
            async with self.connected() as client:
                for number in range(950):
                    await client.set(f"{self.table}:{number:040d}", "text", px=1_000_000)
                await client.config_resetstat()
                sent.clear()
                found = [entry.id async for entry in driver.scan()]
                assert sorted(found) == [f"{number:040d}" for number in range(950)]
                stats = await client.info("commandstats")
                calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
                assert calls.pop("get") == calls.pop("pttl") == 950
                pages = await client.dbsize() / 100  # with what other tests have left
                assert calls["scan"] <= 2 * pages + 4
                # The records of a page come with the keys of the next one; on the last page may be only other tests'.
                assert len(sent) in (calls["scan"], calls["scan"] + 1)
                assert set(calls) <= {"scan", "config|resetstat", "auth", "select", "client|setinfo", "hello"}

        sent = sent_turns(monkeypatch)
        self._run(scenario, lifetime=2_000_000)

    def test_scan_while_records_vanish(self):
        """Records that vanish during a listing are not in it; it ends without an error."""

        async def scenario(driver):
            await asyncio.gather(*(driver.write(f"{number:040d}", "text", None) for number in range(400)))
            found = []
            async with self.connected() as client:
                async for entry in driver.scan():
                    if not found:
                        await client.delete(*await client.keys(f"{self.table}:*"))
                    found.append(entry.id)
            assert 0 < len(found) < 200

        self._run(scenario)

    def test_scan_of_a_key_of_another_type(self):
        """A key of another type in the table is an error of the listing that says so."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            async with self.connected() as client:
                await client.rpush(f"{self.table}:{'b' * 40}", "value")
            with pytest.raises(UnavailableError, match="WRONGTYPE"):
                _ = [entry async for entry in driver.scan()]
            assert (await driver.read(ID)).payload == "text"

        self._run(scenario)

    def test_listings_share_the_connections(self):
        """Listings and requests wait for each other's connections, instead of failing."""

        async def main():
            driver = await drivers.create(Config.from_dict(self.config({"poolSize": 1})))
            ids = [f"{number:040d}" for number in range(150)]
            await asyncio.gather(*(driver.write(id, "text", None) for id in ids))

            async def list_all() -> list[str]:
                return sorted([entry.id async for entry in driver.scan()])

            *listings, record = await asyncio.gather(*(list_all() for _ in range(5)), driver.read(ids[0]))
            assert listings == [ids] * 5 and record.payload == "text"
            await driver.close()

        asyncio.run(main())

    @pytest.mark.parametrize("adapter", ["redis", "sails-redis"])
    def test_by_adapter_and_url(self, adapter):
        """The database driver takes Redis as an adapter as well, and a URL in place of its parts."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            config = {"secret": SECRET, "driver": "database", "table": self.table}
            url = f"redis://:pass%20word@127.0.0.1:{self.server.port}/0"
            other = await drivers.create(Config.from_dict({**config, "connection": {"adapter": adapter, "url": url}}))
            assert (await other.read(ID)).payload == "text"
            await other.close()

        self._run(scenario)


class TestCluster(DriverContract):
    """The Redis driver keeps the contract on a cluster."""

    lists = True
    expired_is_gone = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        cls.server = start("redis-cluster")
        yield
        cls.server.stop()

    def url(self) -> str:
        return f"redis+cluster://:pass%20word@127.0.0.1:{self.server.port}"

    async def make_driver(self, lifetime):
        self.table = next(TABLES)
        config = {"secret": SECRET, "driver": "redis", "table": self.table, "connection": {"url": self.url()}}
        return await drivers.create(Config.from_dict({**config, "lifetime": lifetime}))

    async def age(self, driver, id, milliseconds):
        async with redis.asyncio.Redis(port=self.server.port, password="pass word") as client:
            key = f"{self.table}:{id}"
            await client.pexpire(key, max(1, int(await client.pttl(key) - milliseconds)))
        await asyncio.sleep(0.01)


class TestSentinel(TestCluster):
    """And where Sentinel says which server is the master."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        cls.server = start("redis")
        cls.sentinel = Sentinel(cls.server)
        yield
        cls.sentinel.stop()
        cls.server.stop()

    def url(self) -> str:
        return f"redis+sentinel://:pass%20word@127.0.0.1:1,127.0.0.1:{self.sentinel.port}/sessions"
