"""The Redis driver on a cluster of several masters, as a program of many millions of sessions has it."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from servers import RedisClusterOfSix, require

from drivers.serving import SECRET, TABLES
from drivers.turns_contract import gather, name, payloads
from node_session import drivers
from node_session.config import Config
from node_session.errors import ConflictError
from node_session.testing import DriverContract


class TestThreeMasters(DriverContract):
    """The contract on three masters, each with a third of the keys and a replica."""

    lists = True
    expired_is_gone = True

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        require("redis")
        cls.cluster = RedisClusterOfSix()
        yield
        cls.cluster.stop()

    async def make_driver(self, lifetime):
        self.table = next(TABLES)
        config = {"secret": SECRET, "driver": "redis", "table": self.table, "connection": {"url": self.cluster.url}}
        driver = await drivers.create(Config.from_dict({**config, "lifetime": lifetime}))
        # One after the other, so that it is connected to each master before many come together.
        for each in range(20):
            await driver.read(name(each))
        return driver

    async def age(self, driver, id, milliseconds):
        key = f"{self.table}:{id}"
        client = redis.asyncio.RedisCluster("127.0.0.1", self.cluster.nodes[0].port, password="pass word")
        await client.pexpire(key, max(1, int(await client.pttl(key) - milliseconds)))
        await client.aclose()
        await asyncio.sleep(0.01)

    def test_spread(self):
        """Of 200 sessions in one turn each is made, changed and read, and each master has some of them."""

        async def scenario(driver):
            ids = [name(each) for each in range(200)]
            before = [node.ask("DBSIZE") for node in self.cluster.nodes[:3]]
            versions = await gather(*(driver.write(id, "old", None) for id in ids))
            sizes = [node.ask("DBSIZE") - old for node, old in zip(self.cluster.nodes[:3], before, strict=True)]
            assert sum(sizes) == 200 and min(sizes) > 0
            versions[7] = "another version"
            outcomes = await gather(
                *(driver.write(id, "new", version) for id, version in zip(ids, versions, strict=True))
            )
            failed = [each for each, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
            assert failed == [7] and isinstance(outcomes[7], ConflictError)
            await gather(*map(driver.touch, ids))
            found = payloads(await gather(*map(driver.read, ids)))
            assert found == ["old" if each == 7 else "new" for each in range(200)]
            assert {entry.id async for entry in driver.scan()} == set(ids)

        self._run(scenario)
