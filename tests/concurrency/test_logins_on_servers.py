"""The same on database servers: a user logs in and out on eight processes, and no device is lost, or left."""

from __future__ import annotations

import asyncio

import pytest
from servers import make_table, start

from .logins import log_in_and_out


@pytest.mark.parametrize(("name", "logins"), [("postgresql", 25), ("redis", 25), ("mongodb", 8), ("mysql", 8)])
def test_server(name, logins):
    """Each server is one that the tests of its driver use."""
    server = start(name)
    try:
        driver = "redis" if name == "redis" else "database"
        connection = {**server.connection, "timeout": 30_000}
        config = {"driver": driver, "connection": connection, "saveTimeout": 60_000, "secret": "only-for-tests" * 3}
        asyncio.run(make_table(config))
        log_in_and_out(config, logins=logins)
    finally:
        server.stop()
