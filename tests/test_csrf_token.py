"""get_token() always gives a token that verify_token() accepts and the store keeps."""

from __future__ import annotations

import json

import pytest
from tornado.web import RequestHandler
from visitors import stored_record

from node_session import SessionMixin
from node_session.ids import is_valid

STORES = [{"driver": "memory"}, {"driver": "file"}, {"driver": "database", "connection": {"adapter": "sqlite"}}]

pytestmark = [
    pytest.mark.gen_test,
    pytest.mark.parametrize(
        "options", [{**store, "saveUninitialized": saves} for store in STORES for saves in (True, False)], ids=str
    ),
]

TOKENS = {"none": None, "empty": "", "number": 7, "own": "mine"}


class Page(SessionMixin, RequestHandler):
    def get(self):
        for work in self.get_query_arguments("do"):
            if work in TOKENS:
                self.session.put("_token", TOKENS[work])
            else:
                getattr(self.session, work)()
        before, token = self.session.all().get("_token"), self.session.get_token()
        self.write({"before": before, "token": token, "is_right": self.session.verify_token(token)})


async def visit(visitor, path="/page"):
    return json.loads((await visitor.get(path)).body)


@pytest.mark.parametrize("work", ["flush", "invalidate", "none", "empty", "number"])
async def test_a_token_is_made(app, visitor, work):
    """If the token is gone or is none, as after a log-out, a page gets a new one, and the next request has it."""
    app.add_handlers(".*", [("/page", Page)])
    first = await visit(visitor)
    assert is_valid(first["token"]) and first["is_right"]
    second = await visit(visitor, f"/page?do={work}")
    assert second["before"] == TOKENS.get(work)
    assert is_valid(second["token"]) and second["is_right"] and second["token"] != first["token"]
    assert await visit(visitor) == {**second, "before": second["token"]}


async def test_a_token_stays(app, visitor):
    """A token that is there is the one, also if a program has chosen it; regenerate_token() makes another."""
    app.add_handlers(".*", [("/page", Page)])
    first = await visit(visitor)
    assert await visit(visitor) == {**first, "before": first["token"]}
    own = await visit(visitor, "/page?do=own")
    assert own == {"before": "mine", "token": "mine", "is_right": True} == await visit(visitor)
    new = await visit(visitor, "/page?do=regenerate_token")
    assert new["before"] == new["token"] and is_valid(new["token"])


async def test_flush_alone_makes_none(app, visitor):
    """flush() empties the session; a token that nobody asks for is made by the next start, not before."""

    class Flush(SessionMixin, RequestHandler):
        def get(self):
            self.session.flush()
            self.write({"token": self.session.all().get("_token")})

    app.add_handlers(".*", [("/page", Page), ("/flush", Flush)])
    await visit(visitor)
    assert await visit(visitor, "/flush") == {"token": None}
    assert "_token" not in await stored_record(visitor)
