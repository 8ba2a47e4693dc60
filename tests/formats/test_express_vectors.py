"""What Express was recorded to do (interop/record_express_vectors.js), and ours does the same without Node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from formats.conftest import make_format
from node_session import cookies, ids
from node_session.errors import DamagedError, UnsupportedError
from node_session.formats import csurf

VECTORS = json.loads((Path(__file__).parent.parent / "interop" / "express_vectors.json").read_text("utf-8"))
SECRETS = list(dict.fromkeys(vector["secret"] for vector in VECTORS["cookies"]))[1:3]

# Express looks at the first cookie of the name only; ours at each.
PLANTED = "connect.sid=bad; connect.sid="

_NAMES = {"maxAge": "lifetime", "httpOnly": "httpOnly", "domain": "domain", "path": "path"}


def options_of(script: dict) -> dict:
    """The options of express-session as ours."""
    given = script["options"].get("cookie", {})
    return {ours: given[theirs] for theirs, ours in _NAMES.items() if theirs in given}


# Each record that connect-redis has written: the script's options, the time, and the text.
SAVED = [
    pytest.param(options_of(script), request["now"], asked[2], id=f"{script['name']}-{number}")
    for script in VECTORS["scripts"]
    if script["store"] == "redis"
    for number, request in enumerate(script["requests"])
    for asked in request["asked"]
    if asked[0] == "SET"
]
FIRST = [
    pytest.param(options_of(script), script["requests"][0], id=script["name"])
    for script in VECTORS["scripts"]
    if script["store"] == "redis" and script["name"] in ("values", "nested", "maxAge", "rolling")
]
STRANGE = [vector for vector in VECTORS["strange"] if vector["status"] == 200]
REFUSED = [
    vector["text"] for vector in VECTORS["strange"] if vector["status"] == 500 and "maxAge" not in vector["text"]
]


@pytest.mark.parametrize("vector", VECTORS["cookies"], ids=lambda vector: ascii(vector["id"]))
def test_cookie(vector):
    """The cookie's value is Express's, and its id is found in it."""
    assert cookies.sign(vector["id"], vector["secret"]) == vector["value"]
    found = cookies.find(f"n={vector['value']}", "n", [vector["secret"]], "", ids.ANY)
    assert (found.id, found.value, found.forged) == (vector["id"], vector["value"], False)


@pytest.mark.parametrize("vector", VECTORS["headers"], ids=lambda vector: ascii(vector["header"])[:40])
def test_header(vector):
    """In a Cookie header, the id is found that Express finds."""
    found = cookies.find(vector["header"], "connect.sid", SECRETS, "", ids.ANY).id
    assert found == vector["id"] or (vector["id"] is None and vector["header"].startswith(PLANTED))


@pytest.mark.parametrize(("options", "now", "text"), SAVED)
@pytest.mark.filterwarnings("ignore::node_session.ConfigWarning")
def test_record(options, now, text):
    """A record of Express that is written again at the same time is the same, byte for byte."""
    format = make_format(**options)
    opened = format.open(text)
    assert opened.attributes.keys() - {"_lifetime"} == json.loads(text).keys() - {"cookie"}
    assert format.close(opened.text, opened.envelope, now / 1000) == text


@pytest.mark.parametrize(("options", "request_"), FIRST)
@pytest.mark.filterwarnings("ignore::node_session.ConfigWarning")
def test_new_record(options, request_):
    """A new record is the one that Express writes with the same options."""
    written = request_["asked"][0][2]
    format = make_format(**options)
    assert format.close(format.open(written).text, None, request_["now"] / 1000) == written


@pytest.mark.parametrize("vector", STRANGE, ids=lambda vector: vector["text"][:40])
def test_strange_record(vector, caplog):
    """A strange record that Express takes is taken, with the same content."""
    if not isinstance(json.loads(vector["text"])["cookie"], dict):  # to Express, a list and "" are a cookie
        with pytest.raises(DamagedError):
            make_format().open(vector["text"])
        return
    attributes = make_format().open(vector["text"]).attributes
    # Express leaves out these keys. Ours shows them, and leaves out "__proto__" at any depth.
    left_out = make_format().strange_keys | {"_lifetime"}
    shown = {key: value for key, value in attributes.items() if key not in left_out}
    expected = vector["content"]
    expected.get("n", {}).pop("__proto__", None)
    assert json.loads(json.dumps(shown), parse_int=float) == json.loads(json.dumps(expected), parse_int=float)


@pytest.mark.parametrize("text", REFUSED)
def test_refused_record(text):
    """A record at which Express fails is no session."""
    with pytest.raises((DamagedError, UnsupportedError)):
        make_format().open(text)


@pytest.mark.parametrize("vector", VECTORS["csurf"], ids=lambda vector: ascii(vector["token"]))
def test_token(vector):
    """A token passes if it passes csurf."""
    assert csurf.is_token(vector["token"], vector["secret"]) is vector["passes"]
