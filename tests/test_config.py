"""The config: defaults of the original, and every mistake named at once."""

from __future__ import annotations

import json
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
    "lifetime": [-1, "5m", None, True, float("nan"), float("inf"), 10**16],
    "expireOnClose": [1, "yes", None],
    "files": ["", 7, None, __file__, "a\0b", "a" * 300, "a\ud800"],
    "connection": ["mongodb://", 7, True],
    "table": ["", None, 7],
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
    "absoluteLifetime": [-1, "1d", None],
    "regenerateGrace": [-1, "10s"],
    "hashIds": ["yes", None],
    "encrypt": ["yes", 1, None],
    "strict": [0, None],
    "durable": [0, None],
    "saveTimeout": [-1, "1s", None],
    "maxSize": [-1, 1e6, "4 MB", True, None],
    "trustProxy": ["nonsense", {"a": 1}, ["10.0.0.0/99"]],
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
    """Missing, misspelt and wrongly typed options are all told at once."""
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


@pytest.mark.parametrize(
    ("secret", "warning"),
    [
        ("short", "is short"),
        (["x" * 32, "short"], "is short"),
        ("Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD", "everybody"),
        ([SECRET, "replace this by a random string of 32 or more"], "everybody"),
    ],
)
def test_weak_secret_is_a_warning(secret, warning):
    """A short secret, or one of the documentation, is a warning that does not show it."""
    with pytest.warns(ConfigWarning, match=f"secret: {warning}") as caught:
        NodeSession({"secret": secret})
    assert "short" not in str(caught[0].message).replace("is short", "") and "Q3UB" not in str(caught[0].message)
    assert Path(caught[0].filename) == Path(__file__)


def test_folder_that_everybody_can_write_is_a_warning(tmp_path):
    """Sessions in a folder where any user of the machine can put one, or a link, are a warning with the cure."""
    tmp_path.chmod(0o1777)
    with pytest.warns(ConfigWarning, match="files: everybody .* chmod"):
        Config.from_dict({"secret": SECRET, "files": str(tmp_path)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Config.from_dict({"secret": SECRET, "files": str(tmp_path), "driver": "memory"})
        tmp_path.chmod(0o755)
        Config.from_dict({"secret": SECRET, "files": str(tmp_path)})


@pytest.mark.parametrize(
    "options",
    [
        {"sameSite": "none"},
        {"cookie": "__Host-s", "secure": "auto"},
        {"hashIds": True, "encrypt": "legacy"},
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
