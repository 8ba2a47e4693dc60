"""The MongoDB driver, on a real server of its protocol."""

from __future__ import annotations

import asyncio
import contextlib

import pymongo
import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from drivers.fake_mongo import FakeMongo
from drivers.proxy import Proxy
from drivers.removal_contract import RemovalContract
from drivers.server_contract import ServerContract
from drivers.serving import ID, SECRET, application
from node_session import drivers
from node_session.config import Config
from node_session.errors import DamagedError, UnavailableError


class TestContract(RemovalContract, ServerContract):
    """The MongoDB driver keeps the contract, and survives its server."""

    name = "mongodb"
    wrong_password = False  # this server has none
    unknown_database = None  # there is none: a database is made when it is used

    @contextlib.contextmanager
    def collection(self):
        """The documents of the driver, by a client of our own."""
        with pymongo.MongoClient("127.0.0.1", self.server.port) as client:
            yield client["tests"][self.table]

    async def age(self, driver, id, milliseconds):
        with self.collection() as documents:
            documents.update_one({"_id": id}, {"$inc": {"lastActivity": -milliseconds}})

    async def age_all(self, driver, milliseconds):
        with self.collection() as documents:
            ids = [document["_id"] for document in documents.find({}, {"_id": 1})]
            documents.bulk_write(
                [
                    pymongo.UpdateOne({"_id": id}, {"$inc": {"lastActivity": -milliseconds - number}})
                    for number, id in enumerate(ids)
                ]
            )

    def test_document(self):
        """The document is the original's, fields in its order, its number a double."""

        async def scenario(driver):
            version = await driver.write(ID, '{"a":"ü"}', None)
            await driver.write(ID, '{"a":"b"}', version)
            with self.collection() as documents:
                document = documents.find_one()
                assert list(document) == ["_id", "payload", "lastActivity"]
                assert (document["_id"], document["payload"]) == (ID, '"{\\"a\\":\\"b\\"}"')
                assert isinstance(document["lastActivity"], float) and document["lastActivity"] > 1.6e12
                assert [index["key"] for index in documents.list_indexes() if "lastActivity" in index["key"]]

        self._run(scenario)

    def test_index_of_a_late_server(self):
        """A server that comes after the program still gets its index."""

        async def main():
            async with Proxy(self.server.port) as proxy:
                proxy.mute = True
                config = self.config({"port": proxy.port, "timeout": 100})
                async with application(config) as ask:
                    assert (await ask(None))[0] == 503
                    await asyncio.sleep(0.3)  # the first attempts to make the index fail
                    proxy.mute = False
                    with pymongo.MongoClient("127.0.0.1", self.server.port) as client:
                        documents = client["tests"][config["table"]]
                        while not any("lastActivity" in index["key"] for index in documents.list_indexes()):
                            await asyncio.sleep(0.05)

        asyncio.run(asyncio.wait_for(main(), 30))

    def test_close_in_another_loop(self):
        """A driver that was used in a loop that has ended can be closed in the next one, which has not used it."""

        async def use():
            client = AsyncIOMotorClient("127.0.0.1", self.server.port)
            driver = await drivers.create(Config.from_dict(self.config({"client": client, "database": "tests"})))
            await driver.write(ID, "text", None)
            return driver, client

        driver, client = asyncio.run(use())
        asyncio.run(driver.close())
        client.close()

    @pytest.mark.parametrize("make", [AsyncIOMotorClient, pymongo.AsyncMongoClient], ids=["motor", "pymongo"])
    def test_client(self, make):
        """A client of the program's own is used, be it motor's or PyMongo's, and left open."""

        async def main():
            client = make("127.0.0.1", self.server.port)
            config = {"secret": SECRET, "driver": "database", "table": f"own_{make.__name__}", "lottery": [0, 1]}
            config["connection"] = {"adapter": "mongodb", "client": client, "database": "tests"}
            async with application(config) as ask:
                _, body, cookie = await ask(None)
                assert body == "1"
                await asyncio.gather(*(ask(cookie) for _ in range(10)))
                assert (await ask(cookie, "/read"))[1] == "11"
            assert await client["tests"][config["table"]].count_documents({}) == 1
            closing = client.close()
            if closing is not None:
                await closing

        asyncio.run(main())

    def test_too_large_for_a_document(self):
        """Of many new or changed sessions in one turn, one beyond MongoDB's 16 MB is an error that says so."""

        async def scenario(driver):
            ids = [f"{number:040d}" for number in range(20)]
            texts = ["x" * 17_000_000 if number == 7 else "new" for number in range(20)]
            versions = await asyncio.gather(*(driver.write(id, "old", None) for id in ids))
            for known, expected in ((versions, "old"), ([None] * 20, None)):
                outcomes = await asyncio.gather(*map(driver.write, ids, texts, known), return_exceptions=True)
                assert [number for number in range(20) if isinstance(outcomes[number], UnavailableError)] == [7]
                assert "17000002 bytes" in str(outcomes[7])
                found = await asyncio.gather(*map(driver.read, ids))
                texts_found = [record and record.payload for record in found]
                assert texts_found == [expected if number == 7 else "new" for number in range(20)]
                await asyncio.gather(*map(driver.destroy, ids))

        self._run(scenario)

    @pytest.mark.parametrize("payload", ["", "{", "[1]", None, 5])
    def test_damaged(self, payload):
        """A payload that is no JSON string is damaged, and does not stop a listing."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            with self.collection() as documents:
                documents.update_one({}, {"$set": {"payload": payload}})
            with pytest.raises(DamagedError):
                await driver.read(ID)
            assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]

        self._run(scenario)

    def test_url(self):
        """A URL does as well as its parts, and its path is the database."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            url = f"mongodb://127.0.0.1:{self.server.port}/tests"
            config = {"secret": SECRET, "driver": "database", "table": self.table}
            other = await drivers.create(
                Config.from_dict({**config, "connection": {"adapter": "sails-mongo", "url": url}})
            )
            assert (await other.read(ID)).payload == "text"
            await other.close()

        self._run(scenario)


def no_longer_primary(fake: FakeMongo, code: int = 10107):
    """A server that answers updates on the first connection that asks for one with an error, and then is well."""
    first = []

    def answer(number, command):
        if "update" not in command:
            return None
        first.append(number)
        if number != first[0] or (fake.replica_set and len(first) > 1):
            return None
        labels = {"errorLabels": ["RetryableWriteError"]} if fake.replica_set else {}
        return {"ok": 0.0, "code": code, "errmsg": "not primary", **labels}

    return answer


@pytest.mark.parametrize("replica_set", [False, True], ids=["one address", "replica set"])
def test_no_longer_primary(replica_set):
    """A server that is no longer the primary has done nothing, so the next one is asked, by PyMongo or by us."""

    async def main():
        async with FakeMongo(None, replica_set=replica_set) as fake:
            fake.answer = no_longer_primary(fake)
            driver = await drivers.create(Config.from_dict(to_fake(fake)))
            await driver.write(ID, "text", '"before"')
            await driver.write(ID, "next", '"text"')
            updates = [(number, command) for number, command in fake.commands if "update" in command]
            assert len(updates) == 3
            if replica_set:  # it is the server that knows a write by its number, so that it is not done twice
                assert len({command["txnNumber"] for _, command in updates[:2]}) == 1
            else:
                assert updates[0][0] != updates[1][0]
            await driver.close()

    asyncio.run(main())


def test_no_longer_primary_among_many():
    """Of several new sessions in one command some may be made when the server refuses the rest: it is asked once."""

    async def main():
        async with FakeMongo(None) as fake:
            fake.answer = no_longer_primary(fake)
            driver = await drivers.create(Config.from_dict(to_fake(fake)))
            writes = (driver.write(letter * 40, "text", None) for letter in "abc")
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {UnavailableError}
            assert len([command for _, command in fake.commands if "update" in command]) == 1
            await driver.write(ID, "text", '"before"')  # on a connection to the present primary
            await driver.close()

    asyncio.run(main())


def test_interrupted_by_a_stepdown():
    """A write that was under way when its server stepped down may have been done: an error, and asked once."""

    async def main():
        async with FakeMongo(None) as fake:
            fake.answer = no_longer_primary(fake, 11602)
            driver = await drivers.create(Config.from_dict(to_fake(fake)))
            with pytest.raises(UnavailableError):
                await driver.write(ID, "text", '"before"')
            await driver.write(ID, "text", '"before"')  # on a connection to the present primary
            assert len([command for _, command in fake.commands if "update" in command]) == 2
            await driver.close()

    asyncio.run(main())


def to_fake(fake: FakeMongo) -> dict:
    connection = {"adapter": "mongodb", "url": f"mongodb://127.0.0.1:{fake.port}/tests"}
    return {"secret": SECRET, "driver": "database", "connection": connection}
