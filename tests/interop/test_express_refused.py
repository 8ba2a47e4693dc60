"""Records of Express that ours does not support: over HTTP an error that names the cause, and nothing is written."""

from __future__ import annotations

import time

import pytest
from doors import SECRET

from node_session import cookies

ID = "0123456789-_abcdefghijklmnopqrst"

RECORDS = {
    "another serializer": "gAAAAABn",
    "crypto of connect-mongo": "MIICRgSBabcd",
    "a JSON string": '"eyJjdCI6IngifQ=="',
    "secret of session-file-store": '{"hmac":"YQ==","ct":"Yg==","iv":"Yw=="}',
}

# Each makes a session change, if there is one.
CALLS = [
    ["set", "a", 1],
    ["note", "status", "Saved."],
    ["flash", "info"],
    ["move"],
    ["regenerate"],
    ["own", "ann"],
    ["maxAge", 60_000],
    ["csurfToken"],
]


def cookie_of(id: str) -> str:
    return f"connect.sid={cookies.sign(id, SECRET)}"


@pytest.fixture
def open_ours(express_store, open_express_door):
    """Opens a door to ours, on a store whose table is there; in a test's own body, so that its log is captured."""
    if hasattr(express_store, "run"):
        express_store.run(
            "CREATE TABLE IF NOT EXISTS session "
            "(sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)"
        )
    return lambda: open_express_door("ours", express_store)


@pytest.mark.parametrize("kind", RECORDS)
def test_records(express_store, open_ours, kind, capfd):
    """Whatever a handler does, the record stays as it is, the answer is a 500, and the log names the option."""
    if type(express_store).__name__ == "PostgresqlStore" and RECORDS[kind][0] not in '"{':
        pytest.skip("a column of type json cannot hold it")
    id = f"{list(RECORDS).index(kind)}{ID[1:]}"
    express_store.write(id, RECORDS[kind], time.time() + 3600)
    before, door = express_store.raw(), open_ours()
    for call in CALLS:
        status, body, lines = door.send([call], cookie_of(id))
        assert (status, lines) == (500, []), call
        assert b"Traceback" not in body
    assert express_store.raw() == before
    express_store.remove(id)
    log = capfd.readouterr().err
    assert log.count("does not support") == len(CALLS) and "connect-mongo" in log
    assert id not in log and SECRET not in log


def test_an_id_with_a_slash(express_store, open_ours, capfd):
    """Such an id of `genid` is refused by the store of files only, which stays as it is."""
    before, door = express_store.raw(), open_ours()
    statuses = [door.send([call], cookie_of("a/b"))[0] for call in CALLS]
    if type(express_store).__name__ == "FileStore":
        assert set(statuses) == {500}
        assert "cannot be the name of a file" in capfd.readouterr().err
        assert express_store.raw() == before
    else:
        assert set(statuses) == {200}


def test_a_uuid(express_store, open_ours):
    """A session whose id is a UUID is one like any other."""
    id = f"3f2504e0-4f89-41d3-9a0c-{time.time_ns():012x}"
    times = f'"__lastAccess":{int(time.time() * 1000)}'
    express_store.write(id, f'{{"cookie":{{"originalMaxAge":null,"path":"/"}},{times}}}', time.time() + 3600)
    assert open_ours().send([["set", "a", 1]], cookie_of(id))[0] == 200
    assert '"a":1' in express_store.read(id).text


def test_jsonb(express_stores, open_express_door, capfd):
    """With a column of type jsonb each request is a 503, with a cookie or without, and no row changes."""
    store = express_stores("postgresql")
    store.run("DROP TABLE IF EXISTS session")
    store.run("CREATE TABLE session (sid varchar PRIMARY KEY, sess jsonb NOT NULL, expire timestamp(6) NOT NULL)")
    try:
        store.run("""INSERT INTO session VALUES ($1, '{"a": 1, "cookie": {}}', now() + interval '1 hour')""", ID)
        before, door = store.raw(), open_express_door("ours", store)
        for cookie in (cookie_of(ID), None):
            for call in CALLS:
                status, _, lines = door.send([call], cookie)
                assert (status, lines) == (503, []), call
        assert store.raw() == before
    finally:
        store.run("DROP TABLE session")
    log = capfd.readouterr().err
    assert "has a column sess of type jsonb, not json" in log and "ALTER TABLE" in log
    assert ID not in log and SECRET not in log
