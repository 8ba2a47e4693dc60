"""What runs on Windows: everything but the file driver, which says so. Tested with all of POSIX hidden."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import servers
from visitors import SECRET

PROGRAM = Path(__file__).with_name("without_posix.py")


def run(*arguments: object):
    """What the program prints."""
    result = subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_memory_and_sqlite(tmp_path):
    """Without fcntl, fork and the flags of open, sessions are kept in memory and in SQLite, durable or not."""
    answers = ["1 on memory", "2 on memory", *["1 on database", "2 on database"] * 2]
    assert run(tmp_path)["answers"] == answers


def test_the_file_driver_names_sqlite(tmp_path):
    """Without fcntl the file driver is a ConfigError that names SQLite, and so is a config that names no driver."""
    file, native, default = run(tmp_path)["errors"]
    assert file.startswith("driver: 'file' (the default) keeps sessions in files, and needs locks on them")
    assert "use SQLite" in file and "driver: 'database'" in file and "files:" not in file
    assert native == file.replace("'file' (the default)", "'native'") and default == file


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", ["redis", "postgresql", "mysql", "mongodb"])
async def test_databases(name, tmp_path):
    """Redis and the databases need nothing of POSIX either."""
    server = servers.start(name)
    try:
        await servers.make_table({"secret": SECRET, "driver": "database", "connection": server.connection})
        assert run(tmp_path, json.dumps(server.connection)) == ["1 on database", "2 on database"]
    finally:
        server.stop()
