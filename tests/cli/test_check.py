"""`check` and `table`: does the store work, and is the config safe?"""

from __future__ import annotations

import os
import re

import pytest
from visitors import OLD_SECRET, SECRET

from cli.shop import ANN, BOB, EVE
from node_session import NodeSession, SessionError, UnavailableError
from node_session.cli import ATTENTION, UNAVAILABLE, WRONG
from node_session.cli.risks import shared_cookies
from node_session.config import Config
from node_session.drivers import MemoryDriver


def test_check(shop):
    """Check proves that the store works, leaves nothing there, and tells differences and risks."""
    config = shop.write("sessions.json", secure=True, csrf=True, lottery=[0, 1])
    text = shop.run("check", config)
    assert "OK       a record was written, read, replaced and removed" in text
    assert re.search(r'sameSite +"lax" +\(there: null\)', text) and re.search(r"strict +true +\(there: false\)", text)
    assert re.search(r"lifetime +3600000 +\(there: 300000\)", text)
    assert "WARNING  lottery: expired records are never removed" in text
    assert sorted(shop.stored()) == [ANN, BOB, EVE]
    data = shop.json("check", config)
    assert data["ok"] and data["differences"]["secure"] == {"here": True, "original": False}
    shop.run("check", config, "--strict", code=ATTENTION)


SAFE = {"secure": True, "csrf": True}


DATABASE = {"driver": "database", "connection": {"adapter": "sqlite", "database": ":memory:"}}


@pytest.mark.parametrize(
    "options",
    [
        {"secure": False},
        {"httpOnly": False},
        {"sameSite": None},
        {"csrf": False},
        {"strict": False},
        {"domain": "example.org"},
        {"trustProxy": True},
        {"encrypt": "legacy"},
        {"lottery": [0, 100]},
        {"driver": "memory"},
        {"secret": "short"},
        {"secret": "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD"},
        {"lifetime": 0},
        {"lifetme": 1},
    ],
    ids=str,
)
def test_check_warns_of_what_is_unsafe(shop, options):
    """Each unsafe option, and each that nobody knows, is warned of by its name; a safe config of nothing."""
    assert shop.json("check", shop.write("safe.json", **SAFE), "--strict")["warnings"] == []
    (warning,) = shop.json("check", shop.write("unsafe.json", **SAFE | options))["warnings"]
    assert next(iter(options)) in warning


def test_check_of_applications_that_take_each_others_cookies(shop):
    """Two configs with a secret and the store in common are warned of, unless bindName tells their cookies apart."""

    def warnings(one: dict, other: dict) -> list[str]:
        files = str(shop.files())
        paths = [
            shop.write(name, **{**SAFE, "files": files, **options})
            for name, options in {"one.json": one, "other.json": other}.items()
        ]
        return shop.json("check", *paths)["warnings"]

    shop.files().chmod(0o700)
    admin = {"cookie": "admin"}
    for one, other, cure in (
        ({}, admin, "set bindName in both"),
        ({}, {}, "set bindName in both"),
        ({"secret": [OLD_SECRET, SECRET]}, admin, "set bindName in both"),
        ({"bindName": True}, {"bindName": True}, "another cookie than 'node_session'"),
        (DATABASE, {**DATABASE, **admin, "files": "elsewhere"}, "set bindName in both"),
    ):
        (warning,) = warnings(one, other)
        assert "other.json: has the same secret and the same store" in warning and cure in warning
    for one, other in (
        ({}, {**admin, "secret": OLD_SECRET}),
        ({}, {**admin, "files": str(shop.folder / "elsewhere")}),
        ({"bindName": True}, {**admin, "bindName": True}),
        ({"bindName": True}, admin),
        ({}, {**admin, "hashIds": True}),
        (DATABASE, {**DATABASE, **admin, "table": "admins"}),
        (DATABASE, admin),
    ):
        assert warnings(one, other) == []
    shop.run("check", shop.config, str(shop.folder / "none.json"), code=WRONG)


def test_applications_with_other_keys_in_redis():
    """In Redis, the beginning of the keys tells two applications apart, whichever option gives it."""

    def shares(one: dict, other: dict) -> bool:
        configs = [Config.from_dict({"secret": SECRET, "driver": "redis", **options}) for options in (one, other)]
        return bool(shared_cookies(*configs))

    assert shares({}, {}) and shares({"table": "shop"}, {"prefix": "shop:"})
    assert not shares({"prefix": "shop:"}, {"prefix": "admin:"}) and not shares({}, {"prefix": "sessions"})


def test_check_says_what_it_cannot_see(shop):
    """One config alone does not tell who else has its secret and its store: a note says so, and is no warning."""
    config = shop.write("safe.json", **SAFE)
    assert "NOTE     applications with the same secret" in shop.run("check", config, "--strict")
    assert len(shop.json("check", config)["notes"]) == 1
    bound = shop.write("bound.json", **SAFE, bindName=True)
    assert "NOTE" not in shop.run("check", bound) and shop.json("check", bound)["notes"] == []
    assert shop.json("check", bound)["differences"]["bindName"] == {"here": True, "original": False}


def test_check_warns_of_a_folder_that_others_can_read(shop):
    """A folder of sessions that the whole machine can read is unsafe."""
    shop.files().chmod(0o755)
    assert any("chmod 700" in each for each in shop.json("check", shop.config)["warnings"])
    shop.files().chmod(0o700)
    assert not any("chmod 700" in each for each in shop.json("check", shop.config)["warnings"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("[]", "a dict of options"),
        ('{"lifetime": -1, "driver": "fiel"}', "driver: 'fiel' is not known"),
        (None, "cannot be read: No such file"),
    ],
)
def test_check_of_what_is_no_config(shop, text, expected):
    """A config that cannot be used is code 2, and the message names all that is wrong."""
    path = shop.folder / "wrong.json"
    if text is not None:
        path.write_text(text)
    data = shop.json("check", str(path), code=WRONG)
    assert not data["ok"] and expected in data["problems"][0]
    shop.run("ls", str(path), code=WRONG)
    assert expected in shop.errors


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (UnavailableError("the database is down"), UNAVAILABLE, "the database is down"),
        (SessionError("no"), WRONG, "no"),
        (ZeroDivisionError("oops"), WRONG, "the driver fails: ZeroDivisionError: oops"),
        (None, WRONG, "the driver does not read what it has written"),
    ],
    ids=str,
)
def test_check_of_a_store_that_does_not_work(shop, monkeypatch, error, code, expected):
    """A store that cannot be reached is code 3; a driver that does not do its work is code 2."""
    monkeypatch.setattr(Broken, "error", error)
    NodeSession.register_handler("broken", lambda config: Broken(0))
    config = shop.write("broken.json", driver="broken")
    assert expected in shop.json("check", config, code=code)["problems"][0]
    if code == UNAVAILABLE:
        shop.run("show", config, ANN, code=UNAVAILABLE)
        assert "the database is down" in shop.errors


def test_root_looks_after_the_folder_of_another_user(shop, monkeypatch):
    """Root may use every command on the sessions of a program that runs as somebody else; check says whose they are."""
    if os.geteuid() == 0:
        os.chown(shop.files(), 65534, -1)
    owner = shop.files().stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(shop.json("ls", shop.config)) == 3
    assert shop.json("show", shop.config, "Ann")["attributes"]["user"]["name"] == "Ann"
    assert shop.json("copy", shop.config, shop.write("new.json"))["copied"] == 3
    assert shop.json("destroy", shop.config, "Bob") == {"destroyed": 1}
    assert shop.json("gc", shop.config) == {"removed": 0}
    checked = shop.json("check", shop.config)
    assert checked["ok"] and any(f"belongs to another user (uid {owner}" in each for each in checked["warnings"])


def test_a_folder_that_others_can_write(shop):
    """No command uses a folder into which others can put sessions; the message says what to do."""
    shop.files().chmod(0o777)
    for arguments in (["ls", shop.config], ["destroy", shop.config, "--all", "--yes"], ["gc", shop.config]):
        shop.run(*arguments, code=WRONG)
        assert "chmod go-w" in shop.errors
    assert "chmod go-w" in shop.json("check", shop.config, code=WRONG)["problems"][0]


class Broken(MemoryDriver):
    """Fails in the way that is set."""

    error: Exception | None = None

    async def read(self, id):
        if self.error:
            raise self.error


def test_table(shop):
    """The file driver needs no table."""
    assert shop.run("table", shop.config).strip() == f"driver file, in {shop.files()}: nothing is needed"
    assert shop.json("table", shop.config, "--create") == {"needed": False}


def test_memory_is_out_of_reach(shop):
    """Commands on the memory driver are refused rather than shown an empty store."""
    shop.run("ls", shop.write("memory.json", driver="memory"), code=WRONG)
    assert "inside the program" in shop.errors
