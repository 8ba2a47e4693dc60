"""A real database server for the tests of a class."""

from __future__ import annotations

import pytest
from servers import Server, make_table, start

from drivers.serving import SECRET, TABLES
from node_session import drivers
from node_session.config import Config
from node_session.drivers import Driver


class OnServer:
    """Starts a server for the tests of a class, and gives each of them a table of its own. Derive, and name it."""

    name: str
    driver = "database"
    server: Server

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        cls.server = start(cls.name)
        yield
        cls.server.stop()

    def config(self, connection: dict | None = None, **options) -> dict:
        """A config dict for a table of its own."""
        given = {"secret": SECRET, "driver": self.driver, "table": next(TABLES), "lottery": [0, 1], **options}
        return {**given, "connection": {**self.server.connection, **(connection or {})}}

    async def with_table(self, config: dict) -> dict:
        """The same config, when the table is there."""
        await make_table(config)
        return config

    async def make_driver(self, lifetime: float) -> Driver:
        # On a busy machine an operation may take longer than half of the usual limit, and is sent again then. While the
        # first attempt to remove records is still under way, the second one finds them locked, and counts none.
        config = await self.with_table(self.config({"timeout": 60_000}, lifetime=lifetime))
        self.table = config["table"]
        return await drivers.create(Config.from_dict(config))
