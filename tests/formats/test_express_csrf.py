"""CSRF tokens with `format: "express-session"`: those of csurf and csrf-sync are made and verified."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.web import RequestHandler

from formats.conftest import COOKIE, record_of, store_text
from node_session import SessionMixin
from node_session.csrf_token import CsrfToken
from node_session.formats import csurf

from .conftest import make_format

ID = "kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD"
SECRET = "i6Tphf5LkSQy8AH_odepR7ge"
# Recorded with csrf 3.1.
TOKENS = ["saltsalt-28wchxr-oR7206UXxLTpZ7jkDP4", "x-vUUp7MvaXaj0RaD876dZJq1sgXg"]
SYNCHRONISED = "0123456789abcdef" * 16
FORM = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "csrf": False}


class Form(SessionMixin, RequestHandler):
    """Answers with its field, or with "posted"."""

    def get(self):
        self.write(self.csrf_field())

    def post(self):
        self.write("posted")


@pytest.fixture
def options():
    return {"format": "express-session", "csrf": True}


@pytest.fixture
def form(app):
    app.add_handlers(".*", [("/form", Form)])


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_of_csurf(token):
    """A token that csurf has made is one here, with any salt, and any change of it is not."""
    assert csurf.is_token(token, SECRET)
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        assert not csurf.is_token(token[:place] + other + token[place + 1 :], SECRET)
    assert not csurf.is_token(token, SECRET[:-1] + "f")


def test_made_tokens():
    """Ours look like csurf's: eight characters without a dash, and the hash; no two are the same."""
    made = {csurf.make_token(SECRET) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("[A-Za-z0-9]{8}-[A-Za-z0-9_-]{27}", each) and csurf.is_token(each, SECRET) for each in made)
    assert re.fullmatch("[A-Za-z0-9_-]{24}", csurf.make_secret())


@given(st.text(), st.text())
def test_any_token(token, secret):
    """No token raises, whatever the secret is."""
    assert not csurf.is_token(token, secret)
    assert csurf.is_token(csurf.make_token(secret), secret)


def test_a_secret_that_is_not_ascii():
    """Of each UTF-16 unit the lower byte counts, as in Node; a half of a surrogate pair is one as well."""
    assert csurf.is_token(csurf.make_token("="), "\ud83d")
    assert csurf.is_token(csurf.make_token("=\n"), "\U0001f60a")


@pytest.mark.parametrize("value", [None, 5, "", [], {}, True])
def test_secrets_that_are_none(value):
    """A secret or token of another form is none: nothing passes, and a new one is made."""
    view = CsrfToken()
    view._content.format = make_format()
    view.update({"csrfSecret": value, "csrfToken": value, "_token": value})
    for token in ("", "None", "5", "-", "x-" + "A" * 27, csurf.make_token(""), csurf.make_token(str(value))):
        assert not view.verify_token(token)
    assert not view.verify_token(value)
    assert view.verify_token(view.get_token())
    assert len(view["csrfSecret"]) == 24


@pytest.mark.gen_test
async def test_no_token_unless_used(visit, visitor):
    """A session gets no token until one is asked for; then it is csurf's secret, and never ours."""
    await visit(lambda handler: handler.session.put("a", 1))
    assert set(await record_of(visitor)) == {"cookie", "a"}
    seen = []
    await visit(lambda handler: seen.extend([handler.session.get_token(), handler.session.get("_token")]))
    record = await record_of(visitor)
    assert set(record) == {"cookie", "a", "csrfSecret"}
    assert all(csurf.is_token(each, record["csrfSecret"]) for each in seen)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "token"),
    [
        ({"csrfSecret": SECRET}, TOKENS[0]),
        ({"csrfToken": SYNCHRONISED}, SYNCHRONISED),
        ({"_token": "t" * 40}, "t" * 40),
    ],
    ids=["csurf", "csrf-sync", "ours"],
)
@pytest.mark.usefixtures("form")
async def test_forms_of_the_other_side(visitor, content, token):
    """A form of Express posts to ours, wherever csurf looks for the token; a wrong one does not."""
    await store_text(visitor, {"cookie": COOKIE, **content}, ID)
    for right, code in ((token, 200), (token[:-1] + "!", 403)):
        for field in ("_csrf", "_token", "_xsrf"):
            answer = await visitor.post("/form", body=urlencode({field: right}), **FORM)
            assert answer.code == code
        assert (await visitor.post("/form?" + urlencode({"_csrf": right}), csrf=False)).code == code
        for header in ("CSRF-Token", "XSRF-Token", "X-CSRF-Token", "X-XSRF-Token"):
            assert (await visitor.post("/form", csrf=False, headers={header: right})).code == code


@pytest.mark.gen_test
@pytest.mark.parametrize("content", [{}, {"csrfSecret": SECRET}, {"csrfToken": SYNCHRONISED}], ids=str)
@pytest.mark.usefixtures("form")
async def test_forms_of_ours(visitor, content):
    """Our form has the field that csurf looks for, with a token of the kind that is in the session."""
    await store_text(visitor, {"cookie": COOKIE, **content}, ID)
    field = re.fullmatch('<input type="hidden" name="_csrf" value="(.+)">', (await visitor.get("/form")).body.decode())
    record = await record_of(visitor)
    assert content.items() <= record.items()
    if "csrfToken" in content:
        assert field[1] == SYNCHRONISED
    else:
        assert csurf.is_token(field[1], record["csrfSecret"])
    assert (await visitor.post("/form", body=urlencode({"_csrf": field[1]}), **FORM)).body == b"posted"
    answer = await visitor.post("/form", csrf=False)
    assert answer.reason == "CSRF token missing: send it as the form field _csrf or as X-CSRF-Token"


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"format": "express-session", "csrf": "csrf-sync"}], ids=["csrf-sync"])
@pytest.mark.parametrize("content", [{}, {"csrfSecret": SECRET}], ids=str)
@pytest.mark.usefixtures("form")
async def test_forms_for_csrf_sync(visitor, content):
    """With `csrf: "csrf-sync"`, a session without a token gets one of that package; one of csurf keeps its kind."""
    await store_text(visitor, {"cookie": COOKIE, **content}, ID)
    shown = re.search('value="(.+)"', (await visitor.get("/form")).body.decode())[1]
    record = await record_of(visitor)
    if content:
        assert csurf.is_token(shown, SECRET) and set(record) == {"cookie", "csrfSecret"}
    else:
        assert record == {"cookie": record["cookie"], "csrfToken": shown} and re.fullmatch("[0-9a-f]{256}", shown)
    assert (await visitor.post("/form", body=urlencode({"_csrf": shown}), **FORM)).body == b"posted"
    assert (await visitor.post("/form", csrf=False)).code == 403


@pytest.mark.gen_test
@pytest.mark.parametrize("key", ["csrfSecret", "csrfToken", "_token"])
async def test_regenerate_token(visit, visitor, key):
    """A new token is of the kind that was there, and the old one is worthless."""
    old = {"csrfSecret": SECRET, "csrfToken": SYNCHRONISED, "_token": "t" * 40}
    await store_text(visitor, {"cookie": COOKIE, key: old[key]}, ID)
    seen = []

    def work(handler):
        before = handler.session.get_token()
        handler.session.regenerate_token()
        seen.extend(handler.session.verify_token(each) for each in (before, handler.session.get_token()))

    await visit(work)
    assert seen == [False, True]
    record = await record_of(visitor)
    assert set(record) == {"cookie", key}
    assert len(record[key]) == len(old[key])


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{}])
async def test_the_default_knows_no_token_of_csurf(visit, visitor):
    """Without the format, a secret of csurf is an attribute like any other."""
    seen = []

    def work(handler):
        handler.session.put("csrfSecret", SECRET)
        seen.append(handler.session.verify_token(TOKENS[0]))
        seen.append(handler.session.get_token() == handler.session["_token"])

    await visit(work)
    assert seen == [False, True]
