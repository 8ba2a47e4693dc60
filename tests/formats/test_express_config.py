"""The options with `format: "express-session"`: its library's defaults, and what cannot be combined with it."""

from __future__ import annotations

import pytest

from node_session import ConfigError, NodeSession, UnsupportedError, drivers, formats
from node_session.config import Config
from node_session.drivers import databases

SECRET = "only-for-tests-3f1c0f5e9a7b4d2e8c6a"
DAY = 24 * 60 * 60 * 1000


def config(**options) -> Config:
    return Config.from_dict({"secret": SECRET, "format": "express-session", **options})


@pytest.mark.parametrize(
    ("store", "lifetime", "table"),
    [
        ({}, DAY // 24, "sessions"),
        ({"driver": "native"}, DAY // 24, "sessions"),
        ({"driver": "memory"}, DAY, "sessions"),
        ({"driver": "redis"}, DAY, "sess"),
        ({"driver": "database", "connection": {"adapter": "redis"}}, DAY, "sess"),
        ({"driver": "database"}, DAY, "sessions"),
    ],
    ids=str,
)
def test_defaults(store, lifetime, table):
    """Without options everything is as in express-session and its store."""
    made = config(**store)
    assert (made.cookie, made.lifetime, made.expire_on_close, made.table) == ("connect.sid", lifetime, True, table)


def test_given_options_count():
    """What the dict says precedes the format's defaults; a lifetime is that of the cookie as well."""
    made = config(cookie="sid", lifetime=5 * DAY, table="logins")
    assert (made.cookie, made.lifetime, made.expire_on_close, made.table) == ("sid", 5 * DAY, False, "logins")
    assert config(lifetime=DAY * 5, expireOnClose=True).expire_on_close


def test_the_other_format_keeps_its_defaults():
    """Naming the default format changes nothing."""
    assert Config.from_dict({"secret": SECRET, "format": "node-session"}) == Config.from_dict({"secret": SECRET})


@pytest.mark.parametrize(
    ("options", "prefix"),
    [({}, "sess:"), ({"prefix": "a/"}, "a/"), ({"prefix": ""}, ""), ({"table": "shop"}, "shop:")],
    ids=str,
)
def test_keys_in_redis(options, prefix):
    """The option `prefix` is that of connect-redis, empty or not; without it, a key begins with the table's name."""
    driver = databases.create(config(driver="redis", **options), default="redis")
    assert driver._prefix == prefix


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"encrypt": True}, "encrypt"),
        ({"encrypt": "legacy"}, "encrypt"),
        ({"hashIds": True}, "hashIds"),
        ({"bindName": True}, "bindName"),
        ({"driver": "database", "connection": {"adapter": "mysql"}}, "adapter 'mysql'"),
        ({"driver": "database", "connection": {"adapter": "sails-mysql"}}, "adapter 'sails-mysql'"),
    ],
    ids=str,
)
def test_refused(options, name):
    """An option that Express could not share is an error that names it and the format."""
    with pytest.raises(ConfigError, match=name) as caught:
        NodeSession({"secret": SECRET, "format": "express-session", **options})
    assert "express-session" in str(caught.value)


def test_csrf_sync_is_of_this_format():
    """The other format knows no tokens of csrf-sync."""
    assert config(csrf="csrf-sync").csrf == "csrf-sync"
    with pytest.raises(ConfigError, match="csrf: 'csrf-sync' is for format: 'express-session' only; set it to true"):
        Config.from_dict({"secret": SECRET, "csrf": "csrf-sync"})


def test_another_adapter_is_named():
    """The error for an adapter that does not keep the format names those that do, each once."""
    with pytest.raises(ConfigError, match=r"; choose 'sqlite' or 'mongodb' or 'postgresql' or 'redis'$"):
        config(driver="database", connection={"adapter": "mysql"})


def test_unknown_format():
    """The error names the formats that there are."""
    with pytest.raises(ConfigError, match="format: 'express' is not known; choose one of 'node-session', 'express-ses"):
        Config.from_dict({"secret": SECRET, "format": "express"})


def test_other_ids():
    """With `otherIds`, our own format takes and follows ids of any form, and new ones are as ever."""
    format = formats.make("node-session", Config.from_dict({"secret": SECRET, "otherIds": True}))
    assert len(format.ids.generate()) == 40
    for id in ("A" * 40, "a.b+c=", "x" * 30, "ü"):
        assert format.ids.is_valid(id)
        veiled = format.veil(id, "another id")
        assert format.is_veiled(veiled) and id not in veiled
        assert format.unveil(veiled, "another id") == id
    assert not formats.NODE_SESSION.ids.is_valid("a.b+c=")


@pytest.mark.gen_test
async def test_other_ids_as_files(tmp_path):
    """The file driver keeps them if they can be names of files, and refuses the others."""
    config = Config.from_dict({"secret": SECRET, "files": str(tmp_path), "otherIds": True})
    driver = await drivers.create(config)
    await driver.write("a.b+c=", "{}", None)
    assert (await driver.read("a.b+c=")).payload == "{}"
    for id in ("../up", ".hidden"):
        with pytest.raises(UnsupportedError, match="cannot be the name of a file"):
            await driver.read(id)
