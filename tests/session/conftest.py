"""A store and its sessions, without a web server."""

from __future__ import annotations

import pytest
from world import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def session(world, io_loop):
    """A started session without a record."""
    return io_loop.run_sync(world.start)
