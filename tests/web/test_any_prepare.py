"""Whatever a handler's `prepare` is made of: the session is loaded before it, and csrf's check comes first."""

from __future__ import annotations

import functools
from unittest import mock

import pytest
from stores import STORES
from tornado.web import RequestHandler, authenticated
from visitors import store_record

from node_session import SessionMixin

pytestmark = pytest.mark.gen_test

csrf = pytest.mark.parametrize(
    "options", [{**store, "csrf": True} for store in STORES], ids=lambda options: options["driver"]
)


class Page(SessionMixin, RequestHandler):
    ran = ""

    def prepare(self):
        self.note("page")

    def get_current_user(self):
        return self.session.get("user")

    def note(self, name):
        self.ran += f"{name}:{self.session.get('user')} "

    def post(self):
        self.write(self.ran)


class Elsewhere(SessionMixin, RequestHandler):
    def prepare(self):
        self.note("elsewhere")


class Plain(RequestHandler):
    def prepare(self):
        self.note("plain")


def wrapping():
    class Handler(Page):
        @functools.wraps(Page.prepare)
        def prepare(self):
            self.note("own")
            return Page.prepare(self)

    return Handler, "own page"


def wrapping_without_a_call():
    class Handler(Page):
        @functools.wraps(Page.prepare)
        async def prepare(self):
            self.note("own")

    return Handler, "own"


def wrapping_the_mixins():
    class Handler(Page):
        @functools.wraps(SessionMixin.prepare)
        def prepare(self):
            self.note("own")

    return Handler, "own"


def decorated():
    class Handler(Page):
        @authenticated
        def prepare(self):
            self.note("own")

    return Handler, "own"


def decorated_parent():
    class Handler(Page):
        prepare = authenticated(Page.prepare)

    return Handler, "page"


def partial_method():
    class Handler(Page):
        prepare = functools.partialmethod(Page.note, "partial")

    return Handler, "partial"


def partial_method_of_parent():
    class Handler(Page):
        prepare = functools.partialmethod(Page.prepare)

    return Handler, "page"


def borrowed():
    class Handler(Page):
        prepare = Plain.prepare

    return Handler, "plain"


def borrowed_with_session():
    class Handler(Page):
        prepare = Elsewhere.prepare

    return Handler, "elsewhere"


def named_first():
    class Mixin:
        @functools.wraps(Page.prepare)
        def prepare(self):
            self.note("mixin")

    return type("Handler", (Mixin, Page), {}), "mixin"


def named_between():
    class Mixin:
        @functools.wraps(Page.prepare)
        def prepare(self):
            self.note("mixin")

    class Handler(Elsewhere, Mixin, Page):
        def prepare(self):
            return super(Elsewhere, self).prepare()

    return Handler, "mixin"


def named_after():
    class Base(RequestHandler):
        @functools.wraps(Page.prepare)
        def prepare(self):
            self.note("base")

    class Handler(SessionMixin, Base):
        ran, note, post = "", Page.note, Page.post

    return Handler, "base"


def handler_named_first():
    return type("Handler", (Plain, Page), {}), "plain"


def silent_about_subclasses():
    class Registry:
        def __init_subclass__(cls):
            """Calls no super()."""

        def prepare(self):
            self.note("registry")

    return type("Handler", (Registry, Page), {}), "registry"


def class_decorated():
    def guarded(cls):
        original = cls.prepare

        @functools.wraps(original)
        def prepare(self):
            self.note("guard")
            return original(self)

        cls.prepare = prepare
        return cls

    return guarded(type("Handler", (Page,), {})), "guard page"


def class_decorated_without_a_call():
    handler = type("Handler", (Page,), {})
    handler.prepare = lambda self: self.note("replaced")
    return handler, "replaced"


KINDS = [
    wrapping,
    wrapping_without_a_call,
    wrapping_the_mixins,
    decorated,
    decorated_parent,
    partial_method,
    partial_method_of_parent,
    borrowed,
    borrowed_with_session,
    named_first,
    named_between,
    named_after,
    handler_named_first,
    silent_about_subclasses,
    class_decorated,
    class_decorated_without_a_call,
]


async def check(app, visitor, handler, ran: str) -> None:
    """Without the token nothing of the handler runs; with it, all does, once, and each part has the session."""
    if visitor.cookie is None:
        await store_record(visitor, {"_token": "t", "user": "Ann"})
    app.add_handlers(".*", [("/page", handler)])
    refused = await visitor.post("/page", csrf=False)
    assert (refused.code, b"Ann" in refused.body) == (403, False)
    answer = await visitor.post("/page", csrf=False, body="_token=t")
    assert (answer.code, answer.body.decode()) == (200, "".join(f"{name}:Ann " for name in ran.split()))


@csrf
@pytest.mark.parametrize("is_derived", [False, True], ids=["itself", "derived"])
@pytest.mark.parametrize("make", KINDS)
async def test_prepare(app, visitor, make, is_derived):
    """Each kind of `prepare`, and that of a class derived from it."""
    handler, ran = make()
    await check(app, visitor, type("Derived", (handler,), {}) if is_derived else handler, ran)


@csrf
async def test_replaced_for_a_while(app, visitor):
    """One that a test replaces, and puts back."""
    handler = type("Handler", (Page,), {})
    with mock.patch.object(handler, "prepare", lambda self: self.note("mock")):
        await check(app, visitor, handler, "mock")
    await check(app, visitor, handler, "page")
