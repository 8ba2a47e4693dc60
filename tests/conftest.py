"""A server on a real socket."""

from __future__ import annotations

import asyncio

import pytest
from browser import SECRET, Browser
from hypothesis import settings
from tornado.web import Application

from node_session import NodeSession

# How long an example takes says more of the machine than of the code.
settings.register_profile("node_session", deadline=None)
settings.load_profile("node_session")

# pytest-tornado asks for the current loop; before Python 3.12 that makes one, which nobody closes.
asyncio.set_event_loop(None)


@pytest.fixture
def options():
    """Options of the config; tests override this fixture or parametrize it."""
    return {}


@pytest.fixture
def config(tmp_path, options):
    """The config dict of the session under test."""
    return {"secret": SECRET, "files": str(tmp_path / "sessions"), "lottery": [0, 100], **options}


@pytest.fixture
def sessions(config, io_loop):
    """The NodeSession under test."""
    sessions = NodeSession(config)
    yield sessions
    io_loop.run_sync(sessions.close)


@pytest.fixture
def app(sessions):
    """An application without routes; a test adds its own."""
    return Application([], node_session=sessions)


@pytest.fixture
def browser(http_client, base_url, sessions):
    """A client of the application, without a cookie yet."""
    return Browser(http_client, base_url, sessions)


@pytest.fixture
def new_browser(http_client, base_url, sessions):
    """Makes further clients of the application."""
    return lambda: Browser(http_client, base_url, sessions)
