"""The MongoDB driver on connect-mongo's collection, on a server that keeps dates and documents as MongoDB does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from datetime import datetime, timedelta, timezone

import bson
import pymongo
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from servers import start

from drivers.on_server import OnServer
from drivers.removal_contract import EXPIRED, HOUR, RemovalContract
from drivers.server_contract import ServerContract
from drivers.serving import ID, TABLES
from drivers.turns_contract import gather, name, payloads
from node_session import NodeSession
from node_session.drivers import mongo_documents
from node_session.drivers.connection import Connection
from node_session.drivers.express_mongo import ExpressLayout, ExpressMongoDriver
from node_session.errors import ConflictError, DamagedError, SerializationError, UnsupportedError

DAY = 24 * HOUR
TEXT = '{"cookie":{"originalMaxAge":null,"expires":null},"a" : [1.0, "\\u0000 \\ud800 ü"],"a":2}'
MOMENT = datetime(2026, 11, 26, 21, 35, 4, 123000)


class AnyText(ExpressLayout):
    """Documents that hold any text: the contract's are not JSON."""

    def encode(self, payload, version):
        return super().encode(json.dumps({"text": payload}), version)

    def decode(self, document):
        return json.loads(super().decode(document))["text"]


class OnMongo(OnServer):
    """A client of our own to the server."""

    name = "mongodb"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        cls.server = start("exact-mongodb")
        yield
        cls.server.stop()

    @contextlib.contextmanager
    def collection(self, table=None):
        with pymongo.MongoClient("127.0.0.1", self.server.port) as client:
            yield client["tests"][table or self.table]


class TestContract(OnMongo, RemovalContract, ServerContract):
    """It keeps the contract, and survives its server."""

    wrong_password = False  # this server has none
    unknown_database = None  # there is none: a database is made when it is used
    stringify = True

    # Programs of their own, which a test of this process cannot give the driver; `TestFormat` has them.
    test_nothing_is_lost_by_several_processes = test_interrupted = test_command_line = None

    @pytest.fixture(autouse=True)
    def _choose(self, monkeypatch):
        def create(options, connection):
            return ExpressMongoDriver(connection, options.table, options.lifetime, stringify=self.stringify)

        monkeypatch.setattr("node_session.drivers.mongo.create", create)

    def _make_older(self, documents, wanted, milliseconds):
        for number, document in enumerate(list(documents.find(wanted, {"expires": 1}).sort("_id"))):
            older = document["expires"] - timedelta(milliseconds=milliseconds + number)
            documents.update_one({"_id": document["_id"]}, {"$set": {"expires": older}})

    async def age(self, driver, id, milliseconds):
        with self.collection() as documents:
            self._make_older(documents, {"_id": id}, milliseconds)

    async def age_all(self, driver, milliseconds):
        with self.collection() as documents:
            self._make_older(documents, {}, milliseconds)

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


class TestDocumentsContract(TestContract):
    """It keeps the contract with documents as well."""

    stringify = False

    @pytest.fixture(autouse=True)
    def _any_text(self, monkeypatch):
        monkeypatch.setattr("node_session.drivers.express_mongo.ExpressLayout", AnyText)


class TestFormat(OnMongo):
    """By the option `format`, it serves sessions over HTTP, to several programs and on the command line."""

    test_sessions = ServerContract.test_sessions
    test_log_out_against_rotations = ServerContract.test_log_out_against_rotations
    test_the_old_record_is_gone_after_the_grace = ServerContract.test_the_old_record_is_gone_after_the_grace
    test_nothing_is_lost_by_several_processes = ServerContract.test_nothing_is_lost_by_several_processes
    test_command_line = ServerContract.test_command_line

    def config(self, connection=None, **options):
        """See `OnServer.config`."""
        return super().config(connection, format="express-session", **options)


class TestCollection(OnMongo):
    """The collection is connect-mongo's."""

    @contextlib.asynccontextmanager
    async def opened(self, lifetime=DAY, *, table=None, **options):
        """A driver, on a collection of its own."""
        self.table = table or next(TABLES)
        wanted, _ = Connection.from_options(self.server.connection, "mongodb")
        driver = ExpressMongoDriver(wanted, self.table, lifetime, **options)
        try:
            yield driver
        finally:
            await driver.close()

    def put(self, id=ID, left=HOUR, **fields):
        """Put a document there, which has so many milliseconds left."""
        expires = datetime.now(timezone.utc) + timedelta(milliseconds=left)
        with self.collection() as documents:
            documents.update_one({"_id": id}, {"$set": {"expires": expires, **fields}}, upsert=True)

    def document(self, id=ID):
        with self.collection() as documents:
            return documents.find_one({"_id": id})

    def left(self, id=ID):
        """The milliseconds that a record has left."""
        return (self.document(id)["expires"] - datetime.now(timezone.utc).replace(tzinfo=None)) / timedelta(
            milliseconds=1
        )

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
                    for id, record in zip(ids, found, strict=True):
                        assert record.idle == pytest.approx(0, abs=60_000)
                        document = self.document(id)
                        assert set(document) == {"_id", "session", "expires"} and document["session"] == text
                        assert self.left(id) == pytest.approx(DAY, abs=60_000)
                assert await gather(*(driver.confirm(id, versions[0]) for id in ids)) == [True] * number
                outcomes = await gather(*(driver.write(id, TEXT, TEXT) for id in ids))
                assert {type(outcome) for outcome in outcomes} == {ConflictError}

        asyncio.run(main())

    def test_index(self):
        """The index is connect-mongo's, which makes MongoDB remove expired records; without it, connect-mongo fails."""

        async def main():
            async with self.opened() as driver:
                await driver.write(ID, TEXT, None)
                with self.collection() as documents:
                    while len(found := list(documents.list_indexes())) < 2:
                        await asyncio.sleep(0.05)
                assert (found[1]["name"], found[1]["expireAfterSeconds"]) == ("expires_1", 0)

        asyncio.run(main())

    def test_index_that_is_there(self, caplog):
        """An index on `expires` of the owner's own stays, and is no reason for a warning."""

        async def main():
            async with self.opened() as driver:
                with self.collection() as documents:
                    documents.create_index("expires")
                await driver.write(ID, TEXT, None)
                await asyncio.sleep(0.2)
                with self.collection() as documents:
                    assert "expireAfterSeconds" not in list(documents.list_indexes())[1]

        with caplog.at_level(logging.WARNING):
            asyncio.run(main())
        assert not caplog.records

    @pytest.mark.parametrize("stringify", [True, False])
    def test_expiry(self, stringify):
        """A record expires when it says: earlier, later, or never if it says nothing."""

        async def main():
            async with self.opened(stringify=stringify) as driver:
                text = '{"cookie":{}}'
                await driver.write(name(1), text, None, idle=DAY - HOUR)
                await driver.write(name(2), text, None, idle=-DAY)
                assert self.left(name(1)) == pytest.approx(HOUR, abs=60_000)
                assert self.left(name(2)) == pytest.approx(2 * DAY, abs=60_000)
                self.put(name(3), session=text)
                self.put(name(4), left=-1, session=text)
                with self.collection() as documents:
                    documents.update_one({"_id": name(3)}, {"$unset": {"expires": ""}})
                    documents.insert_one({"_id": name(5), "session": text, "expires": None})  # absent for connect-mongo
                ids = [name(each) for each in range(1, 6)]
                for found in (await gather(*map(driver.read, ids)), [await driver.read(id) for id in ids]):
                    assert payloads(found) == [text, text, text, None, None]
                    idle = [record.idle for record in found[:3]]
                    assert idle == pytest.approx([DAY - HOUR, -DAY, 0], abs=60_000)
                assert await driver.alive(ids) == set(ids[:3])
                assert {entry.id async for entry in driver.scan()} == set(ids[:3])
                assert await driver.gc(DAY) == 1
                with self.collection() as documents:
                    assert len(list(documents.find())) == 4

        asyncio.run(main())

    def test_the_moment_of_expiry(self):
        """A record is over in the millisecond that it says, and one from before 1970 like any other."""

        async def main():
            now = 1_800_000_000
            async with self.opened(clock=lambda: now) as driver:
                for number, left in enumerate((1, 0, -1, -2 * now * 1000)):
                    expires = DatetimeMS(now * 1000 + left)
                    with self.collection() as documents:
                        documents.insert_one({"_id": name(number), "session": "{}", "expires": expires})
                assert await driver.alive([name(number) for number in range(4)]) == {name(0)}
                assert await driver.gc(DAY) == 3

        asyncio.run(main())

    def test_other_fields(self):
        """Fields of the owner's own, and the times that connect-mongo's `timestamps` keeps, stay."""

        async def main():
            async with self.opened() as driver:
                self.put(session="{}", createdAt=MOMENT, mine=[1])
                record = await driver.read(ID)
                await driver.write(ID, '{"a":1}', record.version)
                await driver.touch(ID)
                document = self.document()
                assert (document["createdAt"], document["mine"], document["session"]) == (MOMENT, [1], '{"a":1}')
                assert "lastModified" not in document

        asyncio.run(main())

    @pytest.mark.parametrize("how", ["touch", "confirm", "write"])
    def test_last_modified(self, how):
        """If a record has the time that `touchAfter` needs, each renewal sets it; never later than the activity."""

        async def main():
            async with self.opened() as driver:
                self.put(session="{}", lastModified=MOMENT)
                record = await driver.read(ID)
                for idle, since in ((0, 0), (HOUR, HOUR), (-HOUR, 0)):
                    if how == "touch":
                        await driver.touch(ID, idle=idle)
                    elif how == "confirm":
                        assert await driver.confirm(ID, record.version, idle=idle)
                    else:
                        await driver.write(ID, "{}", record.version, idle=idle)
                    now = datetime.now(timezone.utc).replace(tzinfo=None)
                    ago = (now - self.document()["lastModified"]) / timedelta(milliseconds=1)
                    assert ago == pytest.approx(since, abs=60_000)
                    assert self.left() == pytest.approx(DAY - idle, abs=60_000)

        asyncio.run(main())

    @pytest.mark.parametrize("session", [None, 5, [1], "absent"])
    def test_damaged(self, session):
        """A record without a text or a document is damaged; it stays, and does not stop a listing."""

        async def main():
            async with self.opened() as driver:
                self.put(**({} if session == "absent" else {"session": session}))
                before = self.document()
                with pytest.raises(DamagedError):
                    await driver.read(ID)
                with pytest.raises(ConflictError):
                    await driver.write(ID, "{}", None)
                assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]
                assert self.document() == before

        asyncio.run(main())

    def test_form(self):
        """A record keeps the form that it has; a new one has the form of the option."""

        async def main():
            for stringify in (True, False):
                async with self.opened(stringify=stringify) as driver:
                    self.put(name(1), session='{"a":1}')
                    self.put(name(2), session={"a": 1})
                    for id in (name(1), name(2)):
                        record = await driver.read(id)
                        version = await driver.write(id, '{"a":2}', record.version)
                        assert version == (await driver.read(id)).version
                        await driver.write(id, '{"a":3}', version)
                    await driver.write(name(3), '{"a":3}', None)
                    found = [self.document(name(each))["session"] for each in (1, 2, 3)]
                    assert found == ['{"a":3}', {"a": 3}, '{"a":3}' if stringify else {"a": 3}]

        asyncio.run(main())

    def test_the_other_form_is_a_warning(self, caplog):
        """A record of the form that new ones do not have is told once, with the option that cures it."""

        async def main():
            for stringify, right, wrong in ((True, "{}", {}), (False, {}, "{}")):
                async with self.opened(stringify=stringify) as driver:
                    for session, warnings in ((right, 0), (wrong, 1), (wrong, 1)):
                        self.put(session=session)
                        await driver.read(ID)
                        assert len(caplog.records) == warnings
                    value = str(not stringify).lower()
                    assert f'has stringify: {value}, set "stringify": {value} in connection' in caplog.text
                    caplog.clear()

        asyncio.run(main())

    def test_version_of_a_document(self):
        """A document in another order, with another type or another value is another version."""

        async def main():
            async with self.opened(stringify=False) as driver:
                session = {"a": 1, "b": {"x": MOMENT, "y": None}}
                others = [
                    {"b": {"x": MOMENT, "y": None}, "a": 1},
                    {"a": 1, "b": {"y": None, "x": MOMENT}},
                    {"a": 1, "b": {"x": MOMENT.isoformat(), "y": None}},
                    {"a": True, "b": {"x": MOMENT, "y": None}},
                    {"a": 1, "b": {"x": MOMENT}},
                ]
                for other in others:
                    self.put(session=session)
                    record = await driver.read(ID)
                    self.put(session=other)
                    with pytest.raises(ConflictError):
                        await driver.write(ID, "{}", record.version)
                    with pytest.raises(ConflictError):
                        await driver.destroy(ID, record.version)
                    assert not await driver.confirm(ID, record.version)
                    assert self.document()["session"] == other
                self.put(session={"$exists": True})  # no condition
                record = await driver.read(ID)
                self.put(session=session)
                assert not await driver.confirm(ID, record.version)

        asyncio.run(main())

    def test_values_of_a_document(self):
        """Values that JSON shows as something else are written back as they were, unless they have changed."""

        async def main():
            async with self.opened() as driver:
                session = {
                    "cookie": {"originalMaxAge": 60_000, "expires": MOMENT, "sameSite": None},
                    "passport": {"user": bson.ObjectId("0" * 24)},
                    **{"when": MOMENT, "big": bson.Int64(5), "half": 0.5, "whole": 2.0, "blob": b"\0\1"},
                    "list": [MOMENT, {"at": MOMENT}],
                    **{"flag": True, "one": 1, "changed": MOMENT, "moved": MOMENT, "gone": MOMENT},
                }
                self.put(session=session)
                record = await driver.read(ID)
                spelt = "2026-11-26T21:35:04.123Z"
                shown = json.loads(record.payload)
                assert shown == {
                    "cookie": {"originalMaxAge": 60_000, "expires": spelt, "sameSite": None},
                    "passport": {"user": "0" * 24},
                    **{"when": spelt, "big": 5, "half": 0.5, "whole": 2, "blob": "AAE="},
                    "list": [spelt, {"at": spelt}],
                    **{"flag": True, "one": 1, "changed": spelt, "moved": spelt, "gone": spelt},
                }
                later = "2026-11-26T22:00:00.000Z"
                del shown["gone"]
                shown["list"].append(spelt)
                shown.update(flag=1, one=True)
                shown.update(changed="no date", moved=later, new=2**40, large=2**53 - 1, small=-1, text=later)
                shown["cookie"]["expires"] = later
                await driver.write(ID, json.dumps(shown), record.version)
                hour = datetime(2026, 11, 26, 22)
                del session["gone"]
                session["list"].append(spelt)
                session.update(flag=1, one=True)
                session.update(changed="no date", moved=hour, new=2.0**40, large=2.0**53 - 1, small=-1, text=later)
                session["cookie"]["expires"] = hour
                with self.collection() as documents:
                    raw = documents.with_options(mongo_documents.CODEC).find_one({"_id": ID})
                assert raw["session"].raw == bson.encode(session)

        asyncio.run(main())

    def test_end_of_a_cookie(self):
        """The end of a cookie is a date in a document, also where there was none; Express writes null or a date."""

        async def main():
            async with self.opened(stringify=False) as driver:
                version = await driver.write(ID, '{"cookie":{"expires":"2026-11-26T21:35:04.123Z"}}', None)
                assert self.document()["session"] == {"cookie": {"expires": MOMENT}}
                version = await driver.write(ID, '{"cookie":{"expires":null}}', version)
                assert self.document()["session"] == {"cookie": {"expires": None}}
                version = await driver.write(ID, '{"cookie":{"expires":"2026-11-26T21:35:04.123Z"}}', version)
                assert self.document()["session"] == {"cookie": {"expires": MOMENT}}
                for text in ('{"cookie":{}}', '{"cookie":5}', "{}"):
                    version = await driver.write(ID, text, version)
                    assert self.document()["session"] == json.loads(text)

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("value", "type"),
        [
            (bson.Regex("a"), "Regex"),
            (bson.Decimal128("1.5"), "Decimal128"),
            (bson.Timestamp(1, 1), "Timestamp"),
            (bson.Int64(2**53), "Int64"),
            (bson.Code("f()"), "Code"),
            (bson.MinKey(), "MinKey"),
            (DatetimeMS(2**50), "DatetimeMS"),
        ],
    )
    def test_values_without_a_form(self, value, type):
        """A document that JSON cannot show is an error that names the place; it stays, and a listing goes on."""

        async def main():
            async with self.opened() as driver:
                self.put(session={"a": [{"b": value}]})
                with pytest.raises(UnsupportedError, match=rf"session\['a'\]\[0\]\['b'\].* is a {type} of BSON"):
                    await driver.read(ID)
                with pytest.raises(ConflictError):
                    await driver.write(ID, "{}", None)
                assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]
                assert await driver.alive([ID]) == {ID}

        asyncio.run(main())

    @pytest.mark.parametrize(
        "text",
        ['{"a":"\\ud800"}', '{"a\\u0000":1}', f'{{"a":{2**53}}}', "[1]", "no JSON", '{"a":' * 100 + "1" + "}" * 100],
    )
    def test_texts_without_a_form(self, text):
        """A session that BSON cannot hold is an error, and nothing is written."""

        async def main():
            async with self.opened(stringify=False) as driver:
                for version in (None, RawBSONDocument(bson.encode({"a": 1}), mongo_documents.CODEC)):
                    if version is not None:
                        self.put(session={"a": 1})
                    with pytest.raises(SerializationError):
                        await driver.write(ID, text, version)
                assert self.document()["session"] == {"a": 1}

        asyncio.run(main())
