"""Our driver of connect-mongo's collection beside connect-mongo itself, on one server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
from datetime import datetime, timedelta, timezone

import pymongo
import pytest
from doors import HERE
from servers import start

from node_session.drivers.connection import Connection
from node_session.drivers.express_mongo import ExpressMongoDriver
from node_session.errors import ConflictError

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules" / "connect-mongo").exists(),
    reason="connect-mongo is not installed: it needs Node and npm, and then make test",
)

DAY = 24 * 60 * 60
TTL = 14 * DAY
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}
TEXT = "ü \u0000 \U0001f600 \"'\\"
SESSION = {"cookie": COOKIE, "passport": {"user": 0}, "text": TEXT, "list": [1.5, None, {}]}
ID = "cGFzc3BvcnQgYW5kIGZyaWVuZHMhISE0"

COLLECTIONS = (f"sessions_{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server():
    server = start("exact-mongodb")
    yield server
    server.stop()


class Store:
    """The store of connect-mongo, in a process of its own."""

    def __init__(self, server, **options) -> None:
        at = {"mongoUrl": f"mongodb://127.0.0.1:{server.port}/tests", **options}
        pipe = subprocess.PIPE
        command = ["node", "mongo_store.js", json.dumps(at)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=HERE, text=True)

    def ask(self, *call):
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __call__(self, *call):
        answer = self.ask(*call)
        assert "error" not in answer, answer
        return answer["result"]

    def get(self, id=ID):
        """A session without the members of its cookie that are null in a document."""
        found = self("get", id)
        if found:
            for name in ("partitioned", "priority", "secure", "domain", "sameSite"):
                if found["cookie"].get(name, "") is None:
                    del found["cookie"][name]
        return found

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Both:
    """Both sides on one collection, and a client of our own to it."""

    def __init__(self, driver, store, documents) -> None:
        self.driver = driver
        self.store = store
        self.documents = documents

    def document(self, id=ID):
        return self.documents.find_one({"_id": id})

    def left(self, id=ID):
        """The seconds that a record has left."""
        return self.ago("expires", id) * -1

    def ago(self, field, id=ID):
        return (datetime.now(timezone.utc).replace(tzinfo=None) - self.document(id)[field]) / timedelta(seconds=1)

    def later(self, seconds):
        """Make each record older."""
        for each in list(self.documents.find({}, {"expires": 1, "lastModified": 1})):
            dates = {name: value - timedelta(seconds=seconds) for name, value in each.items() if name != "_id"}
            self.documents.update_one({"_id": each["_id"]}, {"$set": dates})


@contextlib.asynccontextmanager
async def both(server, *, lifetime=TTL * 1000, stringify=True, **options):
    wanted, _ = Connection.from_options(server.connection, "mongodb")
    name = next(COLLECTIONS)
    driver = ExpressMongoDriver(wanted, name, lifetime, stringify=stringify)
    store = Store(server, collectionName=name, stringify=stringify, **options)
    client = pymongo.MongoClient("127.0.0.1", server.port)
    try:
        yield Both(driver, store, client["tests"][name])
    finally:
        client.close()
        store.close()
        await driver.close()


def iso(seconds: float) -> str:
    """A time from now on, as JavaScript writes it."""
    moment = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def without_nulls(text: str) -> dict:
    """A session of ours without the members of its cookie that are null in a document."""
    session = json.loads(text)
    cookie = session["cookie"]
    keep = ("originalMaxAge", "expires")
    return {**session, "cookie": {name: cookie[name] for name in cookie if cookie[name] is not None or name in keep}}


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("stringify", [True, False], ids=["text", "document"])
def test_either_reads_what_the_other_has_written(server, stringify, first):
    """Either side reads, replaces and destroys the other's records; neither keeps the other from making its index."""

    async def main():
        async with both(server, stringify=stringify) as sides:
            driver, store = sides.driver, sides.store
            if first == "ours":
                await driver.write("another", json.dumps(SESSION), None)
                while not any("expires" in index["key"] for index in sides.documents.list_indexes()):
                    await asyncio.sleep(0.05)
                assert store.get("another") == SESSION
            store("set", ID, SESSION)
            record = await driver.read(ID)
            assert without_nulls(record.payload) == SESSION
            assert sides.left() == pytest.approx(TTL, abs=60) and record.idle == pytest.approx(0, abs=60_000)

            changed = {**json.loads(record.payload), "text": "ours", "more": {"a": [True]}}
            version = await driver.write(ID, json.dumps(changed), record.version)
            assert store.get() == {**SESSION, "text": "ours", "more": {"a": [True]}}
            assert isinstance(sides.document()["session"], str) is stringify
            assert sides.left() == pytest.approx(TTL, abs=60)

            store("set", ID, SESSION)
            with pytest.raises(ConflictError):
                await driver.write(ID, json.dumps(changed), version)
            assert store.get() == SESSION

            await driver.destroy(ID)
            assert store.get() is None
            await driver.write(ID, json.dumps(SESSION), None)
            store("destroy", ID)
            assert await driver.read(ID) is None
            indexes = [index for index in sides.documents.list_indexes() if "expires" in index["key"]]
            assert [index["expireAfterSeconds"] for index in indexes] == [0]

    asyncio.run(main())


@pytest.mark.parametrize("stringify", [True, False], ids=["text", "document"])
def test_either_renews(server, stringify):
    """Either side's renewal is one for the other, and changes no content."""

    async def main():
        async with both(server, stringify=stringify) as sides:
            driver, store = sides.driver, sides.store
            version = await driver.write(ID, json.dumps(SESSION), None)
            before = sides.document()["session"]
            for renew in ("theirs", "touch", "confirm"):
                sides.later(DAY)
                assert (await driver.read(ID)).idle == pytest.approx(DAY * 1000, abs=60_000)
                if renew == "theirs":
                    store("touch", ID, SESSION)
                elif renew == "touch":
                    await driver.touch(ID)
                else:
                    assert await driver.confirm(ID, version)
                assert sides.left() == pytest.approx(TTL, abs=60) and sides.document()["session"] == before
                assert (await driver.read(ID)).idle == pytest.approx(0, abs=60_000)

    asyncio.run(main())


@pytest.mark.parametrize("stringify", [True, False], ids=["text", "document"])
def test_lifetimes(server, stringify):
    """A session whose cookie says when it ends has that time, whoever writes it; in a document it is a date."""

    async def main():
        async with both(server, stringify=stringify) as sides:
            driver, store = sides.driver, sides.store
            for days in (0.25, 30):
                cookie = {**COOKIE, "originalMaxAge": int(DAY * days * 1000), "expires": iso(DAY * days)}
                session = {**SESSION, "cookie": cookie}
                store("set", ID, session)
                record = await driver.read(ID)
                idle = (TTL - DAY * days) * 1000
                assert record.idle == pytest.approx(idle, abs=60_000)
                assert without_nulls(record.payload) == session
                cookie["expires"] = iso(DAY * days + 1)
                changed = {**json.loads(record.payload), "cookie": cookie}
                await driver.write(ID, json.dumps(changed), record.version, idle=idle)
                assert sides.left() == pytest.approx(DAY * days, abs=60) and store.get() == session
                if not stringify:
                    assert isinstance(sides.document()["session"]["cookie"]["expires"], datetime)
                sides.later(60 * 60)
                await driver.touch(ID, idle=idle)
                assert sides.left() == pytest.approx(DAY * days, abs=60)

    asyncio.run(main())


def test_dates_stay_dates(server):
    """A date that an application on Express keeps in a document is one after our changes."""

    async def main():
        async with both(server, stringify=False) as sides:
            dates = [iso(0), iso(60)]
            sides.store("set", ID, {**SESSION, "dates": dates})
            record = await sides.driver.read(ID)
            session = json.loads(record.payload)
            assert session["dates"] == dates
            session["more"] = 1
            await sides.driver.write(ID, json.dumps(session), record.version)
            assert [type(each) for each in sides.document()["session"]["dates"]] == [datetime, datetime]
            assert sides.store.get() == {**SESSION, "dates": dates, "more": 1}

    asyncio.run(main())


def test_either_expires(server):
    """A record is over for both sides at the same time; our sweep removes what either has left, and nothing else."""

    async def main():
        async with both(server) as sides:
            driver, store = sides.driver, sides.store
            text = json.dumps(SESSION)
            ids = [f"{ID}{number}" for number in range(6)]
            for id in ids[:2]:
                store("set", id, SESSION)
            await asyncio.gather(*(driver.write(id, text, None) for id in ids[2:4]))
            await asyncio.gather(*(driver.write(id, text, None, idle=-DAY * 1000) for id in ids[4:]))

            async def found() -> tuple[list, list]:
                ours = await asyncio.gather(*map(driver.read, ids))
                return [record and json.loads(record.payload) for record in ours], [store.get(id) for id in ids]

            sides.later(TTL - 60)
            assert await found() == ([SESSION] * 6, [SESSION] * 6)
            assert await driver.gc(TTL * 1000) == 0
            sides.later(120)
            assert await found() == ([None] * 4 + [SESSION] * 2, [None] * 4 + [SESSION] * 2)
            assert await driver.gc(TTL * 1000) == 4
            assert sorted(each["_id"] for each in sides.documents.find()) == ids[4:]

    asyncio.run(main())


def test_touch_after(server):
    """With `touchAfter`, connect-mongo takes our renewal for one of its own, and renews when that is long ago."""

    async def main():
        async with both(server, touchAfter=60 * 60) as sides:
            driver, store = sides.driver, sides.store
            store("set", ID, SESSION)
            sides.later(DAY)
            record = await driver.read(ID)
            await driver.touch(ID)
            assert sides.ago("lastModified") == pytest.approx(0, abs=60)
            renewed = sides.document()
            loaded = sides.document()["lastModified"]
            assert store.get()["lastModified"] == loaded.isoformat(timespec="milliseconds") + "Z"
            sides.later(DAY)
            await driver.write(ID, json.dumps({**SESSION, "text": "ours"}), record.version)
            assert sides.ago("lastModified") == pytest.approx(0, abs=60)
            assert sides.document()["lastModified"] >= renewed["lastModified"]
            assert '"lastModified"' not in sides.document()["session"]

    asyncio.run(main())


@pytest.mark.parametrize("stringify", [True, False], ids=["text", "document"])
def test_encrypted(server, stringify):
    """A record that connect-mongo has encrypted is read as it is, which is no JSON; it is there, and not replaced."""

    async def main():
        async with both(server, stringify=stringify, crypto={"secret": "a secret"}) as sides:
            sides.store("set", ID, SESSION)
            before = sides.document()
            record = await sides.driver.read(ID)
            assert record.payload == before["session"] and record.payload[0] not in "{["
            with pytest.raises(ConflictError):
                await sides.driver.write(ID, json.dumps(SESSION), None)
            assert await sides.driver.alive([ID]) == {ID} and sides.document() == before
            assert sides.store.get() == SESSION

    asyncio.run(main())
