"""Fixtures for pytest with pytest-tornado.

pytest finds them by itself if the package is installed. `visitor` visits the application of your fixture `app`:

    @pytest.fixture
    def app(node_session_config):
        return make_application(node_session=NodeSession(node_session_config))

    @pytest.mark.gen_test
    async def test_page(visitor):
        assert (await visitor.get("/")).code == 200
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop
from tornado.web import Application

from ..manager import sessions_of
from .visitor import Visitor


@pytest.fixture
def node_session_config() -> dict[str, Any]:
    """A config for tests: sessions in memory, and no sweep by chance."""
    return {"secret": "only-for-tests-0123456789-0123456789", "driver": "memory", "lottery": [0, 100]}


@pytest.fixture
def visitor(http_client: AsyncHTTPClient, base_url: str, app: Application, io_loop: IOLoop) -> Iterator[Visitor]:
    """A visitor of the application of the fixture `app` and its ``node_session``."""
    sessions = sessions_of(app)
    yield Visitor(http_client, base_url, sessions)
    io_loop.run_sync(sessions.close)
