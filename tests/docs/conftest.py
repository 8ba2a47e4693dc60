"""Pages run as a program: their pieces one after the other."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from docs.pages import assert_equal, pieces
from docs.serving import served
from node_session import NodeSession, SessionMixin, session_of


@pytest.fixture(autouse=True)
def own_log_level():
    """Forget the level that a page sets: other tests count lines of the log."""
    yield
    logging.getLogger("node_session").setLevel(logging.NOTSET)


@pytest.fixture
def names(sessions, config, io_loop, tmp_path, monkeypatch):
    """The names that pages take for granted; in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    request = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.0"))
    session = io_loop.run_sync(lambda: sessions.get_session(request))
    io_loop.run_sync(session.start)
    classes = (NodeSession, SessionMixin, RequestHandler, WebSocketHandler, Application)
    names = {
        **{each.__name__: each for each in classes},
        "config": config,
        "sessions": sessions,
        "request": request,
        "session_of": session_of,
        "session": session,
        "assert_equal": assert_equal,
        "__name__": "a page",
    }
    yield names
    for made in list(names.values()):
        if isinstance(made, Application):
            made = made.settings["node_session"]
        if isinstance(made, NodeSession):
            io_loop.run_sync(made.close)


@pytest.fixture
def run(names, io_loop):
    """Runs the pieces of a page up to the first one with a text; gives its names."""

    def run(page: str, upto: str) -> dict[str, Any]:
        for piece in pieces(page):
            io_loop.run_sync(lambda piece=piece: piece.run(names))
            if upto in piece.text:
                return names
        raise AssertionError(f"{page} has no block with {upto!r}")

    return run


@pytest.fixture
def visit(io_loop):
    """Lets a scenario visit an application, or one handler at ``/``."""

    def visit(scenario, application, **settings):
        if isinstance(application, type):
            application = Application([("/", application)], **settings)

        async def serve() -> None:
            async with served(application) as visitor:
                await scenario(visitor)
            await application.settings["node_session"].close()

        io_loop.run_sync(serve)

    return visit
