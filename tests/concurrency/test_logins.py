"""A user logs in 25 times in each of eight browsers, through eight processes: no device is lost, and none is left."""

from __future__ import annotations

import pytest

from .logins import log_in_and_out


@pytest.mark.parametrize("options", [{}, {"hashIds": True, "encrypt": True}], ids=str)
def test_file(tmp_path, options):
    """On one folder."""
    log_in_and_out({"driver": "file", "files": str(tmp_path / "sessions"), "saveTimeout": 60_000, **options})


def test_sqlite(tmp_path):
    """On one SQLite file; on database servers it is a test of their drivers."""
    connection = {"adapter": "sqlite", "database": str(tmp_path / "sessions.sqlite"), "timeout": 30_000}
    log_in_and_out({"driver": "database", "connection": connection, "saveTimeout": 60_000})


def test_the_hammer_bites(tmp_path):
    """With compare-and-swap switched off, devices are lost."""
    config = {"driver": "file", "files": str(tmp_path / "sessions"), "saveTimeout": 60_000}
    with pytest.raises(AssertionError, match="devices are listed"):
        log_in_and_out(config, 4, logins=10, careless=True)


def test_memory():
    """In one process."""
    log_in_and_out({"driver": "memory"}, 1)
