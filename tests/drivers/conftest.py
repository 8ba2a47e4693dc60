"""The driver and the folder of the tests of the file driver."""

from __future__ import annotations

import pytest

from node_session.drivers import FileDriver


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sessions"


@pytest.fixture
def driver(folder):
    return FileDriver(folder, 60_000)
