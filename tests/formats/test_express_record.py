"""The text of a record of express-session, and a session's attributes: the way there and back."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.conftest import COOKIE, make_format
from node_session import DamagedError
from node_session.errors import UnsupportedError
from node_session.formats.express_record import LIFETIME

HOUR = 3_600_000
NOW = 1_700_000_000.123
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


def text(*members, **cookie) -> str:
    """A record with a cookie like this, and further members as JSON."""
    return ",".join(['{"cookie":' + json.dumps({**COOKIE, **cookie}, separators=(",", ":")), *members]) + "}"


def reopened(format, record: str, now: float = NOW) -> str:
    """A record as it is written again without a change."""
    opened = format.open(record)
    return format.close(opened.text, opened.envelope, now)


def test_the_cookie_is_no_attribute():
    """Everything but the cookie is the session's, in its order."""
    opened = make_format().open(text('"views":1', '"passport":{"user":7}'))
    assert opened.attributes == {"views": 1, "passport": {"user": 7}}
    assert opened.text == '{"views":1,"passport":{"user":7}}'


@pytest.mark.parametrize(
    ("options", "cookie"),
    [
        ({}, '{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}'),
        (
            {"lifetime": HOUR},
            '{"originalMaxAge":3600000,"expires":"2023-11-14T23:13:20.123Z","httpOnly":true,"path":"/"}',
        ),
        (
            {"secure": True, "domain": "example.org", "path": "/a", "sameSite": "strict", "partitioned": True},
            '{"originalMaxAge":null,"partitioned":true,"expires":null,"secure":true,"httpOnly":true,'
            '"domain":"example.org","path":"/a","sameSite":"strict"}',
        ),
        ({"httpOnly": False}, '{"originalMaxAge":null,"expires":null,"httpOnly":false,"path":"/"}'),
    ],
    ids=str,
)
def test_a_new_record(options, cookie):
    """A new session's cookie has what express-session writes for the same options, in its order."""
    format = make_format(**options)
    assert format.close("{}", None, NOW) == f'{{"cookie":{cookie}}}'
    assert format.close('{"a":[1]}', None, NOW) == f'{{"cookie":{cookie},"a":[1]}}'


def test_the_cookie_is_kept():
    """A record that is written again keeps the members of its cookie, known or not; `expires` is renewed."""
    own = {"secure": True, "sameSite": "none", "priority": "high", "strange": [1]}
    record = text('"a":1', originalMaxAge=60_000, expires="2020-01-01T00:00:00.000Z", **own)
    opened = make_format().open(record)
    before = copy.deepcopy(opened.envelope)
    written = json.loads(make_format().close(opened.text, opened.envelope, NOW))
    assert opened.envelope == before  # a retry needs it again
    assert written["cookie"] == {
        "originalMaxAge": 60_000,
        "expires": "2023-11-14T22:14:20.123Z",
        "httpOnly": True,
        "path": "/",
        **own,
    }
    assert list(written) == ["cookie", "a"]


@pytest.mark.parametrize("ends", [None, False])
def test_a_cookie_that_ends_with_the_browser(ends):
    """It stays one, in a program whose own cookies have a lifetime, too."""
    format = make_format(lifetime=HOUR)
    record = text('"a":1', originalMaxAge=ends, expires=ends)
    assert reopened(format, record) == record
    opened = format.open(record)
    assert LIFETIME not in opened.attributes
    assert format.ends_with_browser(opened.envelope, opened.attributes)


@pytest.mark.parametrize("max_age", [HOUR, HOUR - 1, HOUR - 30_000])
def test_a_lifetime_that_drifts(max_age):
    """express-session loses some milliseconds of originalMaxAge; that is no lifetime of the session's own."""
    format = make_format(lifetime=HOUR)
    opened = format.open(text('"a":1', originalMaxAge=max_age, expires="2023-11-14T23:13:20.123Z"))
    assert opened.attributes == {"a": 1}
    assert json.loads(format.close(opened.text, opened.envelope, NOW))["cookie"]["originalMaxAge"] == HOUR


@pytest.mark.parametrize(("options", "max_age"), [({}, HOUR), ({"lifetime": HOUR}, 30 * HOUR), ({"lifetime": HOUR}, 1)])
def test_a_lifetime_of_its_own(options, max_age):
    """Another originalMaxAge is the session's own lifetime; taking it away gives the program's back."""
    format = make_format(**options)
    opened = format.open(text('"a":1', originalMaxAge=max_age, expires="2023-11-14T23:13:20.123Z"))
    assert opened.attributes == {"a": 1, LIFETIME: max_age}
    assert not format.ends_with_browser(opened.envelope, opened.attributes)
    assert json.loads(format.close(opened.text, opened.envelope, NOW))["cookie"]["originalMaxAge"] == max_age
    written = json.loads(format.close('{"a":1}', opened.envelope, NOW))
    assert written["cookie"]["originalMaxAge"] == options.get("lifetime")
    changed = json.loads(format.close(f'{{"{LIFETIME}":{5 * HOUR},"a":1}}', opened.envelope, 0))
    assert changed == {
        "cookie": {**COOKIE, "originalMaxAge": 5 * HOUR, "expires": "1970-01-01T05:00:00.000Z"},
        "a": 1,
    }


@pytest.mark.parametrize(
    "max_age", [0, -1, -1e300, 1e300, 10**400, "soon", "1", [], {}, True], ids=lambda value: repr(value)[:9]
)
def test_a_lifetime_that_is_none(max_age):
    """Another originalMaxAge is none, and is mended: with some of them, Express would fail at each request."""
    for options in ({}, {"lifetime": HOUR}):
        format = make_format(**options)
        opened = format.open(text('"a":1', '"_lifetime":5', originalMaxAge=max_age, expires="x"))
        assert opened.attributes == {"a": 1}
        cookie = json.loads(format.close(opened.text, opened.envelope, NOW))["cookie"]
        assert cookie["originalMaxAge"] == options.get("lifetime")
        assert (cookie["expires"] is None) is not bool(options)


@pytest.mark.parametrize(
    "expires", ['""', '"never"', "1e999", "-1", "{}", "[[[]]]", "true", '"9999999999999999-01-01T00:00:00Z"']
)
def test_expires_is_not_believed(expires):
    """What `expires` says counts for nothing: the store knows when a record expires."""
    record = text('"a":1').replace('"expires":null', f'"expires":{expires}')
    assert make_format().open(record).attributes == {"a": 1}
    assert reopened(make_format(), record) == text('"a":1')


@pytest.mark.parametrize(
    "record",
    [
        *("", "{", "{}", "[]", '[{"cookie":{}}]', '{"a":1}', '{"cookie":null}', '{"cookie":"x"}', '{"cookie":[]}'),
        *(
            '{"cookie":5,"a":1}',
            '{"cookie":{}',
            '{"cookie":{},"a":NaN}',
            '{"a":' * 3000 + "1" + "}" * 3000,
            ' {"cookie":',
            '{"ct":"YQ=="}',
        ),
        '{"cookie":{"a":' + "[" * 3000 + "]" * 3000 + "}}",
    ],
    ids=lambda record: record[:30],
)
def test_damaged(record):
    """A text that is no session of express-session is damaged."""
    with pytest.raises(DamagedError):
        make_format().open(record)


@pytest.mark.parametrize(
    "record",
    [
        *("\x81\xa6cookie", "gAAAAAB", '"eyJjdCI6"', "a:1:{}", "---\ncookie: {}\n", 'o"\x06cookie'),
        '{"hmac":"Yw==","ct":"YQ==","iv":"Yg==","salt":"ZA=="}',
    ],
    ids=ascii,
)
def test_other_serializers_and_encryption(record):
    """A record of another serializer, or an encrypted one, is an error that names the options of those libraries."""
    with pytest.raises(UnsupportedError, match=r"express-session.*(`serializer`.*)?`crypto` of connect-mongo"):
        make_format().open(record)


@pytest.mark.parametrize("member", ['"__lastAccess":5', '"\\u005f_lastAccess":5', '"c\\u006fokie":{"path":"/"}'])
def test_members_wherever_they_are(member):
    """A member of express-session is no attribute, behind other ones and with an escaped name, too."""
    opened = make_format().open(text(member, '"a":1'))
    assert opened.attributes == {"a": 1} == json.loads(opened.text)
    written = json.loads(make_format().close(opened.text, opened.envelope, NOW))
    assert written["cookie"]["path"] == "/" and written.get("__lastAccess", 5) == 5
    assert ("__lastAccess" in written) == ("lastAccess" in member)


def test_prototype_pollution(caplog):
    """A key ``__proto__`` is left out, in the cookie as well."""
    record = '{"cookie":{"__proto__":{"a":1},"path":"/"},"__proto__":{"admin":true},"a":{"__proto__":1}}'
    opened = make_format().open(record)
    assert opened.attributes == {"a": {}}
    assert "__proto__" not in make_format().close(opened.text, opened.envelope, NOW)


@given(
    st.dictionaries(st.text().filter(lambda key: key not in ("__proto__", "cookie", "__lastAccess", LIFETIME)), JSON)
)
def test_any_attributes(attributes):
    """Attributes come back as they were, and the text that a save compares is the same each time."""
    format = make_format()
    record = format.close(json.dumps(attributes), None, NOW)
    opened = format.open(record)
    assert opened.attributes == attributes == json.loads(opened.text)
    assert format.open(format.close(opened.text, opened.envelope, NOW + 5)).text == opened.text


@given(st.binary(max_size=60).map(lambda each: each.decode("latin-1")) | st.text())
def test_any_text(record):
    """No text raises anything else."""
    for each in (record, '{"cookie":{},' + record, '{"cookie":' + record + "}"):
        with contextlib.suppress(DamagedError, UnsupportedError):
            make_format().open(each)


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_veiled_ids(id, other):
    """An id in a farewell can be read by who knows the old id; its length shows, and nothing else."""
    format = make_format()
    veiled = format.veil(id, other)
    assert format.is_veiled(veiled)
    assert format.unveil(veiled, other) == id
    assert id not in veiled or len(id) < 3


@pytest.mark.parametrize("veiled", [None, 5, "", "ä", "A" * 1200, "a.b", {}])
def test_forged_veils(veiled):
    """Anything else is no farewell."""
    assert not make_format().is_veiled(veiled)


@pytest.mark.parametrize("veiled", ["A", "AAAAA", "_" * 400, "____"])
def test_veils_that_lead_nowhere(veiled):
    """One that gives no id leads nowhere."""
    assert make_format().is_veiled(veiled)
    found = make_format().unveil(veiled, "x" * 32)
    assert found is None or found.isprintable()
