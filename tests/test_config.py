"""The config: defaults of the original, and one error that names every mistake."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import pytest

from node_session import ConfigError, ConfigWarning, NodeSession
from node_session.config import Config

SECRET = "a-secret-that-no-message-may-show"


def test_defaults(tmp_path, monkeypatch):
    """Without options everything is as in the original."""
    monkeypatch.chdir(tmp_path)
    config = Config.from_dict({"secret": SECRET})
    assert config == Config(
        secret=(SECRET,),
        driver="file",
        lifetime=300_000,
        expire_on_close=False,
        files=tmp_path / "sessions",
        connection=False,
        table="sessions",
        lottery=(2, 100),
        cookie="node_session",
        path="/",
        domain=None,
        secure=False,
        http_only=True,
        encrypt=False,
        trust_proxy=False,
        trust_proxy_fn=None,
    )


def test_one_json_file_for_both_programs(tmp_path):
    """The original's documented config, as JSON, is taken without a warning."""
    text = json.dumps(
        {
            "secret": SECRET,
            "driver": "native",
            "lifetime": 300000,
            "expireOnClose": False,
            "files": str(tmp_path),
            "connection": {"adapter": "sails-mongo", "host": "localhost", "port": 27017, "password": ""},
            "table": "sessions",
            "lottery": [2, 100],
            "cookie": "node_session",
            "path": "/",
            "domain": None,
            "secure": False,
            "httpOnly": True,
            "encrypt": False,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Config.from_dict(json.loads(text)).driver == "native"


BAD = {
    "secret": [None, "", 7, [], ["", "x"], {}],
    "driver": ["redsi", None, 1, ["file"]],
    "format": ["express", None, 1, ["express-session"]],
    "lifetime": [-1, "5m", None, True, float("nan"), float("inf"), 10**16],
    "expireOnClose": [1, "yes", None],
    "files": ["", 7, None, __file__, "a\0b", "a" * 300, "a\ud800"],
    "connection": ["mongodb://", 7, True],
    "table": ["", None, 7],
    "prefix": [7, ["sess:"], "a\nb", "x" * 201],
    "lottery": [2, [2], [2, 0], [-1, 100], ["2", "100"], [2, 100, 1], None, [True, 2], [2, 10**400]],
    "cookie": ["", "a b", "a;b", None, "ü", 7],
    "path": ["", "/;", "/\n", 7],
    "domain": ["a;b", "a\nb", 7],
    "secure": [1, "auto!", None],
    "httpOnly": ["no", None],
    "sameSite": ["laxx", True, 1],
    "partitioned": [1, None],
    "csrf": [1, None],
    "saveUninitialized": [0, None],
    "flashOn": ["navigate", None, True, ["request"]],
    "cacheControl": ["public", "no-store", True, 1, ["private"]],
    "absoluteLifetime": [-1, "1d", None],
    "regenerateGrace": [-1, "10s"],
    "hashIds": ["yes", None],
    "otherIds": ["yes", None],
    "encrypt": ["yes", 1, None],
    "strict": [0, None],
    "durable": [0, None],
    "saveTimeout": [-1, "1s", None],
    "closeSocketsWithin": [0, 0.5, -1, "5s", None, True, float("nan"), float("inf")],
    "maxSize": [-1, 1e6, "4 MB", True, None],
    "maxDevices": [-1, 1.5, "3", True, None],
    "deviceDetails": ["address", ["browser"], [1], None, {"address": True}],
    "trustProxy": ["nonsense", {"a": 1}, ["10.0.0.0/99"], 0.5, 0.0, -1, float("nan"), 10**400],
    "bindName": [0, "yes", None],
    "trustProxyFn": ["function", 7],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]], ids=repr)
def test_wrong_value(name, value):
    """Each wrong value is an error that names its option."""
    with pytest.raises(ConfigError, match=f"^{name}: "):
        Config.from_dict({"secret": SECRET, name: value})


def test_every_option_is_checked():
    """The table above covers every option, so that a new one cannot come without a check."""
    from dataclasses import fields

    from node_session.config import camel_case

    assert set(BAD) == {camel_case(each.name) for each in fields(Config)}


LONG = 100_000
CUT = {
    **{name: [{"x" * LONG: 1}] for name in BAD},
    **{name: ["x" * LONG, ["x" * LONG]] for name in BAD if name not in ("secret", "path", "table", "cookie", "domain")},
    "cookie": ["x " * LONG, "__Host-" + "x" * LONG],
    "path": ["/;" * LONG],
    "domain": [";" * LONG],
    "lottery": [[1] * LONG, "x" * LONG, [2, 10**5000]],
    "lifetime": ["x" * LONG, 10**5000],
}


@pytest.mark.parametrize("name", CUT)
def test_long_value_is_cut(name):
    """A message shows the beginning of a long value, and how long it is, but never all of it."""
    for value in CUT[name]:
        with pytest.raises(ConfigError, match=f"^{name}: ") as caught:
            Config.from_dict({"secret": SECRET, name: value})
        assert len(str(caught.value)) < 1000


def test_long_name_is_cut():
    """So is the name of an unknown option; one that is no text is shown as it is."""
    with pytest.warns(ConfigWarning, match=rf"unknown session option 'x+…' \({LONG} characters\) is ignored"):
        Config.from_dict({"secret": SECRET, "x" * LONG: 1})
    with pytest.warns(ConfigWarning, match="unknown session option 7 is ignored: known are secret, driver"):
        Config.from_dict({"secret": SECRET, 7: 1})


def test_doubt_names_its_option():
    """A doubtful value is a warning that begins with the option's name, as the config spells it."""
    with pytest.warns(ConfigWarning, match="^maxSize: is in bytes; 4 of them"):
        Config.from_dict({"secret": SECRET, "maxSize": 4})
    with pytest.warns(ConfigWarning, match="^lifetime: 0 keeps every session for ever"):
        Config.from_dict({"secret": SECRET, "lifetime": 0})


@pytest.mark.parametrize(
    "connection",
    [
        {"adapter": []},
        {"adapter": {}},
        {"port": "9" * 5000},
        {"port": 0},
        {"port": "٣"},
        {"adapter": "postgresql", "url": "postgresql://host:99999/x"},
        {"adapter": "redis", "url": "redis://host:port/0"},
        {"adapter": "redis", "url": "redis://[::1/0"},
    ],
    ids=lambda connection: str(connection)[:60],
)
def test_wrong_connection(connection):
    """A connection that no driver could open is an error of the config, not of the first request."""
    with pytest.raises(ConfigError, match="connection: "):
        Config.from_dict({"secret": SECRET, "driver": "database", "connection": connection})


@pytest.mark.parametrize("url", ["mongodb://a:27017,b:27018/sessions", "mongodb://[::1]:27017", "mongodb+srv://host/x"])
def test_url_of_several_hosts(url):
    """Any URL that MongoDB takes is one."""
    Config.from_dict({"secret": SECRET, "driver": "database", "connection": {"adapter": "mongodb", "url": url}})


def test_all_mistakes_in_one_error():
    """One error names every missing, misspelt and wrongly typed option."""
    with pytest.warns(ConfigWarning, match="did you mean 'lifetime'"), pytest.raises(ConfigError) as caught:
        NodeSession({"driver": "redsi", "lifeTime": 3, "secure": "yes", "lottery": 2})
    assert [each in str(caught.value) for each in ("secret: ", "driver: 'redsi'", "secure: ", "lottery: ")] == [
        True
    ] * 4


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("expire_on_close", "expireOnClose"), ("httponly", "httpOnly"), ("Secret", "secret"), ("cookies", "cookie")],
)
def test_unknown_option_is_a_warning(misspelt, meant):
    """An option nobody knows is a warning that names the nearest one."""
    with pytest.warns(ConfigWarning, match=f"unknown session option '{misspelt}' is ignored: did you mean '{meant}'"):
        Config.from_dict({"secret": SECRET, misspelt: False})


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("name", "did you mean 'cookie'?"),
        ("maxAge", "did you mean 'lifetime'?"),
        ("ttl", "did you mean 'lifetime' (1000 times as much"),
        ("tableName", "did you mean 'table'?"),
        ("collectionName", "did you mean 'table'?"),
        ("schemaName", "did you mean 'table', as 'schema.table'?"),
        ("stringify", "did you mean 'connection'"),
        ("rolling", "Express needs it, and nothing here does"),
    ],
)
def test_option_of_express(option, advice):
    """An option of express-session or its stores is a warning that names ours, and not one that is spelt alike."""
    with pytest.warns(ConfigWarning, match=f"unknown session option '{option}' is ignored: {re.escape(advice)}"):
        Config.from_dict({"secret": SECRET, option: 1})


def test_cookie_of_express():
    """The object that express-session takes as its `cookie` is an error that says where its members go."""
    with pytest.raises(ConfigError, match=r"cookie: is the cookie's name; .* options of their own, maxAge is lifetime"):
        Config.from_dict({"secret": SECRET, "cookie": {"maxAge": 3_600_000, "path": "/"}})


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"driver": "connect-redis"}, "did you mean 'redis'"),
        ({"driver": "connect-pg-simple"}, "did you mean 'database', with connection: {'adapter': 'postgresql'}"),
        ({"driver": "connect-mongo"}, "did you mean 'database', with connection: {'adapter': 'mongodb'}"),
        ({"driver": "session-file-store"}, "did you mean 'file'"),
        ({"driver": "database", "connection": {"url": "postgres://db/shop"}}, "set adapter to 'postgresql'"),
        ({"driver": "database", "connection": {"url": "sqlite:///x"}}, "set database to the path of its file"),
    ],
    ids=str,
)
def test_store_of_express(options, advice):
    """A store's npm name, or its URL without an adapter, is an error that names the driver."""
    with pytest.raises(ConfigError, match=re.escape(advice)):
        Config.from_dict({"secret": SECRET, **options})


def test_warning_points_at_the_caller():
    """The warning shows the line that made the NodeSession."""
    with pytest.warns(ConfigWarning) as caught:
        NodeSession({"secret": SECRET, "lifetme": 1})
    assert Path(caught[0].filename) == Path(__file__)


@pytest.mark.parametrize("lifetime", [1, 300, 999.9])
def test_lifetime_in_seconds_is_a_warning(lifetime):
    """A lifetime that looks like seconds is a warning."""
    with pytest.warns(ConfigWarning, match="milliseconds"):
        Config.from_dict({"secret": SECRET, "lifetime": lifetime})


@pytest.mark.parametrize("name", ["lifetime", "absoluteLifetime"])
@pytest.mark.parametrize("seconds", [300, 1800, 3600, 43_200, 86_400, 604_800, 1_209_600, 2_592_000, 31_536_000])
def test_usual_lifetimes_in_seconds_are_a_warning(name, seconds):
    """The lifetimes that other libraries take in seconds are a warning that gives the milliseconds."""
    with pytest.warns(ConfigWarning, match=f"{name}: is in milliseconds") as caught:
        Config.from_dict({"secret": SECRET, name: seconds})
    assert len(caught) == 1
    assert seconds < 1000 or str(caught[0].message).endswith(f"did you mean {seconds} seconds? That is {seconds}000")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Config.from_dict({"secret": SECRET, name: seconds * 1000})


@pytest.mark.parametrize("lifetime", [1000, 1500, 2000, 9000, 60_000, 90_000, 300_000, 900_000, 1_800_000, 21_600_000])
def test_other_lifetimes_are_no_warning(lifetime):
    """A lifetime that is round in milliseconds is meant so, however short it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Config.from_dict({"secret": SECRET, "lifetime": lifetime, "absoluteLifetime": lifetime})


@pytest.mark.parametrize(("name", "seconds"), [("regenerateGrace", 10), ("saveTimeout", 5), ("closeSocketsWithin", 5)])
def test_other_times_in_seconds_are_a_warning(name, seconds):
    """So are the other times that look like seconds."""
    with pytest.warns(ConfigWarning, match=f"{name}: is in milliseconds.*That is {seconds}000"):
        Config.from_dict({"secret": SECRET, name: seconds})


@pytest.mark.parametrize("name", ["regenerateGrace", "saveTimeout"])
def test_times_of_0(name):
    """0 has a meaning of its own, and is no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Config.from_dict({"secret": SECRET, name: 0})


@pytest.mark.parametrize(
    ("driver", "meant"),
    [
        ("sqlite", "'database', with connection: {'adapter': 'sqlite'}"),
        ("postgres", "'database', with connection: {'adapter': 'postgresql'}"),
        ("PostgreSQL", "'database', with connection: {'adapter': 'postgresql'}"),
        ("sails-mongo", "'database', with connection: {'adapter': 'mongodb'}"),
        ("mariadb", "'database', with connection: {'adapter': 'mysql'}"),
        ("valkey", "'redis'"),
        ("redsi", "'redis'"),
        ("Redis", "'redis'"),
        ("files", "'file'"),
    ],
)
def test_driver_that_is_meant(driver, meant):
    """A driver that is none is an error that names the nearest one, or how a database is chosen."""
    with pytest.raises(ConfigError) as caught:
        NodeSession({"secret": SECRET, "driver": driver})
    assert f"driver: {driver!r} is not known; did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize(
    ("adapter", "meant"),
    [
        ("postgres", "postgresql"),
        ("pg", "postgresql"),
        ("sails-postgres", "postgresql"),
        ("mongo", "mongodb"),
        ("mariadb", "mysql"),
        ("sqlite3", "sqlite"),
        ("SQLite", "sqlite"),
        ("sails_disk", "sqlite"),
    ],
)
def test_adapter_that_is_meant(adapter, meant):
    """An adapter that is none is an error that names the nearest one."""
    with pytest.raises(ConfigError, match=f"adapter '{adapter}' is not known; did you mean '{meant}'"):
        NodeSession({"secret": SECRET, "driver": "database", "connection": {"adapter": adapter}})


@pytest.mark.parametrize("adapter", ["sqlite", "sails-disk", "mysql", "sails-mongo"])
def test_redis_takes_no_other_adapter(adapter, tmp_path):
    """Driver redis with a database's adapter is an error, not that database; without one, or its own, it is Redis."""
    config = {"secret": SECRET, "driver": "redis", "files": str(tmp_path / "sessions")}
    with pytest.raises(ConfigError, match=f"connection: adapter '{adapter}' is not for driver 'redis'; set driver to"):
        NodeSession({**config, "connection": {"adapter": adapter}})
    for connection in (False, {}, {"adapter": "redis"}, {"adapter": "sails-redis", "host": "h"}):
        NodeSession({**config, "connection": connection})


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("hostname", "host"),
        ("Host", "host"),
        ("username", "user"),
        ("userName", "user"),
        ("pass", "password"),
        ("passwd", "password"),
        ("db", "database"),
        ("dbname", "database"),
        ("db_name", "database"),
        ("uri", "url"),
        ("tls", "ssl"),
        ("pool_size", "poolSize"),
        ("poolsize", "poolSize"),
        ("prepared_statements", "preparedStatements"),
        ("Stringify", "stringify"),
        ("adaptor", "adapter"),
    ],
)
@pytest.mark.parametrize("driver", ["database", "redis"])
def test_connection_key_that_is_meant(driver, key, meant):
    """A key of `connection` that others use, or that is misspelt, is an error that names the right one only."""
    with pytest.raises(ConfigError, match=f"connection: {key}: is not known; did you mean '{meant}'") as caught:
        NodeSession({"secret": SECRET, "driver": driver, "connection": {key: "pass-word"}})
    assert "pass-word" not in str(caught.value)


# Of sails-disk, sails-mongo, sails-mysql, sails-postgresql and of the clients that they pass their options to.
WATERLINE = """
    adapter host port user password database url schema migrate charset collation identity module filePath inMemory
    readPreference w wtimeout fsync journal nativeParser forceServerObjectId recordQueryStats retryMiliSeconds
    numberOfRetries ssl sslValidate sslCA sslCert sslKey poolSize socketOptions auto_reconnect reconnectInterval
    disableDriverBSONSizeCheck uri_decode_auth replSet mongos auth pool connectionLimit waitForConnections queueLimit
    socketPath localAddress timezone connectTimeout stringifyObjects insecureAuth typeCast queryFormat
    supportBigNumbers bigNumberStrings dateStrings debug trace multipleStatements flags createSchemas
    application_name fallback_application_name client_encoding binary keepAlive statement_timeout options
"""


@pytest.mark.parametrize("name", [each for each in WATERLINE.split() if each not in ("adapter", "url")])
def test_options_of_waterline_are_no_error(name):
    """Options that the original passes on to its database are accepted: one dict configures both programs."""
    values = {"port": 27017, "poolSize": 5, "ssl": False}
    connection = {"adapter": "sails-mongo", name: values.get(name, "x")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Config.from_dict({"secret": SECRET, "driver": "database", "connection": connection})


@pytest.mark.parametrize(
    ("secret", "warning"),
    [
        ("short", "is short"),
        (["x" * 32, "short"], "is short"),
        ("Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD", "everybody"),
        ([SECRET, "replace this by a random string of 32 or more"], "everybody"),
        ("replace this by the secret that your Node program has", "everybody"),
    ],
)
def test_weak_secret_is_a_warning(secret, warning):
    """A short secret, or one of the documentation, is a warning that does not show it."""
    with pytest.warns(ConfigWarning, match=f"secret: {warning}") as caught:
        NodeSession({"secret": secret})
    assert "short" not in str(caught[0].message).replace("is short", "") and "Q3UB" not in str(caught[0].message)
    assert Path(caught[0].filename) == Path(__file__)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702, 0o2775])
def test_folder_that_others_can_write(tmp_path, mode):
    """Sessions in a folder where another user of the machine can put one are an error with the cure."""
    tmp_path.chmod(mode)
    for driver in ("file", "native"):
        with pytest.raises(ConfigError, match=r"files: .*others can write into this folder.* chmod go-w"):
            NodeSession({"secret": SECRET, "files": str(tmp_path), "driver": driver})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Config.from_dict({"secret": SECRET, "files": str(tmp_path), "driver": "memory"})
        tmp_path.chmod(0o755)
        Config.from_dict({"secret": SECRET, "files": str(tmp_path)})


def test_folder_of_another_user(tmp_path, monkeypatch):
    """A folder that is neither ours nor root's is an error at construction; root may yet go on as its owner."""
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner != 0:
        with pytest.raises(
            ConfigError, match=f"belongs to another user .uid {owner}, this program runs as {owner + 1}"
        ):
            NodeSession({"secret": SECRET, "files": str(tmp_path)})
    else:
        NodeSession({"secret": SECRET, "files": str(tmp_path)})  # root's
        os.chown(tmp_path, 65534, -1)
        with pytest.raises(ConfigError, match=r"belongs to another user .uid 65534, this program runs as 1"):
            NodeSession({"secret": SECRET, "files": str(tmp_path)})
    for user in (0, tmp_path.stat().st_uid):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        NodeSession({"secret": SECRET, "files": str(tmp_path)})


@pytest.mark.parametrize(
    "options",
    [
        {"sameSite": "none"},
        {"cookie": "__Host-s", "secure": "auto"},
        {"hashIds": True, "encrypt": "legacy"},
        {"bindName": True, "encrypt": "legacy"},
        {"partitioned": True},
        {"cookie": "__Secure-s"},
        {"cookie": "__Host-s"},
        {"cookie": "__Host-s", "secure": True, "path": "/app"},
        {"cookie": "__Host-s", "secure": True, "domain": "example.org"},
        {"cookie": "__host-s"},
        {"cookie": "__SECURE-s"},
        {"cookie": "__HOST-s", "secure": True, "path": "/app"},
        {"cookie": "__Http-s"},
        {"cookie": "__Http-s", "secure": True, "httpOnly": False},
        {"cookie": "__Host-Http-s", "secure": True, "httpOnly": False},
    ],
    ids=str,
)
def test_contradictions(options):
    """Options that cannot work together are an error at construction, not a user who cannot log in."""
    with pytest.raises(ConfigError):
        Config.from_dict({"secret": SECRET, **options})


@pytest.mark.parametrize("config", [None, f'{{"secret":"{SECRET}"}}', [("secret", SECRET)], 7], ids=repr)
def test_no_dict(config):
    """A config that is no dict is an error that says so, and does not show what may be the secret's text."""
    with pytest.raises(ConfigError, match="a dict of options") as caught:
        NodeSession(config)
    assert SECRET not in str(caught.value)


def test_secret_is_never_shown():
    """Neither an error nor a repr shows the secret or a connection's password."""
    config = Config.from_dict({"secret": SECRET, "connection": {"password": "pass-word"}})
    assert SECRET not in repr(config) and "pass-word" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"secret": [SECRET, 7], "driver": "x", "connection": "pass-word"})
    assert SECRET not in str(caught.value) and "pass-word" not in str(caught.value)


@pytest.mark.parametrize("name", ["", 7, None], ids=repr)
def test_register_handler_bad_name(name):
    """A driver without a name is refused when it is registered."""
    with pytest.raises(TypeError, match="name"):
        NodeSession.register_handler(name, lambda config: None)


def test_register_handler_bad_creator():
    """A creator that cannot be called is refused when it is registered."""
    with pytest.raises(TypeError, match="creator"):
        NodeSession.register_handler("mine", object())
