"""Records that this config cannot read: damaged ones, and whole ones of another config."""

from __future__ import annotations

import asyncio
import logging
import os
import time

import pytest
from stores import STORES, another_program
from visitors import OLD_SECRET, SECRET
from web.handlers import Count
from world import start_session_of

from node_session import NodeSession
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.testing import Visitor

pytestmark = pytest.mark.gen_test


@pytest.fixture
def app(app):
    app.add_handlers(".*", [("/", Count)])
    return app


@pytest.fixture(params=STORES, ids=["memory", "file", "sqlite"])
def options(request):
    return request.param


class Reverse:
    """An encrypter of a program's own, with a key."""

    def __init__(self, key: str) -> None:
        self.key = key

    def encrypt(self, text):
        return self.key + text[::-1]

    def decrypt(self, text):
        if not text.startswith(self.key):
            raise ValueError("wrong key")
        return text.removeprefix(self.key)[::-1]


async def configured(app, sessions, config, encrypter=None, **changes) -> NodeSession:
    """Let the application go on with another config, on the same store."""
    app.settings["node_session"] = changed = await another_program(sessions, config, encrypter, **changes)
    return changed


def age(folder, seconds: float = 60) -> None:
    """Let the file driver's records be older, so that nobody can be writing them just now."""
    for path in (folder / "sessions").glob("[!.]*"):
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def errors(caplog) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


SLIPS = {
    "plain, encrypt set": ({}, {"encrypt": True}, "encrypt set for a store whose records are not encrypted"),
    "plain, legacy set": ({}, {"encrypt": "legacy"}, "encrypt set for a store whose records are not encrypted"),
    "encrypted, encrypt not set": ({"encrypt": True}, {}, "encrypt missing in this config"),
    "legacy, encrypt not set": ({"encrypt": "legacy"}, {}, "encrypt missing in this config"),
    "encrypted, legacy set": ({"encrypt": True}, {"encrypt": "legacy"}, "encrypt be true"),
    "another key of an encrypter": (
        {"encrypt": True, "encrypter": Reverse("a")},
        {"encrypt": True, "encrypter": Reverse("b")},
        "by this encrypter with this key",
    ),
    "plain, an encrypter set": (
        {},
        {"encrypt": True, "encrypter": Reverse("a")},
        "are the store's records encrypted",
    ),
    "encrypted, another encrypter set": (
        {"encrypt": True},
        {"encrypt": True, "encrypter": Reverse("a")},
        "by this encrypter with this key",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
async def test_a_slip_in_the_config_loses_nothing(app, visitor, config, sessions, caplog, tmp_path, slip):
    """A record of another `encrypt` is left byte for byte, its request is served, and its session is there again."""
    before, after, cure = SLIPS[slip]
    driver = await sessions.driver()
    await configured(app, sessions, config, **before)
    await visitor.get()
    assert (await visitor.get()).body == b"2"
    id, cookie = visitor.id, visitor.cookie
    record = await driver.read(id)
    age(tmp_path)
    await configured(app, sessions, config, **after)
    assert (await visitor.get()).body == b"1" and visitor.id != id
    assert (await driver.read(id)).payload == record.payload
    (line,) = errors(caplog)
    assert cure in line and id not in line
    await configured(app, sessions, config, **before)
    visitor.cookie = cookie
    assert (await visitor.get()).body == b"3" and visitor.id == id


@pytest.mark.parametrize("encrypt", [True, "legacy"])
async def test_a_dropped_secret_loses_nothing(app, visitor, config, sessions, caplog, tmp_path, encrypt):
    """A record under a secret that is missing from the list is left as it is, and read again when it is back."""
    driver = await sessions.driver()
    await configured(app, sessions, config, encrypt=encrypt, secret=OLD_SECRET)
    await visitor.get()
    (id,) = [entry.id async for entry in driver.scan()]
    visitor.use_id(id)
    age(tmp_path)
    await configured(app, sessions, config, encrypt=encrypt)
    assert (await visitor.get()).body == b"1" and visitor.id != id
    assert "under none of the secrets" in caplog.text and "is secret another one" in caplog.text
    visitor.use_id(id)
    await configured(app, sessions, config, encrypt=encrypt, secret=[SECRET, OLD_SECRET])
    assert (await visitor.get()).body == b"2" and visitor.id == id


async def test_a_slip_is_not_told_once_a_record(app, visitor, config, sessions, caplog, tmp_path):
    """Of a hundred records that a config cannot read, the 1st, the 10th and the 100th are told of."""
    driver = await sessions.driver()
    for number in range(100):
        await driver.write(f"{number:040d}", '{"_token":"t","count":1}', None)
    age(tmp_path)
    slip = await configured(app, sessions, config, encrypt=True)
    for number in range(100):
        visitor.use_id(f"{number:040d}")
        assert (await visitor.get()).code == 200
    assert [line.partition("so far: ")[2].partition(";")[0] for line in errors(caplog)] == ["1", "10", "100"]
    assert slip.stats.damaged == 100


@pytest.mark.parametrize("text", ['{"mac":"m","ct":"c"}', '{"ct":"not base64!","mac":"m"}', '{"ct":"a","mac":"b"}'])
async def test_a_session_that_looks_a_little_encrypted(app, visitor, config, sessions, text):
    """Values called ct and mac do not make a session an encrypted one."""
    driver = await sessions.driver()
    await driver.write("A" * 40, text, None)
    visitor.use_id("A" * 40)
    assert (await visitor.get()).body == b"1"
    assert visitor.id == "A" * 40


# -------------------------------------------------------------------- damaged, and read again?


async def reads(visitor: Visitor, driver) -> int:
    """The number of times that a request reads its session's record."""
    read, count = driver.read, 0

    def counting(id):
        nonlocal count
        count += id == "A" * 40
        return read(id)

    driver.read = counting
    visitor.use_id("A" * 40)
    assert (await visitor.get()).code == 200
    assert visitor.id != "A" * 40
    driver.read = read
    return count


@pytest.mark.parametrize("text", ["", '{"cut off', "[1]"])
@pytest.mark.parametrize("encrypt", [False, True])
async def test_damage_is_believed(app, visitor, config, sessions, tmp_path, text, encrypt):
    """A record that looks damaged is read again only where another program may be writing it: a file just now."""
    driver = await sessions.driver()
    await driver.write("A" * 40, text, None)
    age(tmp_path)
    await configured(app, sessions, config, encrypt=encrypt)
    assert await reads(visitor, driver) == 1


@pytest.mark.parametrize("options", [{"driver": "file"}], ids=["file"])
@pytest.mark.parametrize(("seconds", "most"), [(-3600, 1), (0, 7), (60, 1)])
async def test_bytes_that_are_no_text(app, visitor, sessions, tmp_path, seconds, most):
    """So is one that is not even text: read again if it was written just now, once if not or by a wrong clock."""
    driver = await sessions.driver()
    await driver.write("A" * 40, "text", None)
    path = tmp_path / "sessions" / ("A" * 40)
    path.write_bytes(b'{"name":"J\xc3')
    age(tmp_path, seconds)
    count = await reads(visitor, driver)
    assert count == 1 if most == 1 else 1 < count <= most


@pytest.mark.parametrize("options", [{"driver": "file"}], ids=["file"])
@pytest.mark.parametrize("encrypt", [False, "legacy", True])
async def test_cut_within_a_character(app, visitor, config, sessions, tmp_path, encrypt):
    """A reader within the original's truncate and write waits, wherever the text is cut, plain or encrypted."""
    current = await configured(app, sessions, config, encrypt=encrypt)
    await visitor.get()
    session = await start_session_of(current, visitor.id)
    session.put("name", "Jörg")
    await session.save()
    path = tmp_path / "sessions" / visitor.id
    content, id = path.read_bytes(), visitor.id
    cuts = [0, 1, len(content) // 2, len(content) - 1]
    cuts += [content.index("ö".encode()) + 1] if not encrypt else []
    for number, cut in enumerate(cuts):
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        answer = asyncio.ensure_future(visitor.get())
        await asyncio.sleep(0.1)
        path.write_bytes(whole)
        assert (await answer).body == str(number + 2).encode()
        assert visitor.id == id


def test_an_encrypted_text_is_known_by_its_form():
    """The form of a text does not depend on what it holds."""
    from node_session import MismatchError
    from node_session.encryption import refuse_encrypted

    for text in ("", "{}", '{"a":"' + "x" * 10_000 + '"}'):
        with pytest.raises(MismatchError):
            refuse_encrypted(AuthenticatedEncrypter([SECRET]).encrypt(text, "A" * 40))
        refuse_encrypted(text)
