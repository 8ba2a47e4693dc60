"""Writers are killed by SIGKILL under write load: every record is the old or the new one, whole."""

from __future__ import annotations

import asyncio
import os

import pytest

from node_session.drivers import FileDriver

from .careless import register
from .storm import storm


@pytest.fixture
def config(tmp_path):
    return {"driver": "file", "files": str(tmp_path / "sessions")}


@pytest.mark.parametrize("durable", [False, True], ids=["not durable", "durable"])
def test_file(config, tmp_path, durable):
    """After dozens of kills nothing acknowledged is lost, nothing is torn, and gc removes what the dead left over."""
    tally = asyncio.run(storm({**config, "durable": durable}, kills=40))
    assert tally.kills == 40 and tally.changes > 40 and tally.pushes > 40
    folder = tmp_path / "sessions"
    for orphan in folder.glob(".tmp-*"):
        os.utime(orphan, (1, 1))
    asyncio.run(FileDriver(folder, 0).gc(10**9))
    assert {path.name[:6] for path in folder.glob(".*")} == {".lock-"}


@pytest.mark.parametrize("durable", [False, True], ids=["not durable", "durable"])
def test_sqlite(tmp_path, durable):
    """Nor does a kill cost anything on SQLite."""
    connection = {"adapter": "sqlite", "database": str(tmp_path / "sessions.sqlite"), "timeout": 30_000}
    tally = asyncio.run(storm({"driver": "database", "connection": connection, "durable": durable}, kills=40))
    assert tally.kills == 40 and tally.changes > 40 and tally.pushes > 40


def test_the_storm_bites_on_torn_records(config):
    """Files that are truncated and filled in place, as the original does it, are found to be torn."""
    register()
    with pytest.raises(AssertionError, match=r"is there|is lost|is torn|are lost"):
        asyncio.run(storm({**config, "driver": "in place"}, kills=200))
