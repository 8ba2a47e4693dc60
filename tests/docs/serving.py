"""An application of a page on a real socket, and a visitor of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from node_session.testing import Visitor


@asynccontextmanager
async def served(application: Application) -> AsyncIterator[Visitor]:
    """Serve an application; gives a visitor of it."""
    RequestHandler._template_loaders.clear()  # Tornado keeps them by path, and two pages have a template of one name
    socket, port = bind_unused_port()
    server = HTTPServer(application)
    server.add_sockets([socket])
    client = AsyncHTTPClient(force_instance=True)
    try:
        yield Visitor(client, f"http://127.0.0.1:{port}", application.settings["node_session"])
    finally:
        client.close()
        server.stop()
        await server.close_all_connections()
