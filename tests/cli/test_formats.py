"""The commands on sessions of express-session, and `copy` from one format to the other."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from visitors import SECRET

from cli.shop import ANN, old_record
from node_session import NodeSession, cookies, drivers
from node_session.cli import ATTENTION, WRONG
from node_session.config import Config
from node_session.events import Events
from node_session.transport import Transport

ID, LONGER = "0123456789-_abcdefghijklmnopqrst", "0123456789-_abcdefghijklmnopqrst.longer"
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}


def express(shop, name: str = "express.json", **options) -> str:
    return shop.write(name, format="express-session", **options)


def put(shop, id: str = ID, *, name: str = "express.json", **attributes) -> None:
    """Store a session as session-file-store would."""
    text = json.dumps({"cookie": COOKIE, **attributes, "__lastAccess": int(time.time() * 1000)})
    shop.put(f"{id}.json", text, name=name)


def content(config: str, id: str) -> dict | None:
    """What a program with this config finds for a browser's cookie of this id."""

    async def find() -> dict | None:
        sessions = NodeSession(json.loads(Path(config).read_text()))
        found = Transport(sessions.config, Events("file"), sessions).find(
            _Request(f"{sessions.config.cookie}={cookies.sign(id, SECRET)}")
        )
        loaded = None if found.id is None else await (await sessions._records.get()).read(found.id)
        await sessions.close()
        return None if loaded is None else loaded.attributes

    return asyncio.run(find())


class _Request:
    remote_ip = "127.0.0.1"

    def __init__(self, cookie: str) -> None:
        self.headers = {"Cookie": cookie}


def test_the_commands(shop):
    """They find a session of Express by its id or the beginning of it, list it, show it and destroy it."""
    config = express(shop)
    secrets = {"csrfSecret": "s" * 24, "csrfToken": "f" * 256, "_token": "t" * 40}
    put(shop, passport={"user": 7}, **secrets)
    put(shop, LONGER, passport={"user": 8})
    shown = shop.json("show", config, ID)
    assert shown["attributes"] == {
        "passport": {"user": 7},
        "csrfSecret": "ssssss…",
        "csrfToken": "ffffff…",
        "_token": "tttttt…",
    }
    assert secrets["csrfSecret"] in shop.run("show", "--whole", config, ID)
    assert shop.json("show", config, LONGER[:-2])["attributes"]["passport"] == {"user": 8}
    shop.run("show", config, ID[:8], code=ATTENTION)
    assert "2 sessions begin" in shop.errors
    assert "1 session" in shop.run("ls", config, "--user", "passport.user=7")
    shop.run("destroy", config, ID)
    assert list(shop.stored("express.json")) == [f"{LONGER}.json"]
    assert shop.json("destroy", config, "--user", "passport.user=8")["destroyed"] == 1


def test_check(shop):
    """It compares with express-session, and never advises bindName, which this format does not have."""
    config = express(shop, secure=True, saveUninitialized=False, csrf=True)
    other = express(shop, "other.json", files=str(shop.files("express.json")), cookie="admin", **{"secure": True})
    text = shop.run("check", config)
    assert "differs from the defaults of express-session:" in text and "bindName" not in text
    data = shop.json("check", config)
    assert data["ok"] and data["warnings"] == [] and "bindName" not in data["notes"][0]
    assert data["differences"] == {
        "driver": {"here": "file", "original": "memory"},
        "expireOnClose": {"here": False, "original": True},
        "files": {"here": str(shop.files("express.json")), "original": str(Path.cwd() / "sessions")},
        "sameSite": {"here": "lax", "original": None},
        "secure": {"here": True, "original": False},
        "csrf": {"here": True, "original": False},
        "saveUninitialized": {"here": False, "original": True},
    }
    (warning,) = shop.json("check", config, other)["warnings"]
    assert "give one of them another secret" in warning


def test_tokens_in_a_farewell(shop):
    """The old record of a regenerated session shows no token either, whole or written on by Express."""
    config = express(shop)
    left = {"at": 1764160000000, "to": "mask", "attributes": {"csrfSecret": "s" * 24, "_token": "t" * 40, "a": 1}}
    put(shop, _left=left)
    put(shop, LONGER, _left=left, csrfSecret="u" * 24)
    for id in (ID, LONGER):
        shown = shop.json("show", config, id)["attributes"]["_left"]["attributes"]
        assert shown == {"csrfSecret": "ssssss…", "_token": "tttttt…", "a": 1}


def test_a_record_of_another_form(shop):
    """One that session-file-store has encrypted is listed as unreadable, and the others are shown."""
    config = express(shop)
    put(shop, passport={"user": 7})
    shop.put(f"{LONGER}.json", '{"hmac":"x","ct":"y","iv":"z"}', name="express.json")
    assert "2 sessions" in shop.run("ls", config, code=ATTENTION)
    assert "cannot be shown: this session's record is encrypted" in shop.run("show", config, LONGER, code=ATTENTION)
    assert shop.json("copy", config, express(shop, "new.json"), code=ATTENTION)["damaged"] == 1


def test_from_express(shop):
    """A session of Express is one of node-session for the same cookie, with its messages as flash data."""
    config = express(shop)
    put(shop, passport={"user": 7}, flash={"info": ["Saved."], "old": []}, _flash={"old": [], "new": []})
    new = shop.write("new.json", cookie="connect.sid", otherIds=True)
    assert shop.run("copy", config, new).strip() == "copied 1 session" and shop.errors == ""
    found = content(new, ID)
    assert found == {
        "passport": {"user": 7},
        "info": ["Saved."],
        "flash": {"old": [], "new": ["info"]},
    }


def test_messages_of_both(shop):
    """Our own flash data and a message of connect-flash under the same name are both shown."""
    config = express(shop)
    put(shop, info=["ours"], flash={"info": ["theirs"]}, _flash={"old": ["info"], "new": []})
    new = shop.write("new.json", cookie="connect.sid", otherIds=True)
    shop.run("copy", config, new)
    assert content(new, ID) == {"info": ["ours", "theirs"], "flash": {"old": [], "new": ["info"]}}


@pytest.mark.parametrize(
    "flash, told",
    [
        ({"passport": ["Welcome!"]}, "'passport', which is also an attribute's name"),
        ({"list": ["Welcome!"]}, "'list', which is also an attribute's name"),
        ({"flash": ["Welcome!"]}, "its key 'flash' holds something else"),
        ({"type": "info", "text": "Welcome!"}, "its key 'flash' holds something else"),
        ("Welcome!", "its key 'flash' holds something else"),
    ],
    ids=str,
)
def test_messages_that_would_be_lost(shop, flash, told):
    """A session of which a part would be lost is told and left, rather than copied without it."""
    config = express(shop)
    put(shop, passport={"user": 7}, list=[1], flash=flash)
    new = shop.write("new.json", cookie="connect.sid", otherIds=True)
    assert shop.json("copy", config, new, code=ATTENTION)["damaged"] == 1
    assert told in shop.errors and ID not in shop.errors
    assert shop.stored("new.json") == {}


def test_lists_that_would_be_lost(shop):
    """So is a session of node-session that has an attribute `_flash`."""
    shop.put(ANN, '{"flash":{"old":[],"new":["status"]},"status":"Saved.","_flash":"mine"}')
    assert shop.json("copy", shop.config, express(shop, "new.json"), code=ATTENTION)["damaged"] == 1
    assert "its key '_flash' holds something else" in shop.errors and f"{ANN}.json" not in shop.stored("new.json")


def test_to_express(shop):
    """A session of node-session is one of Express for the same cookie; the key `flash` is free for connect-flash."""
    shop.put(ANN, '{"_token":"t","flash":{"old":[],"new":["status"]},"status":"Saved.","user":1}')
    shop.put("Old" + "o" * 37, old_record())
    new = express(shop, "new.json", cookie="node_session")
    assert shop.json("copy", shop.config, new) == {"copied": 3, "present": 0, "damaged": 0, "old": 1}
    found = {"_token": "t", "status": "Saved.", "user": 1, "_flash": {"old": [], "new": ["status"]}}
    assert content(new, ANN) == found
    record = json.loads(shop.stored("new.json")[f"{ANN}.json"])
    assert record["cookie"]["path"] == "/" and "_flash" in record


def test_ids_that_would_not_count(shop):
    """Nothing is copied to a config that would not take the cookies of the sessions; another cookie name is told."""
    config = express(shop)
    put(shop, a=1)
    shop.run("copy", config, shop.write("new.json"), code=WRONG)
    assert "otherIds" in shop.errors and shop.stored("new.json") == {}
    shop.run("copy", config, shop.write("new.json", otherIds=True))
    assert "everybody must log in again" in shop.errors


def test_an_id_that_cannot_be_a_file(shop):
    """A session whose id cannot name a file is told and left, and all others are copied."""
    connection = {"adapter": "sqlite", "database": str(shop.folder / "express.sqlite")}
    config = express(shop, driver="database", connection=connection)
    ids = [ID, "of/genid", LONGER]

    async def store() -> None:
        driver = await drivers.create(Config.from_dict(json.loads(Path(config).read_text())))
        for id in ids:
            await driver.write(id, json.dumps({"cookie": COOKIE, "a": 1}), None)
        await driver.close()

    asyncio.run(store())
    counts = shop.json("copy", config, express(shop, "new.json"), code=ATTENTION)
    assert (counts["copied"], counts["damaged"]) == (2, 1)
    assert "of/g… is not copied: the id" in shop.errors and "name of a file" in shop.errors
    assert set(shop.stored("new.json")) == {f"{ID}.json", f"{LONGER}.json"}


def test_keys_of_express(shop):
    """A session that has a key `cookie` is told and left, rather than made a record that Express cannot read."""
    shop.put(ANN, '{"cookie":"butter"}')
    assert shop.json("copy", shop.config, express(shop, "new.json"), code=ATTENTION)["damaged"] == 1
    assert "'cookie' is reserved" in shop.errors and f"{ANN}.json" not in shop.stored("new.json")


def test_between_stores_of_express(shop):
    """Within the format the cookie's attributes are kept, which only the record says."""
    config = express(shop)
    shop.put(f"{ID}.json", json.dumps({"cookie": {**COOKIE, "path": "/app", "sameSite": "none"}}), name="express.json")
    shop.run("copy", config, express(shop, "new.json"))
    assert json.loads(shop.stored("new.json")[f"{ID}.json"])["cookie"]["path"] == "/app"
