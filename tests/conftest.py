"""A server on a real socket; and the samples, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from stores import Idleness
from tornado.web import Application, RequestHandler
from visitors import SECRET

from node_session import NodeSession, SessionMixin
from node_session.drivers import registry
from node_session.testing import Visitor

SAMPLES = Path(__file__).parent.parent / "samples"

# Folders of sessions that tests make are not writable for their group, with any mask of the machine.
os.umask(0o022)

# The same verdict each time: hypothesis draws the same examples, and `random` the same numbers, also in the processes
# of tests/concurrency. The soaks and `make fuzz` do not load this file; they look for something new each time.
# No deadline: the time of an example says more about the machine than about the code.
settings.register_profile("node_session", deadline=None, derandomize=True, database=None)
settings.load_profile("node_session")
os.environ["SEED"] = "0"


def pytest_runtest_setup() -> None:
    random.seed(os.environ["SEED"])


# pytest-tornado asks for the current loop; before Python 3.12 that makes one, which nobody closes.
asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def own_drivers(monkeypatch):
    """Forget the drivers that a test registers: another test may use their names."""
    monkeypatch.setattr(registry, "_creators", dict(registry._creators))


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch):
    """Let no request count as long because the machine is busy; see `long_requests`."""
    monkeypatch.setattr("node_session.policy.TRUSTED_FOR", 60)


@pytest.fixture
def long_requests(busy_machine, monkeypatch):
    """Let requests of 10 ms count as long, as they do outside of tests."""
    monkeypatch.setattr("node_session.policy.TRUSTED_FOR", 0.01)


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
def pass_time(config):
    """Lets seconds pass for the store, before or between requests."""
    return Idleness(config["files"])


@pytest.fixture
def app(sessions):
    """An application without routes; a test adds its own."""
    return Application([], node_session=sessions)


@pytest.fixture
def visitor(new_visitor):
    """A visitor of the application, without a cookie yet; instead of the plugin's, for `sessions` is ours."""
    return new_visitor()


@pytest.fixture
def new_visitor(http_client, base_url, sessions):
    """Makes further visitors of the application."""
    return lambda: Visitor(http_client, base_url, sessions)


@pytest.fixture
def visit(app, visitor):
    """Makes a request whose handler does the given work on its session."""
    works = []

    class Page(SessionMixin, RequestHandler):
        def get(self):
            works.pop()(self)

    app.add_handlers(".*", [("/page", Page)])

    async def visit(work=lambda handler: None, **options):
        works[:] = [work]
        return await visitor.get("/page", **options)

    return visit


@pytest.fixture
def start(tmp_path):
    """Starts a sample as its README says, and returns its URL; ``stop()`` ends all."""
    processes = []

    def start(name: str, *options: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, SAMPLES / f"{name}.py", str(port), *options]
        processes.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True))
        url = processes[-1].stdout.readline().strip()
        assert url.endswith(f":{port}/")
        return url

    def stop() -> None:
        while processes:
            process = processes.pop()
            process.terminate()
            process.wait()
            process.stdout.close()

    start.stop = stop
    yield start
    stop()
