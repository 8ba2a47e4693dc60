"""Eight clients push 25 values each onto one session's list, through several processes: 200 of 200 are there."""

from __future__ import annotations

import pytest

from .hammer import Outcome, hammer


@pytest.fixture
def config(tmp_path):
    return {"driver": "file", "files": str(tmp_path / "sessions")}


@pytest.mark.parametrize("processes", [2, 4])
def test_file(config, processes):
    """Processes on one folder lose nothing, double nothing, and keep each client's order."""
    hammer(config, processes).check()


@pytest.mark.parametrize("options", [{"encrypt": True}, {"durable": True, "hashIds": True}], ids=str)
def test_file_with_options(config, options):
    """Encrypted records, hashed ids and waiting for the disk change nothing about it."""
    hammer({**config, **options}, 2).check()


@pytest.mark.parametrize("processes", [2, 4])
def test_sqlite(tmp_path, processes):
    """Nor do processes on one SQLite file; those on a database server are with the tests of its driver."""
    connection = {"adapter": "sqlite", "database": str(tmp_path / "sessions.sqlite"), "timeout": 30_000}
    hammer({"driver": "database", "connection": connection}, processes).check()


def test_file_without_exchange(config):
    """Nor is anything lost where the system cannot exchange two files."""
    hammer({**config, "driver": "file without exchange"}, 4).check()


def test_memory():
    """Nor do the tasks of one process lose anything on the memory driver."""
    hammer({"driver": "memory"}, 1).check()


@pytest.mark.parametrize(("driver", "processes"), [("file", 2), ("memory", 1)])
def test_the_hammer_bites(config, driver, processes):
    """With compare-and-swap switched off, the same hammer finds that most is lost."""
    outcome = hammer({**config, "driver": driver}, processes, careless=True)
    assert len(outcome.lost) > 20
    with pytest.raises(AssertionError, match="are lost"):
        outcome.check()


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ([(0, 0), (0, 1)], "1 of 3 pushes are lost"),
        ([(0, 0), (0, 1), (1, 0), (0, 1)], "more often"),
        ([(0, 1), (0, 0), (1, 0)], "out of order"),
    ],
)
def test_the_outcome_bites(found, wrong):
    """A list in which something is missing, doubled or out of order is an error that says so."""
    with pytest.raises(AssertionError, match=wrong):
        Outcome([(0, 0), (0, 1), (1, 0)], found).check()
