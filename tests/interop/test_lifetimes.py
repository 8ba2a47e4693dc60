"""A record with a longer lifetime than the others outlives the npm original's gc."""

from __future__ import annotations

import asyncio
import time

import pytest
from doors import SECRET
from servers import start

from node_session import drivers
from node_session.config import Config

DAY = 86_400_000
WRITTEN, TOUCHED, OLD = ("a" * 40, "b" * 40, "c" * 40)


async def prepare(config: dict, *, table: bool = False) -> drivers.Driver:
    """A driver with two records that live a day longer than others, and one that has expired; all were read."""
    driver = await drivers.create(Config.from_dict({"secret": SECRET, **config}))
    if table:
        await driver.create_table()
    await driver.write(WRITTEN, '{"_token":"t"}', None, idle=-DAY)
    await driver.write(TOUCHED, '{"_token":"t"}', None)
    await driver.touch(TOUCHED, idle=-DAY)
    await driver.write(OLD, '{"_token":"t"}', None, idle=DAY)
    for id in (WRITTEN, TOUCHED, OLD):
        await driver.read(id)
    return driver


async def is_there(driver: drivers.Driver, id: str) -> bool:
    return any([entry.id == id async for entry in driver.scan()])


async def collect_garbage(door) -> None:
    """Let the original's gc begin: it runs after a response."""
    await asyncio.to_thread(door.ask, [["put", "key", "value"]], None)


@pytest.mark.filterwarnings("ignore:lifetime")
def test_files(open_door, tmp_path):
    """The original's gc looks at access times: reading a file must not set one that is in the future to now."""
    door = open_door("original", files=tmp_path, lottery=[1, 1], lifetime=1000)

    async def main():
        driver = await prepare({"files": str(tmp_path), "lifetime": 1000, "lottery": [0, 1]})
        await asyncio.sleep(1.1)
        await collect_garbage(door)
        while (tmp_path / OLD).exists():
            await asyncio.sleep(0.01)
        await collect_garbage(door)  # and once more, since the first one may still be at work
        assert await driver.read(WRITTEN) is not None and await driver.read(TOUCHED) is not None
        assert (tmp_path / WRITTEN).stat().st_atime > time.time() + DAY / 2000
        await driver.close()

    asyncio.run(main())


def test_database(open_door):
    """On a database it looks at the last activity, which is in the future."""
    server = start("postgresql")  # on MySQL the original's gc removes nothing
    try:
        connection = {**server.connection, "adapter": f"sails-{server.adapter}", "charset": "utf8mb4"}
        config = {"driver": "database", "connection": connection, "table": "lifetimes", "lifetime": 3_600_000}

        async def main():
            driver = await prepare({**config, "lottery": [0, 1]}, table=True)
            door = open_door("original", lottery=[1, 1], **config)
            await collect_garbage(door)
            while await driver._fetch(f"SELECT 1 FROM {driver.table} WHERE id = '{OLD}'"):
                await asyncio.sleep(0.01)
            assert await is_there(driver, WRITTEN) and await is_there(driver, TOUCHED)
            await driver.close()
            door.close()

        asyncio.run(main())
    finally:
        server.stop()
